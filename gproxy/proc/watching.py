"""What a selector's loop does for the control socket, done by the hub: in solo mode there is no such loop."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

from gproxy.rt.sockets import READ, Readiness


class _HasDescriptor(Protocol):
    def fileno(self) -> int: ...


class HubWatch:
    """Calls back in the hub when a descriptor can be read."""

    def __init__(self) -> None:
        self._watched: dict[int, Readiness] = {}

    def register(self, fileobj: _HasDescriptor, events: int, data: Callable[[], object]) -> None:
        """From now on, until `unregister`. Readable is the only event."""
        readable = self._watched[fileobj.fileno()] = Readiness(fileobj.fileno(), READ)
        readable.call(data)

    def unregister(self, fileobj: _HasDescriptor) -> None:
        """Before it is closed."""
        readable = self._watched.pop(fileobj.fileno())
        readable.stop()
        readable.close()
