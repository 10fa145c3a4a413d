"""Origins that behave as a test wants: a function for each connection, or thousands of echoes in one thread."""

from __future__ import annotations

import contextlib
import selectors
import socket
import socketserver
import struct
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from tests.support.origin import Server
from tests.support.ports import LOOPBACK

_RESET = struct.pack("ii", 1, 0)


class _Scripted(socketserver.ThreadingTCPServer):
    allow_reuse_address = True
    daemon_threads = True
    block_on_close = False
    request_queue_size = 1024

    def handle_error(self, request: object, client_address: object) -> None:
        """What a test wants of the connection, it asserts at its own end."""


class _Scripted6(_Scripted):
    address_family = socket.AF_INET6


def serving(script: Callable[[socket.socket], None], host: str = LOOPBACK, port: int = 0) -> Server:
    """A server that runs `script` on each connection, and closes it then."""

    class Handler(socketserver.BaseRequestHandler):
        def handle(self) -> None:
            script(self.request)

    return Server((_Scripted6 if ":" in host else _Scripted)((host, port), Handler))


def reset(sock: socket.socket) -> None:
    """Close with a reset."""
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET)
    sock.close()


@contextmanager
def silent_port(host: str = LOOPBACK) -> Iterator[int]:
    """A port whose queue is full: connecting to it never ends."""
    with contextlib.ExitStack() as stack:
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        server = stack.enter_context(socket.create_server((host, 0), family=family, backlog=0))
        port: int = server.getsockname()[1]
        for _ in range(3):
            filler = stack.enter_context(socket.socket(family))
            filler.setblocking(False)
            filler.connect_ex((host, port))
        yield port


class CrowdEcho:
    """Echoes for thousands of connections, in one thread, without memory for those that are silent."""

    def __init__(self) -> None:
        self._server = socket.create_server((LOOPBACK, 0), backlog=4096)
        self._server.setblocking(False)
        self.port: int = self._server.getsockname()[1]
        self._over = threading.Event()
        self._selector = selectors.DefaultSelector()
        self._selector.register(self._server, selectors.EVENT_READ)
        self.open = 0
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def _run(self) -> None:
        while not self._over.is_set():
            for key, _ in self._selector.select(0.05):
                sock = key.fileobj
                assert isinstance(sock, socket.socket)
                if sock is self._server:
                    self._welcome()
                else:
                    self._answer(sock)

    def _welcome(self) -> None:
        for _ in range(256):
            try:
                sock, _ = self._server.accept()
            except BlockingIOError:
                return
            sock.setblocking(False)
            self._selector.register(sock, selectors.EVENT_READ)
            self.open += 1

    def _answer(self, sock: socket.socket) -> None:
        try:
            data = sock.recv(65536)
            if data and sock.send(data) == len(data):
                return
        except OSError:
            pass
        self._selector.unregister(sock)
        sock.close()
        self.open -= 1

    def stop(self) -> None:
        """Close everything."""
        self._over.set()
        self._thread.join()
        for key in list(self._selector.get_map().values()):
            assert isinstance(key.fileobj, socket.socket)
            key.fileobj.close()
        self._selector.close()

    def __enter__(self) -> CrowdEcho:
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()
