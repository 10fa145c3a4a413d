"""What stands at the end of a proxy: a web site, with or without TLS, and echoes. Each runs in its own threads.

The site: `/` says hello, `/bytes/N` gives N known bytes (`digest(N)` is their SHA-256), `/chunked/N` the same in
chunks, `/headers` shows the request's head, `/status/N` answers with that status; a POST or PUT comes back as it is.
"""

from __future__ import annotations

import hashlib
import socket
import socketserver
import ssl
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from types import TracebackType

from tests.support.ports import LOOPBACK

HELLO = b"hello from the origin\n"
_PIECE = 64 * 1024
_PATTERN = hashlib.sha256(b"gproxy").digest() * (_PIECE // 32)
_MAX_BODY = 1 << 30


def content(size: int) -> Iterator[bytes]:
    """`size` known bytes, in pieces. No two pieces of a large body are alike, so that a swap would show."""
    made = 0
    while made < size:
        piece = made.to_bytes(8, "big") + _PATTERN[8:]
        yield piece[: size - made]
        made += len(piece)


def digest(size: int) -> str:
    """SHA-256 of `content(size)`, in hexadecimal."""
    total = hashlib.sha256()
    for piece in content(size):
        total.update(piece)
    return total.hexdigest()


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    timeout = 60

    def do_GET(self) -> None:
        kind, _, number = self.path.strip("/").partition("/")
        if kind == "bytes":
            self._head(200, int(number))
            for piece in content(int(number)):
                self.wfile.write(piece)
        elif kind == "chunked":
            self._chunked(int(number))
        elif kind == "headers":
            self._answer(200, f"{self.requestline}\r\n{self.headers}".encode())
        elif kind == "status":
            self._answer(int(number), b"")
        else:
            self._answer(200, HELLO)

    def do_HEAD(self) -> None:
        self._head(200, len(HELLO))

    def do_POST(self) -> None:
        self._answer(200, self._body())

    do_PUT = do_POST  # noqa: N815 - the base class finds it by this name

    def _body(self) -> bytes:
        if self.headers.get("Transfer-Encoding", "").lower() != "chunked":
            return self.rfile.read(min(int(self.headers.get("Content-Length", 0)), _MAX_BODY))
        body = b""
        while size := int(self.rfile.readline().partition(b";")[0], 16):
            body += self.rfile.read(size)
            self.rfile.readline()
        while self.rfile.readline().strip():  # trailers
            pass
        return body

    def _chunked(self, size: int) -> None:
        self.send_response(200)
        self.send_header("Transfer-Encoding", "chunked")
        self.send_header("Trailer", "X-Digest")
        self.end_headers()
        for piece in content(size):
            self.wfile.write(b"%x\r\n%b\r\n" % (len(piece), piece))
        self.wfile.write(b"0\r\nX-Digest: %b\r\n\r\n" % digest(size).encode())

    def _answer(self, status: int, body: bytes) -> None:
        self._head(status, len(body))
        self.wfile.write(body)

    def _head(self, status: int, length: int) -> None:
        self.send_response(status)
        self.send_header("Content-Length", str(length))
        self.send_header("X-Client", "{}:{}".format(*self.client_address[:2]))
        self.end_headers()

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the base class calls it that
        """Say nothing: a test's output is for its failures."""


class _TcpEcho(socketserver.BaseRequestHandler):
    def handle(self) -> None:
        while data := self.request.recv(_PIECE):
            self.request.sendall(data)


class _UdpEcho(socketserver.BaseRequestHandler):
    def handle(self) -> None:
        data, sock = self.request
        sock.sendto(data, self.client_address)


class _TcpServer(socketserver.ThreadingTCPServer):
    allow_reuse_address = True
    daemon_threads = True
    block_on_close = False
    request_queue_size = 1024
    tls: ssl.SSLContext | None = None

    def get_request(self) -> tuple[socket.socket, object]:
        request, client = super().get_request()
        if self.tls is not None:  # the handshake is made at the first read, in the connection's own thread
            request = self.tls.wrap_socket(request, server_side=True, do_handshake_on_connect=False)
        return request, client

    def handle_error(self, request: object, client_address: object) -> None:
        """Clients of an origin that is tested through a proxy break off all the time."""


class _TcpServer6(_TcpServer):
    address_family = socket.AF_INET6


class _UdpServer(socketserver.ThreadingUDPServer):
    daemon_threads = True
    block_on_close = False
    max_packet_size = 65535


class _UdpServer6(_UdpServer):
    address_family = socket.AF_INET6


class Server:
    """A server on a free port of `host`, until the `with` block ends."""

    def __init__(self, server: socketserver.BaseServer) -> None:
        self._server = server
        address: tuple[str, int] = server.server_address[:2]  # type: ignore[assignment,index]  # of IP, so it is a tuple
        self.host, self.port = address
        self._thread = threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True)
        self._thread.start()

    @property
    def authority(self) -> str:
        """`host:port`, as it stands in a URL."""
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"

    def stop(self) -> None:
        """Stop listening."""
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

    def __enter__(self) -> Server:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()


def http_origin(host: str = LOOPBACK) -> Server:
    """The site, without TLS."""
    return Server(_tcp(host, _Handler))


def https_origin(certificate: Path, key: Path, host: str = LOOPBACK) -> Server:
    """The site, with TLS: see tests.support.tls for a certificate."""
    server = _tcp(host, _Handler)
    server.tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    server.tls.load_cert_chain(certificate, key)
    return Server(server)


def tcp_echo(host: str = LOOPBACK) -> Server:
    """Sends back what it gets, and ends when the client has ended."""
    return Server(_tcp(host, _TcpEcho))


def udp_echo(host: str = LOOPBACK) -> Server:
    """Sends back each datagram."""
    return Server((_UdpServer6 if ":" in host else _UdpServer)((host, 0), _UdpEcho))


def _tcp(host: str, handler: type[socketserver.BaseRequestHandler]) -> _TcpServer:
    return (_TcpServer6 if ":" in host else _TcpServer)((host, 0), handler)
