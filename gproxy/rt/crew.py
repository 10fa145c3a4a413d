"""Light greenlets that take one call after another.

A new greenlet costs the kernel a fresh piece of memory for its first Python frames, and its end gives that back: two
system calls and a page fault for each connection. So those that are done wait for the next call, up to a number.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from gevent import get_hub, getcurrent
from greenlet import greenlet

# So many wait at most; each holds about 20 KiB.
MOST_IDLE = 64

_idle: list[greenlet] = []
_members = 0


def members() -> int:
    """How many there are, those that wait included."""
    return _members


def launch(run: Callable[..., object], /, *args: object) -> None:
    """Run `run(*args)` in a greenlet that nobody joins, at the hub's next turn.

    `run` must not raise: it is a boundary with an except of its own. After it has returned, its greenlet may be running
    something else, so nobody may keep hold of it.
    """
    hub = get_hub()
    member = _idle.pop() if _idle else greenlet(_serve, hub)
    hub.loop.run_callback(member.switch, [run, args])


def _serve(call: list[Any]) -> None:
    global _members  # noqa: PLW0603 - one number for the process
    hub = get_hub()
    _members += 1
    try:
        _take_calls(hub, call)
    finally:
        _members -= 1


def _take_calls(hub: Any, call: list[Any]) -> None:
    while True:
        # Popped, so that what is served does not live as long as its greenlet waits: that holds its first arguments.
        args, run = call.pop(), call.pop()
        run(*args)
        del args, run
        if len(_idle) >= MOST_IDLE:
            return
        _idle.append(getcurrent())
        call = hub.switch()


def dismiss() -> None:
    """End those that wait."""
    while _idle:
        member = _idle.pop()
        member.parent = getcurrent()  # its end comes back here, and not to the hub
        member.throw()
