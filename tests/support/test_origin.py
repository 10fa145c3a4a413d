from __future__ import annotations

import hashlib
import http.client
import socket

from tests.support.origin import HELLO, content, digest, http_origin, tcp_echo, udp_echo


def test_content_is_known_and_no_two_pieces_are_alike() -> None:
    size = 200_000
    pieces = list(content(size))
    assert sum(map(len, pieces)) == size
    assert len(set(pieces)) == len(pieces)
    assert hashlib.sha256(b"".join(pieces)).hexdigest() == digest(size)


def test_the_site() -> None:
    with http_origin() as origin:
        client = http.client.HTTPConnection(origin.host, origin.port, timeout=10)
        for method, path, data, wanted in (
            ("GET", "/", None, HELLO),
            ("GET", "/bytes/70000", None, b"".join(content(70000))),
            ("GET", "/chunked/70000", None, b"".join(content(70000))),
            ("POST", "/", b"a body", b"a body"),
            ("PUT", "/", iter([b"in ", b"chunks"]), b"in chunks"),
            ("GET", "/status/404", None, b""),
        ):
            client.request(method, path, body=data, encode_chunked=method == "PUT")
            assert client.getresponse().read() == wanted
        client.close()


def test_tcp_echo_keeps_half_close() -> None:
    with tcp_echo() as echo, socket.create_connection((echo.host, echo.port), 10) as client:
        client.sendall(b"there and back")
        client.shutdown(socket.SHUT_WR)
        assert client.makefile("rb").read() == b"there and back"


def test_udp_echo() -> None:
    with udp_echo() as echo, socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as client:
        client.settimeout(10)
        client.sendto(b"ping", (echo.host, echo.port))
        assert client.recv(100) == b"ping"
