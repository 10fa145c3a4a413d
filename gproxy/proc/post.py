"""Messages with descriptors between processes: one stream socket, frames of JSON.

    +--------------+------------------+
    | length       | JSON object      |   descriptors travel with the first octet (SCM_RIGHTS)
    +--------------+------------------+
    | 4, big-end.  | length           |

Standard library only: the master speaks it too. A Post does not know how to wait; whoever makes one tells it.
"""

from __future__ import annotations

import contextlib
import json
import os
import socket as consts
import struct
from _socket import CMSG_SPACE, SCM_RIGHTS, SOL_SOCKET, socket
from array import array
from collections.abc import Callable, Sequence
from dataclasses import fields, is_dataclass
from typing import Any

_LENGTH = struct.Struct("!I")
_MAX_MESSAGE = 64 * 1024 * 1024
MAX_FDS = 200  # the kernel takes 253 in one message (unix(7), SCM_MAX_FD)
_ROOM = CMSG_SPACE(MAX_FDS * 4)

Wait = Callable[[int], object]


class PostClosed(Exception):
    """The other process has gone, or has closed its end, or speaks another language."""


class Post:
    """One end of a connection to another process of gproxy. The wait functions get the descriptor."""

    def __init__(self, sock: socket, kinds: dict[str, type], wait_read: Wait, wait_write: Wait) -> None:
        sock.setblocking(False)
        self._sock = sock
        self._kinds = kinds
        self._wait_read = wait_read
        self._wait_write = wait_write

    def fileno(self) -> int:
        """For selectors."""
        return self._sock.fileno()

    def send(self, message: object, descriptors: Sequence[int] = ()) -> None:
        """Send a dataclass of the known kinds. The descriptors stay ours too. Raises PostClosed."""
        assert is_dataclass(message), "messages are dataclasses"
        body = json.dumps(
            [type(message).__name__, {f.name: getattr(message, f.name) for f in fields(message)}]
        ).encode()
        data = _LENGTH.pack(len(body)) + body
        rights = [(SOL_SOCKET, SCM_RIGHTS, array("i", descriptors))] if descriptors else []
        view = memoryview(data)
        while view:
            try:
                sent = self._sock.sendmsg([view], rights)
            except BlockingIOError:
                self._wait_write(self._sock.fileno())
            except OSError as error:
                raise PostClosed(str(error)) from error
            else:
                rights = []
                view = view[sent:]

    def receive(self) -> tuple[Any, list[int]]:
        """The next message and the descriptors that came with it, which are the caller's now. Raises PostClosed."""
        descriptors: list[int] = []
        try:
            (length,) = _LENGTH.unpack(self._exactly(_LENGTH.size, descriptors))
            if length > _MAX_MESSAGE:
                raise PostClosed(f"a message of {length} bytes")
            name, values = json.loads(self._exactly(length, descriptors))
            return make(self._kinds[name], values), descriptors
        except (ValueError, KeyError, TypeError, RecursionError) as error:
            _close_all(descriptors)
            raise PostClosed(f"not a message: {error!r}") from error
        except BaseException:
            _close_all(descriptors)
            raise

    def _exactly(self, size: int, descriptors: list[int]) -> bytes:
        got = bytearray()
        while len(got) < size:
            try:
                data, ancillary, _, _ = self._sock.recvmsg(size - len(got), _ROOM, consts.MSG_CMSG_CLOEXEC)
            except BlockingIOError:
                self._wait_read(self._sock.fileno())
                continue
            except OSError as error:
                raise PostClosed(str(error)) from error
            for level, kind, raw in ancillary:
                if level == SOL_SOCKET and kind == SCM_RIGHTS:
                    numbers = array("i")
                    numbers.frombytes(raw[: len(raw) - len(raw) % numbers.itemsize])
                    descriptors.extend(numbers)
            if not data:
                raise PostClosed("the other end is closed")
            got += data
        return bytes(got)

    def end(self) -> None:
        """Say no more; what the other side still says can be heard."""
        with contextlib.suppress(OSError):
            self._sock.shutdown(consts.SHUT_WR)

    def close(self) -> None:
        """Idempotent."""
        with contextlib.suppress(OSError):
            self._sock.close()


def make(kind: type, values: object) -> Any:
    """The dataclass of these values, but for those that only newer code knows. Raises TypeError when some are missing.

    The code is replaced while it runs: older and newer code speak with each other.
    """
    if not isinstance(values, dict):
        raise TypeError("expected an object")
    known = {field.name for field in fields(kind)}
    return kind(**{name: value for name, value in values.items() if name in known})


def _close_all(descriptors: list[int]) -> None:
    while descriptors:
        os.close(descriptors.pop())
