"""Child greenlets that never die in silence and never outlive their group."""

from __future__ import annotations

import logging
from collections.abc import Callable
from types import TracebackType
from typing import Any

from gevent import Greenlet, joinall, killall, spawn
from greenlet import GreenletExit

from gproxy.base.errors import GproxyError

_log = logging.getLogger("gproxy.rt")

_alive = 0


def alive() -> int:
    """How many children of all groups there are."""
    return _alive


class Group:
    """A set of greenlets with one end. Leaving the `with` block kills those that still run and waits for them."""

    __slots__ = ("_children", "name")

    def __init__(self, name: str) -> None:
        self.name = name
        self._children: set[Greenlet[..., Any]] = set()

    def spawn(self, run: Callable[..., object], /, *args: object) -> Greenlet[..., Any]:
        """Run `run(*args)` in a greenlet of this group. What it raises, but for GproxyError, is logged in full."""
        global _alive  # noqa: PLW0603 - one number for the process
        child: Greenlet[..., Any] = spawn(self.shield, run, *args)
        self._children.add(child)
        _alive += 1
        child.rawlink(self._over)
        return child

    def _over(self, child: Greenlet[..., Any]) -> None:
        global _alive  # noqa: PLW0603
        _alive -= 1
        self._children.discard(child)

    def shield(self, run: Callable[..., object], /, *args: object) -> None:
        """Run `run(*args)` here and now, with the same care: nothing is raised."""
        try:
            run(*args)
        except GreenletExit:
            return
        except GproxyError as error:
            _log.debug("%s: ended: %s", self.name, error)
        except Exception:  # noqa: BLE001 - a child must not die in silence, and has nobody above it to tell
            _log.exception("%s: a background task failed", self.name)

    def __len__(self) -> int:
        return len(self._children)

    def join(self, seconds: float | None = None) -> bool:
        """Wait for the children; False if some still run after `seconds`."""
        joinall(list(self._children), timeout=seconds)
        return not self._children

    def kill(self) -> None:
        """End the children and wait until they are over."""
        killall(list(self._children))

    def __enter__(self) -> Group:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.kill()
