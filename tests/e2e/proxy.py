"""A gproxy under test: its process, what it says in its log, and the accounts that every test must leave balanced."""

from __future__ import annotations

import json
import os
import signal
from collections.abc import Callable, Mapping
from typing import Any

from tests.support.ports import LOOPBACK, free_port
from tests.support.procs import Process, Processes
from tests.support.wait import wait_until

LOG = {"level": "debug", "format": "json"}


def inbound(kind: str, port: int | None = None, **more: Any) -> dict[str, Any]:
    """An inbound of this type on loopback, with the tag `in` unless told otherwise."""
    listen = {"listen": LOOPBACK, "listen_port": free_port() if port is None else port}
    return {"type": kind, "tag": "in", **({} if "listen" in more else listen), **more}


def outbound(kind: str, port: int | None = None, **more: Any) -> dict[str, Any]:
    """An outbound of this type, to a server on loopback if a port is given; its tag is its type."""
    server = {} if port is None else {"server": LOOPBACK, "server_port": port}
    return {"type": kind, "tag": kind, **server, **more}


class Proxy:
    """One running gproxy with a JSON log."""

    def __init__(self, process: Process, config: Mapping[str, Any]) -> None:
        self.process = process
        self.ports: list[int] = [item["listen_port"] for item in config["inbounds"] if "listen_port" in item]
        self.before = self.sockets()

    @property
    def port(self) -> int:
        """Where its first inbound listens."""
        return self.ports[0]

    def url(self, scheme: str, login: str = "") -> str:
        """Its first inbound, as curl wants to hear it."""
        return f"{scheme}://{login + '@' if login else ''}{LOOPBACK}:{self.port}"

    def records(self) -> list[dict[str, Any]]:
        """Its log. A line that is being written does not count yet."""
        lines = self.process.log.split("\n")[:-1]
        return [json.loads(line) for line in lines]

    def sessions(self, **facts: object) -> list[dict[str, Any]]:
        """The lines of finished sessions that have all these facts."""
        return [
            record
            for record in self.records()
            if record["logger"] == "session" and all(record.get(key) == value for key, value in facts.items())
        ]

    def session(self, **facts: Any) -> dict[str, Any]:
        """The one session with these facts, as soon as it is finished."""
        return self.wait_sessions(1, **facts)[0]

    def wait_sessions(self, count: int, seconds: float = 30.0, **facts: Any) -> list[dict[str, Any]]:
        """So many finished sessions with these facts."""
        wait_until(
            lambda: len(self.sessions(**facts)) >= count,
            lambda: f"{count} sessions with {facts} wanted:\n{self.process.log[-3000:]}",
            seconds,
        )
        found = self.sessions(**facts)
        assert len(found) == count, found
        return found

    def sockets(self) -> int:
        """How many sockets it has open. Its pipes don't count: it keeps some for later."""
        folder = f"/proc/{self.process.pid}/fd"
        count = 0
        for name in os.listdir(folder):
            try:
                count += os.readlink(f"{folder}/{name}").startswith("socket:")
            except FileNotFoundError:  # closed meanwhile
                continue
        return count

    def threads(self) -> int:
        """How many threads it has."""
        return len(os.listdir(f"/proc/{self.process.pid}/task"))

    def stop_now(self) -> None:
        """End it without waiting for its sessions: it is told twice, and goes in order."""
        self.process.signal(signal.SIGTERM)

        def ended() -> bool:
            if self.process.returncode is None:
                self.process.signal(signal.SIGTERM)
            return self.process.returncode is not None

        wait_until(ended, "it does not end", 30)
        assert self.process.returncode == 0, self.process.log[-3000:]
        self.check_log()

    def check(self, seconds: float = 30.0) -> None:
        """It runs, it has closed what it opened, and it has not failed at anything."""
        assert self.process.returncode is None, f"it ended:\n{self.process.log[-3000:]}"
        wait_until(
            lambda: self.sockets() <= self.before,
            lambda: f"{self.before} sockets before, {self.sockets()} after:\n{self.process.log[-2000:]}",
            seconds,
        )
        self.check_log()

    def check_log(self) -> None:
        """No trace, and every line is JSON with what each line must have."""
        log = self.process.log
        assert "Traceback" not in log, log[log.index("Traceback") - 500 :][:4000]
        for record in self.records():
            assert {"time", "level", "logger", "message"} <= record.keys(), record
            assert "trace" not in record, record
            assert record["level"] not in ("error", "fatal"), record


class Launcher:
    """Starts proxies, and checks at the end of a test those that are still there."""

    def __init__(self, processes: Processes) -> None:
        self._processes = processes
        self._running: list[Proxy] = []

    def __call__(
        self,
        *inbounds: Mapping[str, Any],
        outbounds: tuple[Mapping[str, Any], ...] = (),
        rules: tuple[Mapping[str, Any], ...] = (),
        log: Mapping[str, Any] | None = None,
        env: Mapping[str, str] | None = None,
        etc: Mapping[str, str] | None = None,
        dns: Mapping[str, Any] | None = None,
        **route: Any,
    ) -> Proxy:
        """A gproxy with this configuration: a mixed inbound and the way out, if nothing is said.

        `etc` are files that it finds in /etc instead of the machine's own, `route` is what the table `route` has.
        """
        config: dict[str, Any] = {"log": dict(LOG, **(log or {})), "inbounds": list(inbounds or (inbound("mixed"),))}
        if outbounds:
            config["outbounds"] = list(outbounds)
        if dns:
            config["dns"] = dns
        if rules or route:
            config["route"] = {"rules": list(rules), **route}
        around = _with_etc(self._processes, etc) if etc else ()
        process = self._processes.gproxy(config, env=env, around=around)
        if "output" not in config["log"]:
            process.wait_log("is ready")
        proxy = Proxy(process, config)
        self._running.append(proxy)
        return proxy

    def settle(self) -> None:
        """Check what still runs."""
        for proxy in self._running:
            if proxy.process.returncode is None:
                proxy.check()

    def forget(self, proxy: Proxy) -> None:
        """A test that breaks its proxy on purpose looks after it by itself."""
        self._running.remove(proxy)


Launch = Callable[..., Proxy]


def _with_etc(processes: Processes, files: Mapping[str, str]) -> tuple[str, ...]:
    """A command in front of another, which then sees these files in /etc."""
    mounts = ""
    for name, text in files.items():
        path = processes.folder / name
        path.write_text(text, "utf-8")
        mounts += f'mount --bind "{path}" "/etc/{name}" && '
    return ("unshare", "--mount", "sh", "-c", mounts + 'exec "$0" "$@"')
