"""The gproxy that is soaked: two workers, three protocols, and what a real one has beside them."""

from __future__ import annotations

import json
import urllib.request
from pathlib import Path
from typing import Any

from gproxy.proc.admin import ask
from tests.bench import sandbox
from tests.bench.certificate import make_certificate
from tests.bench.doors import Door, Way
from tests.bench.origin import Ports
from tests.bench.peers import Running, run_arguments
from tests.bench.sealed import SealedDoor
from tests.bench.secure import PASSWORD, TlsDoor
from tests.support.shadowsocks import key_of

WORKERS = 2
_METHOD = "aes-128-gcm"
_MANY = 1_000_000  # a limit that is counted and never reached
_PATIENCE = 30.0  # seconds for an answer of the control socket
_GRACE = "5m"  # longer than the load holds a connection: a reload is no reason to lose one


class House(Running):
    """One running gproxy. `ways`: the ways through it to the origin's echo, by the names of their protocols."""

    def __init__(self, command: list[str], ports: Ports, home: Path) -> None:
        home.mkdir(parents=True)
        certificate = make_certificate(home)
        socks, shadowsocks, trojan, self._metrics = sandbox.free_ports(4)
        self.control = str(home / "control.sock")
        self.log = home / "log"
        self.ways: list[tuple[str, Way]] = [
            ("socks", Door("socks5", socks, ports.echo)),
            ("shadowsocks", SealedDoor(key_of(_METHOD, PASSWORD), shadowsocks, ports.echo)),
            ("trojan", TlsDoor(trojan, ports.echo, str(certificate.chain))),
        ]
        tls = {"enabled": True, "certificate_path": str(certificate.chain), "key_path": str(certificate.key)}
        inbounds = [
            _inbound("socks", socks),
            _inbound("shadowsocks", shadowsocks, method=_METHOD, password=PASSWORD),
            _inbound("trojan", trojan, users=[{"name": "me", "password": PASSWORD}], tls=tls),
        ]
        super().__init__([*command, *run_arguments(home, self._options(home, inbounds))], home, self._probe)

    def _options(self, home: Path, inbounds: list[dict[str, Any]]) -> dict[str, Any]:
        access = {"output": str(home / "access.log"), "rotate_size": "16 MB", "keep": 2}
        return {
            "log": {"level": "warn", "output": str(self.log), "access": access},
            "runtime": {"workers": WORKERS, "control": self.control, "grace": _GRACE},
            "inbounds": inbounds,
            "outbounds": [{"type": "direct", "tag": "direct"}],
            "limits": [
                {"tag": "each", "each": ["source"], "connections_per_second": _MANY, "max_connections": _MANY},
                {"tag": "all", "down": "10 Gbps", "max_handshakes": _MANY},
            ],
            "bans": {"path": str(home / "bans.json")},
            "services": [{"type": "metrics", "listen": "127.0.0.1", "listen_port": self._metrics}],
        }

    def _probe(self) -> None:
        door = self.ways[0][1]
        assert isinstance(door, Door)
        door.connect().close()

    def scrape(self) -> int:
        """Read `/metrics` as Prometheus does; return its size. Raises OSError."""
        with urllib.request.urlopen(f"http://127.0.0.1:{self._metrics}/metrics", timeout=_PATIENCE) as answer:
            return len(answer.read())

    def workers(self) -> dict[int, int]:
        """Process ids of the serving generation's workers. Raises OSError."""
        generations = ask(self.control, _PATIENCE, ask="status")["generations"]
        serving = [each for each in generations if each["state"] == "serving"]
        return {int(number): pid for number, pid in serving[-1]["workers"].items()}

    def reload(self) -> None:
        """Begin a new generation. Raises OSError."""
        answer = ask(self.control, _PATIENCE, ask="reload")
        if not answer["ok"]:
            raise OSError(f"no reload: {json.dumps(answer)}")

    def debug(self, what: str) -> dict[int, dict[str, Any]]:
        """What `gproxy debug` says of each process, by its id. Raises OSError."""
        answer = ask(self.control, _PATIENCE, ask="debug", what=what, seconds=1.0)
        if not answer["ok"]:
            raise OSError(answer["error"])
        return {each["pid"]: each for each in answer["processes"]}


def _inbound(kind: str, port: int, **more: Any) -> dict[str, Any]:
    return {"type": kind, "tag": kind, "listen": "127.0.0.1", "listen_port": port, "limits": ["each", "all"], **more}
