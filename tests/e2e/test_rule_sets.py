"""Rule sets of a running gproxy: files that change, downloads, and workers that come later."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from tests.e2e.clients import Refused, tunnel
from tests.e2e.proxy import Launcher, inbound
from tests.e2e.supervised import Supervised, family, kill
from tests.support.origin import Server
from tests.support.ports import LOOPBACK, free_port
from tests.support.procs import Processes
from tests.support.wait import wait_until


@pytest.fixture(autouse=True)
def own_state(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """What gproxy keeps, it keeps there."""
    state = tmp_path / "state"
    monkeypatch.setenv("STATE_DIRECTORY", str(state))
    return state


class Lists:
    """A web server with one list, which counts who asks, and how."""

    def __init__(self) -> None:
        self.body = b""
        self.etag = ""
        self.asked: list[str] = []
        lists = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                lists.asked.append(self.headers.get("If-None-Match", ""))
                known = lists.etag and self.headers.get("If-None-Match") == lists.etag
                self.send_response(304 if known else 200)
                self.send_header("ETag", lists.etag)
                self.send_header("Content-Length", str(0 if known else len(lists.body)))
                self.end_headers()
                if not known:
                    self.wfile.write(lists.body)

            def log_message(self, *_: Any) -> None:
                pass

        self.server = ThreadingHTTPServer((LOOPBACK, 0), Handler)
        self.thread = threading.Thread(target=self.server.serve_forever, daemon=True)
        self.thread.start()
        self.url = f"http://{LOOPBACK}:{self.server.server_port}/list.json"

    def close(self) -> None:
        self.server.shutdown()
        self.server.server_close()
        self.thread.join(30)


@pytest.fixture
def lists() -> Iterator[Lists]:
    made = Lists()
    yield made
    made.close()


def written(*rules: dict[str, Any]) -> bytes:
    return json.dumps({"version": 1, "rules": list(rules)}).encode()


def rejecting(entry: dict[str, Any]) -> dict[str, Any]:
    """Routing that refuses whatever the set `bad` names."""
    return {"rule_set": [{"tag": "bad", **entry}], "rules": [{"rule_set": "bad", "action": "reject"}]}


def refused(port: int, echo: Server) -> bool:
    """Whether a new connection to the echo is."""
    try:
        with tunnel(port, (echo.host, echo.port)) as sock:
            sock.sendall(b"ping")
            return sock.recv(4) != b"ping"
    except (OSError, Refused):
        return True


def port_of(gproxy: Supervised) -> int:
    port: int = gproxy.config["inbounds"][0]["listen_port"]
    return port


def all_refuse(port: int, echo: Server, expected: bool) -> bool:
    """Whether several connections, which all workers share, are refused, or none is."""
    return all(refused(port, echo) == expected for _ in range(8))


def test_a_file_that_changes_reaches_all_workers(processes: Processes, echo: Server, tmp_path: Path) -> None:
    file = tmp_path / "bad.json"
    file.write_bytes(written({"port": 1}))
    route = rejecting({"type": "local", "path": str(file)})
    gproxy = Supervised.start(processes, inbound("mixed", free_port()), route=route)
    port = port_of(gproxy)
    assert all_refuse(port, echo, expected=False)

    file.write_bytes(written({"port": echo.port}))
    wait_until(lambda: all_refuse(port, echo, expected=True), "the new version does not arrive")

    file.write_bytes(b'{"version": 1, "rules": [{"prot": 80}]}')
    gproxy.wait_error("unknown key")
    assert all_refuse(port, echo, expected=True)

    for name, pid in gproxy.workers().items():  # those that come later know the newest
        kill(pid)
        wait_until(lambda: replaced(gproxy, name, pid), "not replaced")  # noqa: B023
    assert all_refuse(port, echo, expected=True)

    replacement = tmp_path / "next.json"
    replacement.write_bytes(written({"port": 1}))
    replacement.replace(file)
    wait_until(lambda: all_refuse(port, echo, expected=False), "the last version does not arrive")
    assert sum("unknown key" in each for each in gproxy.errors()) == 1
    gproxy.stop()


def test_a_control_that_comes_later_goes_on(processes: Processes, echo: Server, tmp_path: Path) -> None:
    file = tmp_path / "bad.json"
    file.write_bytes(written({"port": 1}))
    route = rejecting({"type": "local", "path": str(file)})
    gproxy = Supervised.start(processes, inbound("mixed", free_port()), route=route)
    port = port_of(gproxy)
    file.write_bytes(written({"port": echo.port}))
    wait_until(lambda: all_refuse(port, echo, expected=True), "the new version does not arrive")
    (before,) = controls(gproxy)
    kill(before)
    wait_until(lambda: set(controls(gproxy)) - {before}, "not replaced")
    assert all_refuse(port, echo, expected=True)
    file.write_bytes(written({"port": 1}))
    wait_until(lambda: all_refuse(port, echo, expected=False), "the last version does not arrive")
    gproxy.stop()


def controls(gproxy: Supervised) -> list[int]:
    """The processes that look after rule sets."""
    return [pid for pid in family(gproxy.process.pid) if name_of(pid) == "gproxy-control"]


def name_of(pid: int) -> str:
    try:
        return Path(f"/proc/{pid}/comm").read_text("ascii").strip()
    except OSError:
        return ""


def replaced(gproxy: Supervised, worker: str, pid: int) -> bool:
    serving = gproxy.serving()
    return serving is not None and serving["workers"].get(worker) not in {pid, None}


def test_the_same_in_one_process(launch: Launcher, echo: Server, tmp_path: Path) -> None:
    file = tmp_path / "bad.json"
    file.write_bytes(written({"port": 1}))
    proxy = launch(inbound("mixed"), **rejecting({"type": "local", "path": str(file)}))
    assert not refused(proxy.port, echo)
    file.write_bytes(written({"port": echo.port}))
    wait_until(lambda: refused(proxy.port, echo), "the new version does not arrive")


def test_a_download_is_there_before_the_first_client_and_without_the_server(
    processes: Processes, echo: Server, lists: Lists
) -> None:
    lists.body, lists.etag = written({"port": echo.port}), '"one"'
    entry = {"type": "remote", "url": lists.url}
    gproxy = Supervised.start(processes, inbound("mixed", free_port()), route=rejecting(entry))
    assert refused(port_of(gproxy), echo)
    assert lists.asked == [""]
    gproxy.stop()

    lists.close()
    gproxy = Supervised.start(processes, inbound("mixed", free_port()), route=rejecting(entry))
    assert all_refuse(port_of(gproxy), echo, expected=True)
    gproxy.stop()


def test_without_a_server_a_file_is_the_beginning(processes: Processes, echo: Server, tmp_path: Path) -> None:
    file = tmp_path / "bad.json"
    file.write_bytes(written({"port": echo.port}))
    url = f"http://{LOOPBACK}:{free_port()}/bad.json"
    entry = {"type": "remote", "url": url, "initial_path": str(file)}
    gproxy = Supervised.start(processes, inbound("mixed", free_port()), route=rejecting(entry))
    assert refused(port_of(gproxy), echo)
    gproxy.wait_error("the download has failed")
    gproxy.stop()


def test_a_set_of_which_nothing_can_be_known_matches_nothing(processes: Processes, echo: Server) -> None:
    entry = {"type": "remote", "url": f"http://{LOOPBACK}:{free_port()}/bad.json"}
    gproxy = Supervised.start(processes, inbound("mixed", free_port()), route=rejecting(entry))
    assert not refused(port_of(gproxy), echo)
    gproxy.wait_error("nothing is known of it")
    gproxy.stop()


def test_a_file_that_is_broken_from_the_start(processes: Processes, tmp_path: Path) -> None:
    file = tmp_path / "bad.json"
    file.write_bytes(b"{")
    config = {"inbounds": [inbound("mixed", free_port())], "route": rejecting({"type": "local", "path": str(file)})}
    process = processes.gproxy(config, tcp=())
    assert process.wait() != 0
    assert f"rule set bad: {file}" in process.log
