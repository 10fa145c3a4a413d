"""The load generator's side of Trojan over TLS: what is said, what counts as an answer, and that nothing else does."""

from __future__ import annotations

import hashlib
import socket
import ssl
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest

from tests.bench import origin, secure
from tests.bench.certificate import Certificate, make_certificate
from tests.bench.doors import Declined
from tests.bench.load import Client
from tests.bench.secure import HeldDoor, TlsDoor

Serve = Callable[[ssl.SSLSocket], None]
TARGET = 8080
COUNT = 20
SIZE = 100_000
HEAD_SIZE = 56 + 2 + 8 + 2  # the password's digest in hex, CRLF, command and address, CRLF


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Certificate:
    return make_certificate(tmp_path_factory.mktemp("certificate"))


def context(certificate: Certificate) -> ssl.SSLContext:
    made = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    made.load_cert_chain(certificate.chain, certificate.key)
    return made


@contextmanager
def server(certificate: Certificate, serve: Serve, forgetful: bool = False) -> Iterator[TlsDoor]:
    """The door of a Trojan server that does `serve` after each request. Forgetful: it resumes no session."""
    shared = context(certificate)
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def run() -> None:
            while True:
                try:
                    accepted, _ = listener.accept()
                except OSError:
                    return
                with accepted, suppress(OSError):
                    accepted.settimeout(10)
                    tls = context(certificate) if forgetful else shared
                    with tls.wrap_socket(accepted, server_side=True, suppress_ragged_eofs=False) as wrapped:
                        read(wrapped, HEAD_SIZE)
                        serve(wrapped)

        thread = threading.Thread(target=run)
        thread.start()
        try:
            yield TlsDoor(listener.getsockname()[1], TARGET, str(certificate.chain))
        finally:
            listener.shutdown(socket.SHUT_RDWR)
            thread.join()


def read(stream: ssl.SSLSocket, size: int) -> bytes:
    data = b""
    while len(data) < size:
        got = stream.recv(size - len(data))
        if not got:
            raise ConnectionResetError
        data += got
    return data


def echo(stream: ssl.SSLSocket) -> None:
    while data := stream.recv(4096):
        stream.sendall(data)


def parts(stream: ssl.SSLSocket) -> None:
    while True:
        operation, length = origin.HEAD.unpack(read(stream, origin.HEAD.size))
        assert operation == origin.PART
        stream.sendall(bytes(length))


def sends(data: bytes) -> Serve:
    """The head of a transfer is read, then this is sent."""

    def serve(stream: ssl.SSLSocket) -> None:
        read(stream, origin.HEAD.size)
        stream.sendall(data)
        stream.unwrap()

    return serve


def test_the_request_is_trojans() -> None:
    digest = hashlib.sha224(secure.PASSWORD.encode()).hexdigest().encode()
    request = TlsDoor(1, TARGET, "").request
    assert request == digest + b"\r\n\x01\x01\x7f\x00\x00\x01\x1f\x90\r\n"
    assert len(request) == HEAD_SIZE


@pytest.mark.parametrize("resumed", [False, True])
def test_connections_are_made_and_noted(certificate: Certificate, resumed: bool) -> None:
    ended: list[bool] = []

    def serve(stream: ssl.SSLSocket) -> None:
        echo(stream)  # raises if the client does not say its end
        ended.append(stream.session_reused or False)

    with server(certificate, serve) as door:
        noted = secure.connections(Client(), door, COUNT, 5, resumed)
    assert noted.failed == 0
    assert len(noted.handshakes) == len(noted.answers) == COUNT
    assert ended == [resumed] * COUNT


def test_a_session_that_is_not_resumed_has_failed(certificate: Certificate) -> None:
    with server(certificate, echo, forgetful=True) as door:
        assert secure.connections(Client(), door, COUNT, 5, resumed=True).failed == COUNT


def flawed(stream: ssl.SSLSocket) -> None:
    stream.sendall(stream.recv(4096)[:-1] + b"!")


def silent(_stream: ssl.SSLSocket) -> None:
    """It goes away."""


@pytest.mark.parametrize("serve", [flawed, silent])
def test_another_answer_has_failed(certificate: Certificate, serve: Serve) -> None:
    with server(certificate, serve) as door:
        assert secure.connections(Client(), door, COUNT, 5).failed == COUNT
        with pytest.raises(OSError):
            door.probe()


def test_a_server_that_is_not_the_one(certificate: Certificate, tmp_path: Path) -> None:
    other = make_certificate(tmp_path)
    with server(certificate, echo) as door:
        stranger = TlsDoor(door.port, TARGET, str(other.chain))
        assert secure.connections(Client(), stranger, COUNT, 5).failed == COUNT


def test_held_connections_have_transfers(certificate: Certificate) -> None:
    held = threading.Barrier(2)

    def serve(stream: ssl.SSLSocket) -> None:
        with suppress(ConnectionResetError):
            parts(stream)
        held.wait(10)

    client = Client()
    with server(certificate, serve) as door:
        opened = client.connections(HeldDoor(door, SIZE), 1, 1, keep=True)
        assert opened.failed == 0
        assert client.alive() == client.alive() == 1
        client.release()
        held.wait(10)


def test_a_transfer_that_is_not_whole(certificate: Certificate) -> None:
    def serve(stream: ssl.SSLSocket) -> None:
        read(stream, origin.HEAD.size)
        stream.sendall(bytes(len(origin.BODY)))
        read(stream, origin.HEAD.size)
        stream.sendall(bytes(SIZE - 1))

    client = Client()
    with server(certificate, serve) as door:
        assert client.connections(HeldDoor(door, SIZE), 1, 1, keep=True).failed == 0
        assert client.alive() == 0
        client.release()


def test_a_download(certificate: Certificate) -> None:
    with server(certificate, sends(bytes(SIZE))) as door:
        assert secure.download(Client(), door, SIZE) > 0


@pytest.mark.parametrize("sent", [bytes(SIZE - 1), bytes(SIZE + 1), bytes(SIZE - 1) + b"!"])
def test_another_download(certificate: Certificate, sent: bytes) -> None:
    with server(certificate, sends(sent)) as door, pytest.raises(Declined):
        secure.download(Client(), door, SIZE)


@pytest.mark.parametrize("good", [True, False])
def test_an_upload_is_confirmed(certificate: Certificate, good: bool) -> None:
    def serve(stream: ssl.SSLSocket) -> None:
        assert origin.HEAD.unpack(read(stream, origin.HEAD.size)) == (origin.UPLOAD, SIZE)
        assert read(stream, SIZE) == bytes(SIZE)
        if good:
            stream.sendall(b"\x01")

    with server(certificate, serve) as door:
        if good:
            assert secure.upload(Client(), door, SIZE) > 0
        else:
            with pytest.raises(OSError):
                secure.upload(Client(), door, SIZE)
