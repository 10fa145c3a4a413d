"""Clients that are broken or hostile: each gets its protocol's reply, or a close, and one line in the log."""

from __future__ import annotations

import random
import socket
import struct
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest

from tests.e2e.clients import (
    Refused,
    connect,
    everything,
    exactly,
    packed,
    say,
    socks5,
    socks5_request,
    tunnel,
)
from tests.e2e.proxy import Launcher, Proxy, inbound
from tests.e2e.servers import reset, serving
from tests.support.origin import HELLO, Server
from tests.support.ports import free_port
from tests.support.procs import curl
from tests.support.wait import wait_until

REJECTED4 = b"\0\x5b"
HTTP = b"HTTP/1.1 %d "

# What is said, what the answer begins with, the status word.
SOCKS = [
    (b"\x05\x01\x00\x05\x02\x00\x01\0\0\0\0\0\0", b"\x05\x00\x05\x07", "unsupported-command"),  # BIND
    (b"\x05\x01\x00\x05\x09\x00\x01\0\0\0\0\0\0", b"\x05\x00\x05\x07", "unsupported-command"),
    (b"\x05\x01\x00\x05\x01\x00\x02\0\0\0\0\0\0", b"\x05\x00\x05\x08", "unsupported-address"),  # address type 2
    (b"\x05\x01\x00\x04\x01\x00\x01\0\0\0\0\0\0", b"\x05\x00\x05\x01", "protocol"),  # another version in the request
    (b"\x05\x01\x00\x05\x01\x00\x03\x00\0\0", b"\x05\x00\x05\x01", "protocol"),  # an empty domain
    (b"\x05\x01\x00\x05\x01\x00\x03\x04a\nb!\0\x50", b"\x05\x00\x05\x01", "protocol"),
    (b"\x05\x01\x00\x05\x01\x00\x03\x02\xff\xfe\0\x50", b"\x05\x00\x05\x01", "protocol"),
    (b"\x05\x01\x01", b"\x05\xff", "auth-method"),  # GSSAPI only
    (b"\x05\x00", b"\x05\xff", "auth-method"),  # no method at all
    (b"\x05\x01\x02\x02\x01u\x01p", b"\x05\x02\x01\x01", "protocol"),  # a password message of another version
    (b"\x04\x02\0\x50\x7f\0\0\x01\0", REJECTED4, "unsupported-command"),
    (b"\x04\x01\0\x50\0\0\0\x01\0bad name\0", REJECTED4, "protocol"),
    (b"\x04\x01\0\x50\x7f\0\0\x01" + b"u" * 2000, REJECTED4, "limit"),
    (b"\x04\x01\0\x50\0\0\0\x01u\0" + b"d" * 2000, REJECTED4, "limit"),
]

WEB = [
    (b"GET / HTTP/1.1\r\nHost: x\r\n\r\n", 400, "protocol"),
    (b"GET ftp://x/ HTTP/1.1\r\nHost: x\r\n\r\n", 501, "unsupported-scheme"),
    (b"GET http://x/ HTTP/1.1\r\n\r\n", 400, "protocol"),  # no Host
    (b"GET http://x/ HTTP/1.1\r\nHost: x\r\nHost: x\r\n\r\n", 400, "protocol"),
    (b"GET http://x/ HTTP/3.0\r\nHost: x\r\n\r\n", 505, "unsupported-version"),
    (b"GET http://x:99999/ HTTP/1.1\r\nHost: x\r\n\r\n", 400, "protocol"),
    (b"GET http://[::1/ HTTP/1.1\r\nHost: x\r\n\r\n", 400, "protocol"),
    (b"TRACE http://x/ HTTP/1.1\r\nHost: x\r\n\r\n", 405, "unsupported-method"),
    (b"CONNECT x HTTP/1.1\r\nHost: x\r\n\r\n", 400, "protocol"),
    (b"CONNECT x:0x50 HTTP/1.1\r\nHost: x\r\n\r\n", 400, "protocol"),
    (b"CONNECT http://x/ HTTP/1.1\r\nHost: x\r\n\r\n", 400, "protocol"),
    (b"GET http://x/ HTTP/1.1\r\nHost: x\r\nA: b\r\n c\r\n\r\n", 400, "protocol"),  # a folded line
    (b"GET http://x/ HTTP/1.1\r\nHost : x\r\n\r\n", 400, "protocol"),
    (b"GET http://x/ HTTP/1.1\r\nHost: x\r\nA: \0\r\n\r\n", 400, "protocol"),
    (b"GET http://x/ HTTP/1.1\r\nHost: x\r\nnonsense\r\n\r\n", 400, "protocol"),
    (b"GET  http://x/ HTTP/1.1\r\nHost: x\r\n\r\n", 400, "protocol"),
    (b"POST http://x/ HTTP/1.1\r\nHost: x\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nab", 400, "protocol"),
    (b"POST http://x/ HTTP/1.1\r\nHost: x\r\nContent-Length: -1\r\n\r\n", 400, "protocol"),
    (b"POST http://x/ HTTP/1.1\r\nHost: x\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", 400,
     "protocol"),
    (b"POST http://x/ HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: gzip\r\n\r\n", 501, "unsupported-coding"),
    (b"GET http://x/" + b"a" * 20_000 + b" HTTP/1.1\r\n\r\n", 414, "limit-target"),
    (b"GET http://x/ HTTP/1.1\r\nHost: x\r\nA: " + b"a" * 100_000 + b"\r\n\r\n", 431, "limit"),
    (b"GET http://x/ HTTP/1.1\r\nHost: x\r\n" + b"A: b\r\n" * 20_000 + b"\r\n", 431, "limit"),
    (b"\x16\x03\x01\x02\0\x01\0\x01\xfc\x03\x03" + b"\0" * 100, 400, "protocol"),  # TLS where none is spoken
    (b"SSH-2.0-OpenSSH_9.2\r\n", 400, "protocol"),
    (b"\0" * 1000, 400, "protocol"),
    (b"\r\n" * 5000, 400, "protocol"),
]  # fmt: skip


@pytest.fixture
def alive(proxy: Proxy, site: Server) -> Iterator[Proxy]:
    """A proxy that must still serve when the test is over, and on a connection from before it."""
    with tunnel(proxy.port, (site.host, site.port)) as early:
        yield proxy
        early.sendall(b"GET / HTTP/1.0\r\n\r\n")
        assert everything(early).endswith(HELLO)
    for scheme in ("socks5h", "socks4", "http"):
        assert curl("-x", proxy.url(scheme), f"http://{site.authority}/") == HELLO


def statuses(proxy: Proxy, count: int, seconds: float = 20.0) -> list[str]:
    """The words of so many sessions that went nowhere, in the order in which their clients came."""
    wait_until(lambda: len(proxy.sessions()) >= count, lambda: proxy.process.log[-3000:], seconds)
    sessions = sorted(proxy.sessions(), key=lambda session: int(session["session"]))
    assert len(sessions) == count, sessions[-5:]
    return [session["status"] for session in sessions]


def test_broken_socks(alive: Proxy) -> None:
    for said, answer, _ in SOCKS:
        assert say(alive.port, said).startswith(answer), said
    assert statuses(alive, len(SOCKS)) == [word for _, _, word in SOCKS]


def test_broken_http(alive: Proxy) -> None:
    for said, status, _ in WEB:
        heard = say(alive.port, said)
        assert heard.startswith(HTTP % status), (said[:100], heard)
        assert len(heard) < 500
    assert statuses(alive, len(WEB)) == [word for _, _, word in WEB]


def test_handshakes_that_break_off_at_each_byte(alive: Proxy, site: Server) -> None:
    target = (site.host, site.port)
    name = b"localhost:%d" % site.port
    wholes = [
        socks5_request(target),
        socks5_request(("localhost", site.port)),
        b"\x05\x02\x00\x02" + b"\x05\x01\x00" + packed(target),
        b"\x04\x01" + struct.pack("!H", site.port) + socket.inet_aton(site.host) + b"user\0",
        b"\x04\x01" + struct.pack("!H", site.port) + b"\0\0\0\x01user\0localhost\0",
        b"CONNECT %b HTTP/1.1\r\nHost: %b\r\n\r\n" % (name, name),
        b"GET http://%b/ HTTP/1.1\r\nHost: %b\r\n\r\n" % (name, name),
        b"POST http://%b/ HTTP/1.1\r\nHost: %b\r\nContent-Length: 3\r\n\r\n" % (name, name),
    ]
    parts = [whole[:size] for whole in wholes for size in range(len(whole))]
    with ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(lambda part: say(alive.port, part), parts))
    for part, answer in zip(parts, answers, strict=True):
        if part[:1].isalpha():
            assert answer.startswith(b"HTTP/1.1 400 "), (part, answer)
        else:
            assert HELLO not in answer
            assert len(answer) < 20
    assert set(statuses(alive, len(parts))) == {"protocol-empty", "protocol-truncated"}


def test_handshakes_that_are_reset_at_each_byte(alive: Proxy, site: Server) -> None:
    whole = socks5_request((site.host, site.port))
    for size in range(len(whole)):
        sock = connect(alive.port)
        sock.sendall(whole[:size])
        reset(sock)
    assert set(statuses(alive, len(whole))) <= {"closed-reset", "protocol-truncated", "protocol-empty"}


def test_noise(alive: Proxy) -> None:
    dice = random.Random(7)
    noises = [bytes([dice.choice((4, 5, 67, 71, dice.randrange(256)))]) + dice.randbytes(dice.randrange(300))
              for _ in range(300)]  # fmt: skip
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda noise: say(alive.port, noise), noises))
    families = {word.partition("-")[0] for word in statuses(alive, len(noises))}
    assert families <= {"protocol", "auth", "unsupported", "limit", "dial", "closed"}


def test_what_can_t_be_reached(proxy: Proxy) -> None:
    dead = free_port()
    for target, code, status, word in (
        (("127.0.0.1", dead), 5, 502, "dial-refused"),
        (("no-such-name.invalid", 80), 4, 502, "dial-dns"),
        (("198.51.100.9", 80), 4, 502, "dial-unreachable"),
        (("127.0.0.1", 0), 5, 400, ""),
    ):
        with pytest.raises(Refused) as refused:
            tunnel(proxy.port, target)
        assert refused.value.code == code
        for shape in (b"CONNECT %b HTTP/1.1\r\nHost: %b\r\n\r\n", b"GET http://%b/ HTTP/1.1\r\nHost: %b\r\n\r\n"):
            name = b"%b:%d" % (target[0].encode(), target[1])
            assert say(proxy.port, shape % (name, name)).startswith(HTTP % status), name
        ip = b"\0\0\0\x01" if target[0].endswith("d") else socket.inet_aton(target[0])
        domain = target[0].encode() + b"\0" if target[0].endswith("d") else b""
        assert say(proxy.port, b"\x04\x01" + struct.pack("!H", target[1]) + ip + b"\0" + domain)[:2] == REJECTED4
        if word:
            proxy.wait_sessions(4, status=word)


def test_streams_that_break_in_the_middle(alive: Proxy) -> None:
    def breaks(sock: socket.socket) -> None:
        exactly(sock, 1)
        sock.sendall(b"x" * 100_000)
        reset(sock)

    def fetch(number: int) -> None:
        with tunnel(alive.port, (server.host, server.port)) as sock:
            sock.sendall(b"x")
            if number % 2:
                sock.recv(10)
                reset(sock)
            else:
                everything(sock)

    with serving(breaks) as server, ThreadPoolExecutor(10) as pool:
        list(pool.map(fetch, range(100)))
        assert set(statuses(alive, 100)) <= {"closed-reset", "ok"}


def test_responses_that_are_broken(alive: Proxy) -> None:
    """A server's nonsense becomes a 502, and half an answer never looks like a whole one."""
    bad = [
        b"nonsense\r\n\r\n", b"HTTP/1.1 2000 OK\r\n\r\n", b"", b"HTTP/1.1 200 OK\r\nContent-Le",
        b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nab",
        b"HTTP/1.1 200 OK\r\n" + b"A: b\r\n" * 20_000, b"HTTP/1.1 101 Switching Protocols\r\n\r\n",
    ]  # fmt: skip
    halves = [
        b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nab",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nab",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nab\r\nzz\r\n",
    ]
    ask = b"GET http://%b/ HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"
    for answer in (*bad, *halves):

        def answers(sock: socket.socket, answer: bytes = answer) -> None:
            sock.recv(10_000)
            sock.sendall(answer)

        with serving(answers) as server:
            heard = say(alive.port, ask % server.authority.encode(), end=False)
        if answer in bad:
            assert heard.startswith(HTTP % 502), (answer[:60], heard)
        else:
            assert heard.startswith((b"HTTP/1.1 200 OK", HTTP % 502))
            assert not heard.endswith(b"0\r\n\r\n")


@pytest.mark.slow
def test_slow_clients(launch: Launcher, site: Server) -> None:
    """Each has fifteen seconds for all that it says before its stream begins, however busy it keeps the line."""
    proxy = launch(inbound("mixed"), inbound("mixed", tag="balanced", proxy_protocol=True))
    said = [b"", b"\x05", b"\x05\x01\x00", b"\x04\x01", b"GET http://x/ HTTP/1.1\r\nA: ", b"CONNECT x:1 HTTP/1.1\r\n"]
    opened = [connect(proxy.port) for _ in said]
    for sock, start in zip(opened, said, strict=True):
        sock.sendall(start)
    balanced = connect(proxy.ports[1])
    balanced.sendall(b"PROXY TCP4 1.2")
    began = time.monotonic()
    assert everything(balanced) == b""
    assert 4 < time.monotonic() - began < 12
    left = dict(enumerate(opened))
    while left:
        assert time.monotonic() - began < 40, left
        for number, sock in list(left.items()):
            sock.settimeout(0.3)
            try:
                if said[number]:
                    sock.sendall(b"u" if said[number][0] == 4 else b"a" if said[number][0] > 32 else b"")
                if not sock.recv(1000):
                    left.pop(number)
            except TimeoutError:
                continue
            except OSError:
                left.pop(number)
    assert time.monotonic() - began > 13
    for sock in (*opened, balanced):
        sock.close()
    proxy.wait_sessions(len(said) + 1, status="protocol-timeout")
    assert curl("-x", proxy.url("http"), f"http://{site.authority}/") == HELLO


def test_two_methods_of_one_mind(launch: Launcher, site: Server) -> None:
    """A client that offers more than it needs gets what fits, and one that shows a password needlessly is welcome."""
    proxy = launch(inbound("socks"))
    sock, _ = socks5(proxy.port, (site.host, site.port), ("any", "body"))
    with sock:
        sock.sendall(b"GET / HTTP/1.0\r\n\r\n")
        assert everything(sock).endswith(HELLO)
