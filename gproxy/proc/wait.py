"""Waiting for one descriptor in a process without a hub. Standard library only."""

from __future__ import annotations

import select

from gproxy.proc.post import PostClosed

# A process that does not read its messages for so long, in seconds, is as good as dead.
PATIENCE = 5.0


def wait_readable(fd: int) -> None:
    """Raises PostClosed when the rest of a message does not come."""
    if not select.select([fd], [], [], PATIENCE)[0]:  # noqa: TID251 - there is no hub here
        raise PostClosed("the rest of a message does not come")


def wait_writable(fd: int) -> None:
    """Raises PostClosed when the other side does not read."""
    if not select.select([], [fd], [], PATIENCE)[1]:  # noqa: TID251 - there is no hub here
        raise PostClosed("it does not read its messages")
