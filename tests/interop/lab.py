"""Where the peers are, and what a test asks of a proxy from outside: by curl, or datagram by datagram."""

from __future__ import annotations

import os
import shutil
import socket
import struct
from collections.abc import Iterable, Mapping
from pathlib import Path
from types import TracebackType
from typing import Any, BinaryIO

import pytest

from tests.support.ports import LOOPBACK, free_port
from tests.support.procs import Process, Processes, curl

_SYSTEM = os.pathsep.join((os.environ.get("PATH", os.defpath), "/usr/sbin", "/usr/local/sbin", "/sbin"))
_TRIES = 3
_WAIT = 3.0  # seconds for an answer to a datagram
_PATIENCE = 20.0  # for a stream, on a busy machine
_SILENCE = 0.7  # after which no answer is one
_LONGEST_HEADER = 3 + 1 + 1 + 255 + 2


def folder() -> Path:
    """Where tests/interop/setup.sh has put what is not a package of the system."""
    return Path(os.environ.get("GPROXY_PEERS", "/tmp/peers"))


def program(name: str) -> str:
    """The path of a peer's program. A missing one skips the test on a desk, and fails it where CI is set."""
    for place in (folder() / name, folder() / "venv/bin" / name):
        if place.is_file() and os.access(place, os.X_OK):
            return str(place)
    found = shutil.which(name, path=_SYSTEM)
    if found is not None:
        return found
    if os.environ.get("CI"):
        pytest.fail(f"{name} is not installed: sh tests/interop/setup.sh")
    pytest.skip(f"{name} is not installed: sh tests/interop/setup.sh")


def fetch(proxy: str, url: str, *arguments: str) -> bytes:
    """The body of `url`, by curl through `proxy` (`socks5h://127.0.0.1:1080`). Raises ProcessFailed."""
    program("curl")
    return curl("-x", proxy, *arguments, url)


def udp_echo(target: tuple[str, int], payload: bytes = b"ping") -> None:
    """A datagram there and back, without a proxy in sight. Raises AssertionError."""
    with socket.socket(socket.AF_INET6 if ":" in target[0] else socket.AF_INET, socket.SOCK_DGRAM) as client:
        assert _ask(client, target, payload) == payload


def socks5_udp(
    port: int,
    target: tuple[str, int],
    payload: bytes = b"ping",
    *,
    user: tuple[str, str] | None = None,
    domain: str = "",
) -> None:
    """SOCKS5 UDP ASSOCIATE, then one datagram there and back, by address or by `domain`. Raises AssertionError."""
    with Association(port, user) as association:
        association.echo((domain or target[0], target[1]), payload)


class Association:
    """A SOCKS5 UDP ASSOCIATE at a port of ours, as a context."""

    def __init__(self, port: int, user: tuple[str, str] | None = None) -> None:
        self._control = socket.create_connection((LOOPBACK, port), _WAIT)
        self._packets = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        try:
            self._packets.bind((LOOPBACK, 0))
            stream = _greet(self._control, user)
            self._relay = _request(stream, 3, b"\x01" + bytes(6))
        except BaseException:
            self.close()
            raise

    def echo(self, target: tuple[str, int], payload: bytes = b"ping") -> None:
        """Send a datagram to an echo, an address or a domain, and have it back. Raises AssertionError."""
        answer = _ask(self._packets, self._relay, b"\0\0\0" + _address(target) + payload)
        assert answer[:3] == b"\0\0\0", answer
        assert answer.endswith(payload), answer
        assert len(answer) <= _LONGEST_HEADER + len(payload)

    def ask(self, target: tuple[str, int], payload: bytes) -> bytes:
        """Send a datagram to an address or a domain; what its answer holds. Raises AssertionError."""
        head = b"\0\0\0" + _address(target)
        answer = _ask(self._packets, self._relay, head + payload)
        assert answer.startswith(head), answer
        return answer[len(head) :]

    def silent(self, target: tuple[str, int], payload: bytes = b"ping") -> None:
        """Send a datagram that nobody may answer. Raises AssertionError."""
        self._packets.settimeout(_SILENCE)
        self._packets.sendto(b"\0\0\0" + _address(target) + payload, self._relay)
        try:
            answer = self._packets.recv(65535)
        except TimeoutError:
            return
        raise AssertionError(f"an answer: {answer!r}")

    def close(self) -> None:
        """End it."""
        self._packets.close()
        self._control.close()

    def __enter__(self) -> Association:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def dial(port: int, target: tuple[str, int], user: tuple[str, str] | None = None) -> socket.socket:
    """A stream to `target`, by address or by domain, through the SOCKS5 server at `port`. Raises AssertionError."""
    stream = socket.create_connection((LOOPBACK, port), _PATIENCE)
    try:
        _request(_greet(stream, user), 1, _address(target))
    except BaseException:
        stream.close()
        raise
    return stream


def _greet(control: socket.socket, user: tuple[str, str] | None) -> BinaryIO:
    stream = control.makefile("rwb", buffering=0)
    stream.write(b"\x05\x01" + (b"\x02" if user else b"\x00"))
    assert stream.read(2) == (b"\x05\x02" if user else b"\x05\x00")
    if user is not None:
        name, password = (text.encode() for text in user)
        stream.write(bytes([1, len(name)]) + name + bytes([len(password)]) + password)
        assert stream.read(2) == b"\x01\x00"
    return stream


def _request(stream: BinaryIO, command: int, address: bytes) -> tuple[str, int]:
    """The address in the reply, ours if it names none."""
    stream.write(bytes((5, command, 0)) + address)
    head = stream.read(4)
    assert head[:3] == b"\x05\x00\x00", head
    host = stream.read({1: 4, 4: 16}[head[3]])
    (port,) = struct.unpack("!H", stream.read(2))
    text = socket.inet_ntop(socket.AF_INET if len(host) == 4 else socket.AF_INET6, host)
    return (LOOPBACK if text in ("0.0.0.0", "::") else text), port


def _address(target: tuple[str, int]) -> bytes:
    """A target, an address or a domain, as SOCKS has it."""
    host, port = target
    if ":" in host:
        packed = b"\x04" + socket.inet_pton(socket.AF_INET6, host)
    elif host.replace(".", "").isdigit():
        packed = b"\x01" + socket.inet_aton(host)
    else:
        packed = bytes([3, len(host)]) + host.encode()
    return packed + struct.pack("!H", port)


def _ask(client: socket.socket, to: tuple[str, int], datagram: bytes) -> bytes:
    """Send, and wait for the answer; datagrams may be lost, so it tries again."""
    client.settimeout(_WAIT)
    for _ in range(_TRIES):
        client.sendto(datagram, to)
        try:
            return client.recv(65535)
        except TimeoutError:
            continue
    raise AssertionError(f"no answer from {to}")


def start_gproxy(processes: Processes, config: Mapping[str, Any], *, udp: Iterable[int] = ()) -> Process:
    """gproxy with this configuration, which at the end of the test waits for no UDP session to fall asleep."""
    return processes.gproxy({"runtime": {"stop_grace": "10ms"}, **config}, udp=udp)


def through(processes: Processes, kind: str, *outbounds: dict[str, Any]) -> int:
    """gproxy with a mixed inbound that goes out through the first of these outbounds of one kind; its port."""
    port = free_port()
    inbound = {"type": "mixed", "listen": LOOPBACK, "listen_port": port}
    config = {"inbounds": [inbound], "outbounds": [{"type": kind, "server": LOOPBACK, **one} for one in outbounds]}
    start_gproxy(processes, config)
    return port


def credentials(user: tuple[str, str] | None) -> dict[str, str]:
    """A user as an outbound's options."""
    return {"username": user[0], "password": user[1]} if user else {}
