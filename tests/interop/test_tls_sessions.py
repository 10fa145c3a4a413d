"""Sessions that go on, with the TLS of others. Xray gives no tickets."""

from __future__ import annotations

from typing import Any

import pytest

from gproxy.wire.clienthello import RECORD_HEAD
from tests.interop.lab import dial
from tests.interop.recorder import Recorder
from tests.interop.test_tls_pieces import client
from tests.interop.traffic import Far, far
from tests.interop.transports import WS, Link, gproxy_servers, nginx, sing_box_servers
from tests.support.ports import LOOPBACK
from tests.support.procs import Processes
from tests.support.tls import NAME, Certificate
from tests.support.wait import wait_until

__all__ = ["far"]


def _nginx(processes: Processes, certificate: Certificate) -> int:
    [behind] = gproxy_servers(processes, certificate, [Link("trojan", WS)])
    return nginx(processes, certificate, {str(WS["path"]): behind})


def _sing_box(processes: Processes, certificate: Certificate) -> int:
    return sing_box_servers(processes, certificate, [Link("trojan", WS, tls=True)])[0]


def _gproxy(processes: Processes, certificate: Certificate) -> int:
    return gproxy_servers(processes, certificate, [Link("trojan", WS, tls=True)])[0]


SERVERS = {"nginx": _nginx, "sing-box": _sing_box, "gproxy": _gproxy}


@pytest.mark.parametrize("name", SERVERS)
@pytest.mark.parametrize("version", ["1.2", "1.3"])
def test_the_second_connection_goes_on_with_the_first_ones_session(
    name: str, version: str, processes: Processes, far: Far, certificate: Certificate
) -> None:
    trusted = {"server_name": NAME, "certificate_path": str(certificate.authority), "max_version": version}
    with Recorder(SERVERS[name](processes, certificate)) as between:
        port = client(processes, between.port, trusted, transport=WS)
        for turn in range(3):
            _one(port, far)
            wait_until(lambda turn=turn: between.ended == turn + 1, "the connection goes on")
        told = [len(bytes(answer)) for answer in between.answers]
        assert told[1] < told[0] - 300, f"{told}: the certificate came again"
        assert told[2] < told[0] - 300, f"{told}: the certificate came again"
        tickets = [_last(bytes(said)) for said in between.streams]
        if version == "1.3":
            assert tickets[1] != tickets[2], "a ticket comes twice"


def _one(port: int, far: Far) -> None:
    with dial(port, (LOOPBACK, far.tcp.port)) as stream:
        stream.sendall(b"x")
        assert stream.recv(1) == b"x"


def _last(said: bytes) -> bytes:
    """The end of a hello, where TLS 1.3 has the ticket."""
    return said[RECORD_HEAD : RECORD_HEAD + int.from_bytes(said[3:5], "big")][-200:]


def test_a_server_of_another_name_never_gets_a_session(
    processes: Processes, far: Far, certificate: Certificate
) -> None:
    """Also where another one, to the same server, has been before."""
    trusted: dict[str, Any] = {"server_name": NAME, "certificate_path": str(certificate.authority)}
    with Recorder(_nginx(processes, certificate)) as between:
        for _ in range(2):
            _one(client(processes, between.port, trusted, transport=WS), far)
        wait_until(lambda: between.ended == 2, "a connection goes on")
        told = [len(bytes(answer)) for answer in between.answers]
        assert abs(told[0] - told[1]) < 100
