"""What others see, and understand, of a ClientHello in pieces."""

from __future__ import annotations

import socket
import threading
from typing import Any

import pytest

from gproxy.wire.clienthello import RECORD_HEAD, decode_client_hello
from gproxy.wire.cursor import Cursor
from tests.interop.lab import start_gproxy
from tests.interop.recorder import Recorder
from tests.interop.traffic import MIB, Far, echo, far
from tests.interop.transports import PASSWORD, WS, Link, gproxy_servers, nginx
from tests.support.ports import LOOPBACK, free_port
from tests.support.procs import Processes
from tests.support.tls import NAME, Certificate

__all__ = ["far"]

PACKETS = {"fragment": True, "fragment_fallback_delay": "20ms"}
RECORDS = {"record_fragment": True}
SITE = "first.second.third.test"


def client(processes: Processes, server: int, tls: dict[str, Any], *more: dict[str, Any], **options: Any) -> int:
    """gproxy that goes out by Trojan; the port of its mixed inbound."""
    port = free_port()
    outbound = {"type": "trojan", "server": LOOPBACK, "server_port": server, "password": PASSWORD, **options}
    outbound["tls"] = {"enabled": True, **tls}
    inbound = {"type": "mixed", "listen": LOOPBACK, "listen_port": port}
    start_gproxy(processes, {"inbounds": [inbound], "outbounds": [outbound, *more]})
    return port


class Silent:
    """A server that reads what comes and says nothing: the pieces as they come, as a context."""

    def __init__(self) -> None:
        self._listener = socket.create_server((LOOPBACK, 0))
        self.port: int = self._listener.getsockname()[1]
        self.pieces: list[bytes] = []
        self._thread = threading.Thread(target=self._serve, daemon=True)
        self._thread.start()

    def _serve(self) -> None:
        stream, _ = self._listener.accept()
        stream.settimeout(20)
        with stream:
            while not self._whole():
                self.pieces.append(stream.recv(65536))
                assert self.pieces[-1], "the client has left"

    def _whole(self) -> bool:
        data = b"".join(self.pieces)
        at, have = 0, 0
        while len(data) >= at + RECORD_HEAD:
            at, have = at + RECORD_HEAD + int.from_bytes(data[at + 3 : at + 5], "big"), have + 1
        return bool(have) and len(data) == at and len(data) > 4 and self._complete(data)

    @staticmethod
    def _complete(data: bytes) -> bool:
        try:
            return decode_client_hello(Cursor(data)).server_name == SITE
        except Exception:
            return False

    def __enter__(self) -> Silent:
        return self

    def __exit__(self, *_error: object) -> None:
        self._listener.close()

    def hear(self, port: int) -> list[bytes]:
        """What comes when somebody goes through our client."""
        with socket.create_connection((LOOPBACK, port)) as asking:
            asking.sendall(b"\x05\x01\x00")
            assert asking.recv(2) == b"\x05\x00"
            asking.sendall(b"\x05\x01\x00\x01\x7f\x00\x00\x01\x00\x09")
            self._thread.join(20)
        assert not self._thread.is_alive()
        return self.pieces


def whole_labels(piece: bytes) -> list[bytes]:
    return [label for label in SITE.encode().split(b".")[:-1] if label in piece]


def test_as_it_is(processes: Processes) -> None:
    with Silent() as server:
        pieces = server.hear(client(processes, server.port, {"server_name": SITE}))
    assert SITE.encode() in b"".join(pieces)


@pytest.mark.parametrize("over", ["the network", "a detour"])
def test_in_packets(over: str, processes: Processes) -> None:
    detour = ({"type": "direct", "tag": "there"},) if over == "a detour" else ()
    options = {"detour": "there"} if detour else {}
    with Silent() as server:
        pieces = server.hear(client(processes, server.port, {"server_name": SITE, **PACKETS}, *detour, **options))
    assert len(pieces) == 4
    assert not any(whole_labels(piece) for piece in pieces)
    assert SITE.encode() in b"".join(pieces)


def test_in_records(processes: Processes) -> None:
    with Silent() as server:
        data = b"".join(server.hear(client(processes, server.port, {"server_name": SITE, **RECORDS})))
    assert not whole_labels(data)
    assert data.count(b"\x16\x03\x01") == 4


def test_in_packets_that_are_records(processes: Processes) -> None:
    with Silent() as server:
        pieces = server.hear(client(processes, server.port, {"server_name": SITE, **PACKETS, **RECORDS}))
    assert [piece[:3] for piece in pieces] == [b"\x16\x03\x01"] * 4
    assert all(int.from_bytes(piece[3:5], "big") == len(piece) - RECORD_HEAD for piece in pieces)


@pytest.mark.parametrize("pieces", [PACKETS, RECORDS, PACKETS | RECORDS])
@pytest.mark.parametrize("version", ["1.2", "1.3"])
def test_nginx(version: str, pieces: dict[str, Any], processes: Processes, far: Far, certificate: Certificate) -> None:
    [behind] = gproxy_servers(processes, certificate, [Link("trojan", WS)])
    front = nginx(processes, certificate, {str(WS["path"]): behind})
    trusted = {"server_name": NAME, "certificate_path": str(certificate.authority), "max_version": version}
    with Recorder(front) as between:
        port = client(processes, between.port, trusted | pieces, transport=WS)
        for _ in range(3):
            echo(port, (LOOPBACK, far.tcp.port), MIB)
        assert len(between.streams) == 3
        for said in between.streams:
            assert (b"peer" in said[:2000]) == (pieces is PACKETS), "the recorder sees no packets, but records"
