"""What a server must not answer: wrong keys, recordings, wrong clocks, garbage. Crafted, or recorded from peers.

What the crafted messages are worth is shown by the other servers, which must treat them alike.
"""

from __future__ import annotations

import os
import selectors
import socket
import struct
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager

import pytest

from tests.interop.lab import Association, dial, start_gproxy
from tests.interop.recorder import Recorder
from tests.interop.shadowsocks import (
    PEERS,
    gproxy_client,
    gproxy_server,
    options,
    password_for,
    sing_box_client,
    sing_box_server,
    ss_local,
    ss_server,
    xray_client,
    xray_server,
)
from tests.interop.traffic import Far, echo, far
from tests.support.ports import LOOPBACK, free_ports
from tests.support.procs import Process, Processes
from tests.support.shadowsocks import Key, Packets, Request, address, key_of

__all__ = ["far"]

AEAD = "aes-256-gcm"
MODERN = "2022-blake3-aes-128-gcm"
RETIRED = "aes-256-cfb"
DEADLINE = 15.0  # of gproxy's handshakes
LATE = 3.0  # seconds by which a busy machine may miss it
SILENCE = 1.0  # after which no answer is one

Server = Callable[..., int]
SERVERS: dict[str, list[Server]] = {
    AEAD: [gproxy_server, sing_box_server, xray_server, ss_server],
    MODERN: [gproxy_server, sing_box_server, xray_server],
}
EVERY_SERVER = [(method, server) for method, servers in SERVERS.items() for server in servers]


def key(method: str, whose: str = "server") -> Key:
    return key_of(method, password_for(method, whose))


def check_silence(streams: Iterable[socket.socket]) -> None:
    """Nobody says anything, or hangs up, or does. Raises AssertionError."""
    end = time.monotonic() + SILENCE
    for stream in streams:
        stream.settimeout(max(0.01, end - time.monotonic()))
        try:
            assert stream.recv(65536) == b""
        except (TimeoutError, ConnectionError):
            continue


def check_unanswered(port: int, said: Sequence[bytes]) -> None:
    """None of these is answered when it is the first that a server hears. Raises AssertionError."""
    with ExitStack() as stack:
        streams = [stack.enter_context(socket.create_connection((LOOPBACK, port), 5)) for _ in said]
        for stream, words in zip(streams, said, strict=True):
            stream.sendall(words)
        check_silence(streams)


def check_request(port: int, request: Request, payload: bytes) -> None:
    """A good request for an echo is answered. Raises AssertionError."""
    answer, opener = b"", request.answer()
    with socket.create_connection((LOOPBACK, port), 10) as stream:
        stream.sendall(request.first)
        while len(answer) < len(payload) and (piece := stream.recv(65536)):
            answer += opener.feed(piece)
    assert answer == payload


# -- clocks ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("server", SERVERS[MODERN])
def test_clocks_that_differ(server: Server, processes: Processes, far: Far) -> None:
    port = server(processes, MODERN, password_for(MODERN))
    target, packet_target = address(LOOPBACK, far.tcp.port), address(LOOPBACK, far.udp.port)
    for late in (0.0, 25.0, -25.0):
        check_request(port, Request(key(MODERN), target, b"hello", late=late), b"hello")
    wrong = (31.5, -31.5, 3600, -3600)
    check_unanswered(port, [Request(key(MODERN), target, b"hello", late=late).first for late in wrong])
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as client:
        client.connect((LOOPBACK, port))
        client.settimeout(30)
        for late in wrong:
            client.send(Packets(key(MODERN)).seal(packet_target, b"bad", late=late))
        for late in (25, -25):
            packets = Packets(key(MODERN))
            client.send(packets.seal(packet_target, b"good", late=late))
            assert packets.open(client.recv(65535)) == (packet_target, b"good"), late


# -- datagrams ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("method", "server"), EVERY_SERVER)
def test_datagrams_that_are_dropped(method: str, server: Server, processes: Processes, far: Far) -> None:
    port = server(processes, method, password_for(method))
    target = address(LOOPBACK, far.udp.port)
    ours = Packets(key(method))
    good = ours.seal(target, b"good")
    bad = [
        b"", b"\0", os.urandom(15), os.urandom(16), os.urandom(47), os.urandom(1200), good[:-1], good[:20],
        good[:40] + bytes([good[40] ^ 1]) + good[41:],
        Packets(key(method, "stranger")).seal(target, b"bad"),
        Packets(key(_other(method))).seal(target, b"bad"),
        Packets(key(method)).seal(b"\x09" + target[1:], b"bad"),
        Packets(key(method)).seal(b"\x03\xff", b"bad"),
        Packets(key(method)).seal(b"", b""),
    ]  # fmt: skip
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as client:
        client.connect((LOOPBACK, port))
        client.settimeout(30)
        for packet in bad:
            client.send(packet)
        client.send(good)
        assert ours.open(client.recv(65535)) == (target, b"good")
        for packet in bad:  # from a client that is known by now
            client.send(packet)
        client.send(ours.seal(target, b"again"))
        assert ours.open(client.recv(65535)) == (target, b"again")


def _other(method: str) -> str:
    return {AEAD: "chacha20-ietf-poly1305", MODERN: "2022-blake3-aes-256-gcm"}[method]


@pytest.mark.parametrize("server", SERVERS[MODERN])
def test_datagrams_that_come_twice(server: Server, processes: Processes, far: Far) -> None:
    """The window slides: a packet that was overtaken counts once, one that is too old not at all."""
    port = server(processes, MODERN, password_for(MODERN))
    target = address(LOOPBACK, far.udp.port)
    packets = Packets(key(MODERN))
    numbered = [packets.seal(target, f"{number}".encode(), number=number) for number in (0, 7, 3, 100_000)]
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as client:
        client.connect((LOOPBACK, port))
        client.settimeout(30)
        for packet, payload in zip(numbered[:3], (b"0", b"7", b"3"), strict=True):
            client.send(packet)
            assert packets.open(client.recv(65535))[1] == payload
            client.send(packet)
        client.send(numbered[3])
        assert packets.open(client.recv(65535))[1] == b"100000"
        for packet in (*numbered, packets.seal(target, b"old", number=50)):
            client.send(packet)
        client.send(packets.seal(target, b"last", number=100_001))
        assert packets.open(client.recv(65535))[1] == b"last"


# -- recordings of real clients ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("method", "client"),
    [
        (AEAD, ss_local),
        (AEAD, gproxy_client),
        (MODERN, sing_box_client),
        (MODERN, xray_client),
        (MODERN, gproxy_client),
    ],
)
def test_a_recorded_conversation(
    method: str, client: Callable[[Processes, str, str, int], int], processes: Processes, far: Far
) -> None:
    server = gproxy_server(processes, method, password_for(method))
    with Recorder(server) as recorder, socket.create_server((LOOPBACK, 0)) as target:
        port = client(processes, method, password_for(method), recorder.port)
        with dial(port, target.getsockname()) as near:
            near.sendall(b"question")
            target.settimeout(10)
            with target.accept()[0] as there:
                assert there.recv(100) == b"question"
        recording = bytes(recorder.streams[-1])
        check_unanswered(server, [recording, recording[:200]])
        target.settimeout(0.1)
        with pytest.raises(TimeoutError):  # nobody was sent there a second time
            target.accept()
        echo(port, (LOOPBACK, far.tcp.port), 1)
        if method == MODERN:
            with Association(port) as association:
                association.echo((LOOPBACK, far.udp.port))
            with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as attacker:
                attacker.settimeout(SILENCE)
                for packet in recorder.packets:
                    attacker.sendto(packet, (LOOPBACK, server))
                with pytest.raises(TimeoutError):
                    attacker.recv(65535)


# -- the wrong half ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "method"), [("libev", AEAD), ("sing-box", MODERN), ("sing-box", AEAD), ("Xray", MODERN)]
)
def test_wrong_keys_and_methods_at_our_server(name: str, method: str, processes: Processes, far: Far) -> None:
    server = gproxy_server(processes, method, password_for(method))
    make = PEERS[name].client
    stranger = make(processes, method, password_for(method, "stranger"), server)
    foreigner = make(processes, _other(method), password_for(_other(method)), server)
    check_unserved((stranger, foreigner), far)
    echo(make(processes, method, password_for(method), server), (LOOPBACK, far.tcp.port), 1)


@pytest.mark.parametrize(
    ("name", "method"), [("libev", AEAD), ("sing-box", MODERN), ("sing-box", AEAD), ("Xray", MODERN)]
)
def test_wrong_keys_and_methods_of_our_client(name: str, method: str, processes: Processes, far: Far) -> None:
    server = PEERS[name].server(processes, method, password_for(method))
    stranger = gproxy_client(processes, method, password_for(method, "stranger"), server)
    foreigner = gproxy_client(processes, _other(method), password_for(_other(method)), server)
    check_unserved((stranger, foreigner), far)


def check_unserved(ports: Iterable[int], far: Far) -> None:
    """Nothing gets through. Raises AssertionError."""
    with ExitStack() as stack:
        streams = [stack.enter_context(dial(port, (LOOPBACK, far.tcp.port))) for port in ports]
        for stream in streams:
            stream.sendall(b"hello")
        check_silence(streams)
    for port in ports:
        with Association(port) as association:
            association.silent((LOOPBACK, far.udp.port))


# -- nothing is to be learnt -------------------------------------------------------------------------------------------


def test_who_fails_learns_nothing(processes: Processes, far: Far) -> None:
    """No byte, and the same end at the same time, whatever is wrong; one line in the log for each with its reason."""
    process, ports = _three_inbounds(processes)
    target = address(LOOPBACK, far.tcp.port)
    probes = {(AEAD, *name): data for name, data in _aead_probes(target).items()}
    probes |= {(MODERN, *name): data for name, data in _modern_probes(target).items()}
    probes |= {(RETIRED, "protocol", "no address"): b"\0" * 16 + bytes(range(64))}
    probes |= {(RETIRED, "protocol-timeout", "silence"): b""}
    for method in (AEAD, MODERN):
        request = Request(key(method), target, b"hello")
        check_request(ports[method], request, b"hello")
        probes[method, "replay", "a recording"] = request.first
    started = time.monotonic()
    with _all_open({name: (ports[name[0]], data) for name, data in probes.items()}) as streams:
        ends = _ends(streams, started + DEADLINE + LATE)
    assert {name: end for name, end in ends.items() if end[0]} == {}, "bytes came back"
    times = [end[1] - started for end in ends.values()]
    assert min(times) > DEADLINE - 0.1
    assert max(times) - min(times) < LATE
    words = {name[1] for name in probes}
    for word in words:
        process.wait_log(word)


def _three_inbounds(processes: Processes) -> tuple[Process, dict[str, int]]:
    methods = (AEAD, MODERN, RETIRED)
    ports = dict(zip(methods, free_ports(3), strict=True))
    inbounds = [
        {
            "type": "shadowsocks",
            "listen": LOOPBACK,
            "listen_port": ports[method],
            **options(method, password_for(method)),
        }
        for method in methods
    ]
    return start_gproxy(processes, {"inbounds": inbounds}), ports


def _aead_probes(target: bytes) -> Mapping[tuple[str, str], bytes]:
    ours = key(AEAD)
    whole = Request(ours, target, b"hello").first
    odd = Request(ours, b"", b"")  # nothing but the salt
    return {
        ("auth", "garbage"): os.urandom(500),
        ("auth", "another key"): Request(key(AEAD, "stranger"), target, b"hello").first,
        ("auth", "another method"): Request(key(_other(AEAD)), target, b"hello").first,
        ("auth", "a wrong tag"): whole[:-1] + bytes([whole[-1] ^ 1]),
        ("auth", "HTTP"): b"GET / HTTP/1.1\r\nHost: example.org\r\n\r\n" * 4,
        ("protocol", "no such address type"): Request(ours, b"\x09" + target[1:], b"hello").first,
        ("protocol", "a length that can't be"): odd.first + odd.twisted(struct.pack("!H", 0x4000), bytes(64)),
        ("protocol-timeout", "silence"): b"",
        ("protocol-timeout", "half a salt"): whole[:10],
        ("protocol-timeout", "half a chunk"): whole[:-8],
    }


def _modern_probes(target: bytes) -> Mapping[tuple[str, str], bytes]:
    ours = key(MODERN)
    whole = Request(ours, target, b"hello").first
    return {
        ("auth", "garbage"): os.urandom(500),
        ("auth", "another key"): Request(key(MODERN, "stranger"), target, b"hello").first,
        ("auth", "another method"): Request(key(_other(MODERN)), target, b"hello").first,
        ("auth", "an older method"): Request(key(AEAD), target, b"hello").first,
        ("auth", "a wrong tag"): whole[:-1] + bytes([whole[-1] ^ 1]),
        ("protocol-time", "late"): Request(ours, target, b"hello", late=-31.5).first,
        ("protocol-time", "early"): Request(ours, target, b"hello", late=31.5).first,
        ("protocol", "a response"): Request(ours, target, b"hello", kind=1).first,
        ("protocol", "no such address type"): Request(ours, b"\x09" + target[1:], b"hello").first,
        ("protocol", "no payload, no padding"): Request(ours, target, b"").first,
        ("protocol-timeout", "silence"): b"",
        ("protocol-timeout", "half a header"): whole[:30],
        ("protocol-timeout", "half a request"): whole[:-8],
    }


@contextmanager
def _all_open(probes: Mapping[tuple[str, ...], tuple[int, bytes]]) -> Iterator[dict[tuple[str, ...], socket.socket]]:
    streams: dict[tuple[str, ...], socket.socket] = {}
    try:
        for name, (port, data) in probes.items():
            streams[name] = socket.create_connection((LOOPBACK, port), 5)
            streams[name].sendall(data)
        yield streams
    finally:
        for stream in streams.values():
            stream.close()


def _ends(streams: Mapping[tuple[str, ...], socket.socket], until: float) -> dict[tuple[str, ...], tuple[bytes, float]]:
    """What each heard, and when it ended."""
    ends: dict[tuple[str, ...], tuple[bytes, float]] = {}
    with selectors.DefaultSelector() as selector:
        for name, stream in streams.items():
            selector.register(stream, selectors.EVENT_READ, name)
        while len(ends) < len(streams):
            ready = selector.select(until - time.monotonic())
            assert ready or time.monotonic() < until, f"still open: {streams.keys() - ends.keys()}"
            for item, _ in ready:
                stream = streams[item.data]
                try:
                    heard = stream.recv(65536)
                except ConnectionResetError:
                    heard = b"reset"
                ends[item.data] = heard, time.monotonic()
                selector.unregister(stream)
    return ends
