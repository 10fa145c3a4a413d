"""Waiting for one descriptor in a process without a hub. Standard library only."""

from __future__ import annotations

import select

from gproxy.proc.post import PostClosed

# A process that does not read its messages for so long, in seconds, is as good as dead.
PATIENCE = 5.0


def wait_readable(fd: int) -> None:
    """Raises PostClosed when the rest of a message does not come."""
    if not _ready(fd, select.POLLIN):
        raise PostClosed("the rest of a message does not come")


def wait_writable(fd: int) -> None:
    """Raises PostClosed when the other side does not read."""
    if not _ready(fd, select.POLLOUT):
        raise PostClosed("it does not read its messages")


def _ready(fd: int, event: int) -> bool:
    poll = select.poll()  # `select` knows no descriptor above 1023, and hundreds of ports have more
    poll.register(fd, event)
    return bool(poll.poll(PATIENCE * 1000))
