"""Load on a proxy, in threads, that notices everything that goes wrong: requests, connections, a stream, datagrams."""

from __future__ import annotations

import contextlib
import hashlib
import http.client
import socket
import threading
import time
from collections.abc import Callable, Iterator
from types import TracebackType

from tests.e2e.clients import Association, tunnel
from tests.support.origin import HELLO, Server, digest
from tests.support.ports import LOOPBACK

_EVERY = 0.005  # 200 datagrams a second
_LAST_ANSWERS = 3.0


class Load:
    """Threads that run until `over` is set; what failed is in `failures`, what was done in `done`."""

    def __init__(self) -> None:
        self.over = threading.Event()
        self.failures: list[str] = []
        self.done: dict[str, int] = {}
        self._threads: list[threading.Thread] = []

    def add(self, name: str, work: Callable[[], int]) -> None:
        """Run `work`, which tells how much it has done."""

        def run() -> None:
            try:
                count = work()
            except Exception as error:
                self.failures.append(f"{name}: {error!r}")
            else:
                self.done[name] = self.done.get(name, 0) + count

        thread = threading.Thread(target=run, name=name, daemon=True)
        self._threads.append(thread)
        thread.start()

    def __enter__(self) -> Load:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.over.set()
        for thread in self._threads:
            thread.join(30)
            if thread.is_alive():
                self.failures.append(f"{thread.name}: does not end")

    # -- kinds of load -------------------------------------------------------------------------------------------------

    def requests(self, port: int, site: Server, most: int = 100) -> int:
        """HTTP requests on connections that are kept for `most` of them."""
        count = 0
        while not self.over.is_set():
            with contextlib.closing(http.client.HTTPConnection(LOOPBACK, port, timeout=15)) as connection:
                for _ in range(most):
                    if self.over.is_set():
                        break
                    connection.request("GET", f"http://{site.authority}/")
                    assert connection.getresponse().read() == HELLO
                    count += 1
                    self.over.wait(0.01)
        return count

    def connections(self, port: int, site: Server) -> int:
        """A new SOCKS connection for each request."""
        count = 0
        while not self.over.is_set():
            with tunnel(port, (site.host, site.port)) as sock:
                sock.sendall(b"GET / HTTP/1.0\r\n\r\n")
                answer = b""
                while data := sock.recv(65536):
                    answer += data
            assert answer.endswith(HELLO), answer[-200:]
            count += 1
            self.over.wait(0.01)
        return count

    def stream(self, port: int, site: Server, size: int, seconds: float) -> int:
        """One long answer, taken at a pace that makes it last about so long; its hash must be right."""
        total = hashlib.sha256()
        got = 0
        began = time.monotonic()
        with tunnel(port, (site.host, site.port)) as sock:
            sock.sendall(b"GET /bytes/%d HTTP/1.0\r\n\r\n" % size)
            with sock.makefile("rb") as file:
                while file.readline().strip():
                    pass
                while data := file.read1(1 << 18):
                    total.update(data)
                    got += len(data)
                    ahead = got / size * seconds - (time.monotonic() - began)
                    if ahead > 0 and not self.over.is_set():
                        self.over.wait(ahead)
        assert got == size, f"{got} bytes of {size}"
        assert total.hexdigest() == digest(size), "not what was sent"
        return got

    def datagrams(self, send: Callable[[bytes], object], receive: Callable[[], bytes]) -> int:
        """200 numbered datagrams a second, each of which must come back. `receive` raises TimeoutError when idle."""
        got: set[int] = set()
        done = threading.Event()

        def listen() -> None:
            while not done.is_set():
                with contextlib.suppress(TimeoutError):
                    got.add(int(receive()))

        listener = threading.Thread(target=listen, daemon=True)
        listener.start()
        sent = 0
        due = time.monotonic()
        while not self.over.is_set():
            send(b"%d" % sent)
            sent += 1
            due += _EVERY
            time.sleep(max(0.0, due - time.monotonic()))
        until = time.monotonic() + _LAST_ANSWERS
        while len(got) < sent and time.monotonic() < until:
            time.sleep(0.01)
        done.set()
        listener.join()
        lost = sorted(set(range(sent)) - got)
        assert not lost, f"{len(lost)} of {sent} lost: {lost[:10]}"
        return sent

    def flow(self, port: int) -> int:
        """Datagrams through a tunnel inbound."""
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
            sock.connect((LOOPBACK, port))
            sock.settimeout(0.2)
            return self.datagrams(sock.send, lambda: sock.recv(100))

    def association(self, port: int, target: tuple[str, int]) -> int:
        """Datagrams through a SOCKS association."""
        with contextlib.closing(Association(port)) as one:
            one.sock.settimeout(0.2)
            return self.datagrams(lambda data: one.send(data, target), lambda: one.receive()[0])


class WatchfulEcho:
    """A UDP echo that remembers where datagrams came from."""

    def __init__(self) -> None:
        self._sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self._sock.bind((LOOPBACK, 0))
        self._sock.settimeout(0.2)
        self.port: int = self._sock.getsockname()[1]
        self.sources: set[int] = set()
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def _run(self) -> None:
        while not self._over.is_set():
            with contextlib.suppress(TimeoutError):
                data, source = self._sock.recvfrom(65535)
                self.sources.add(source[1])
                self._sock.sendto(data, source)

    def stop(self) -> None:
        """Close it."""
        self._over.set()
        self._thread.join()
        self._sock.close()


@contextlib.contextmanager
def watchful_echo() -> Iterator[WatchfulEcho]:
    """For a `with` block."""
    echo = WatchfulEcho()
    try:
        yield echo
    finally:
        echo.stop()
