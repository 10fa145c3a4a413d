"""The control socket: one JSON line asks, one JSON line answers. For `gproxy status`, `reload`, `upgrade` and `stop`.

Standard library only. It is a unix socket of mode 0600: whoever may open it may rule this gproxy.
"""

from __future__ import annotations

import contextlib
import errno
import json
import os
import selectors
import socket
from collections.abc import Callable
from pathlib import Path
from typing import Any, Protocol

from gproxy.net.bind import remove_stale
from gproxy.net.sockopt import peer_of

_LARGEST_REQUEST = 64 * 1024
_MOST_CLIENTS = 32
_ANSWER_TIMEOUT = 5.0  # seconds for a client to take its answer

SYSTEM_PATH = "/run/gproxy/control.sock"


def default_path() -> str:
    """Where the control socket is for this user, unless the configuration says otherwise.

    A service manager's folder comes first: each of its services has one of its own.
    """
    own = os.environ.get("RUNTIME_DIRECTORY", "").partition(":")[0]
    if own:
        return f"{own}/control.sock"
    if os.geteuid() == 0 or os.access(Path(SYSTEM_PATH).parent, os.W_OK):
        return SYSTEM_PATH
    runtime = os.environ.get("XDG_RUNTIME_DIR")
    return f"{runtime}/gproxy/control.sock" if runtime else f"/tmp/gproxy-{os.geteuid()}/control.sock"  # noqa: S108


class Request:
    """A client's question; `answer` is called once, at once or later. Who it is has been told by the kernel."""

    def __init__(self, client: socket.socket, values: dict[str, Any]) -> None:
        self._client = client
        self.values = values
        self.pid, self.uid = peer_of(client)

    def answer(self, **values: Any) -> None:
        """Send the answer and hang up. A client that has gone gets none."""
        with contextlib.suppress(OSError), self._client:
            self._client.settimeout(_ANSWER_TIMEOUT)
            self._client.sendall(json.dumps(values).encode() + b"\n")


class Watch(Protocol):
    """What the server needs of a selector."""

    def register(self, fileobj: socket.socket, events: int, data: Callable[[], object]) -> object: ...
    def unregister(self, fileobj: socket.socket) -> object: ...


class AdminServer:
    """Listens in a selector's loop. Each selector key's data is what to call when it is ready."""

    def __init__(self, selector: Watch, obey: Callable[[Request], object]) -> None:
        self._selector = selector
        self._obey = obey
        self._listener: socket.socket | None = None
        self._asking: dict[socket.socket, bytes] = {}
        self.path = ""

    def listen(self, path: str) -> None:
        """Be reachable at `path`, and nowhere else any more. Raises OSError, and stays where it was."""
        if path == self.path:
            return
        listener = _bind(path)
        self.close()
        self._adopt(path, listener)

    def adopt(self, path: str, fd: int) -> None:
        """Go on with a listening socket that was opened before our time."""
        self._adopt(path, socket.socket(fileno=fd))

    def _adopt(self, path: str, listener: socket.socket) -> None:
        listener.setblocking(False)
        self._listener = listener
        self.path = path
        self._selector.register(listener, selectors.EVENT_READ, self._accept)

    def fileno(self) -> int:
        """The listening descriptor, -1 for none."""
        return -1 if self._listener is None else self._listener.fileno()

    def _accept(self) -> None:
        assert self._listener is not None
        try:
            client, _ = self._listener.accept()
        except OSError:
            return
        if len(self._asking) >= _MOST_CLIENTS:  # those who connect and say nothing keep nobody else out
            self._forget(next(iter(self._asking))).close()
        client.setblocking(False)
        self._asking[client] = b""
        self._selector.register(client, selectors.EVENT_READ, lambda: self._read(client))

    def _read(self, client: socket.socket) -> None:
        try:
            data = client.recv(_LARGEST_REQUEST)
        except BlockingIOError:
            return
        except OSError:
            data = b""
        asked = self._asking[client] + data
        if data and b"\n" not in asked and len(asked) < _LARGEST_REQUEST:
            self._asking[client] = asked
            return
        self._question(self._forget(client), asked)

    def _forget(self, client: socket.socket) -> socket.socket:
        self._selector.unregister(client)
        del self._asking[client]
        return client

    def _question(self, client: socket.socket, line: bytes) -> None:
        request = Request(client, {})
        if len(line) >= _LARGEST_REQUEST and b"\n" not in line:
            request.answer(ok=False, error=f"a request has less than {_LARGEST_REQUEST} bytes")
            return
        try:
            request.values = json.loads(line)
            known = isinstance(request.values, dict)
        except (ValueError, RecursionError):
            known = False
        if known:
            self._obey(request)
        else:
            request.answer(ok=False, error="not a JSON object")

    def close(self) -> None:
        """Listen no more, and remove the socket's file."""
        if self._listener is not None:
            self._selector.unregister(self._listener)
            self._listener.close()
            self._listener = None
            with contextlib.suppress(OSError):
                Path(self.path).unlink()
        self.path = ""


def _bind(path: str) -> socket.socket:
    """A listening socket of mode 0600, in the place of one that nobody listens on any more. Raises OSError."""
    folder = Path(path).parent
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    if folder.stat().st_uid not in {0, os.geteuid()}:  # its owner could put another socket in the place of ours
        raise PermissionError(errno.EPERM, "the folder belongs to somebody else", str(folder))
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    before = os.umask(0o177)
    try:
        remove_stale(path)
        listener.bind(path)
        listener.listen(_MOST_CLIENTS)
    except OSError:
        listener.close()
        raise
    finally:
        os.umask(before)
    return listener


def ask(path: str, timeout: float, **values: Any) -> dict[str, Any]:
    """Put a question to a running gproxy. Raises OSError when nobody is there or nothing comes in `timeout` seconds."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as sock:
        sock.settimeout(timeout)
        sock.connect(path)
        sock.sendall(json.dumps(values).encode() + b"\n")
        answer = b""
        while not answer.endswith(b"\n"):
            data = sock.recv(65536)
            if not data:
                raise ConnectionResetError(errno.ECONNRESET, "it hung up without an answer")
            answer += data
    answered: dict[str, Any] = json.loads(answer)
    return answered
