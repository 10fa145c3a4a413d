"""What the control plane and a data plane say to each other. Over an in-process channel in solo mode."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol


@dataclass(frozen=True, slots=True)
class Ready:
    """Data → control: all sockets are being served."""


@dataclass(frozen=True, slots=True)
class Stop:
    """Control → data: accept no more, let the open sessions end for `grace` seconds, then end them."""

    grace: float


@dataclass(frozen=True, slots=True)
class StopNow:
    """Control → data: end the sessions that a Stop is still waiting for."""


@dataclass(frozen=True, slots=True)
class AskSnapshot:
    """Control → data: tell your counters."""


@dataclass(frozen=True, slots=True)
class Snapshot:
    """Data → control: counters since the start, absolute. Bytes are payload from and to clients."""

    opened: int
    active: int
    up: int
    down: int
    statuses: dict[str, int]


@dataclass(frozen=True, slots=True)
class Stopped:
    """Data → control: nothing is served any more; `ended` sessions did not end by themselves."""

    ended: int
    last: Snapshot


ToData = Stop | StopNow | AskSnapshot
ToControl = Ready | Snapshot | Stopped


class DataEnd(Protocol):
    """The data plane's end of the channel."""

    def tell(self, message: ToControl) -> None:
        """Never waits."""

    def receive(self) -> ToData:
        """The next message, waiting for it."""
