"""What every pump obeys, and what it tells at the end."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, NamedTuple, Protocol

from gproxy.base.defaults import HALF_CLOSE_IDLE, TCP_IDLE

Side = Literal["", "left", "right"]
OTHER: dict[Side, Side] = {"left": "right", "right": "left"}


@dataclass(frozen=True, slots=True)
class Terms:
    """Seconds of silence that end a relay: with both directions open, and after one side has ended."""

    idle: float = TCP_IDLE
    half_close_idle: float = HALF_CLOSE_IDLE


DEFAULT_TERMS = Terms()


class Account(Protocol):
    """Whose traffic it is: payload bytes, from the client and to it, which only ever grow."""

    up: int
    down: int


class Toll(Protocol):
    """What bytes in one direction are charged for."""

    @property
    def piece(self) -> int:
        """The most bytes to be moved at once."""

    @property
    def slack(self) -> int:
        """Fewer bytes than that may be moved before they are paid for: with the next ones, or at the end."""

    def pay(self, size: int, /) -> float:
        """So many bytes were moved; the seconds to wait before the next ones."""


class Tolls(NamedTuple):
    """What each direction is charged for: from the client, and to it. None: nothing."""

    up: Toll | None = None
    down: Toll | None = None


FREE = Tolls()


@dataclass(frozen=True, slots=True)
class Outcome:
    """How a relay went: bytes from left to right and back, the word for its end, and whose side broke, if one did.

    The word is `ok` when both sides have said all, else the reason of the StreamClosed that ended it: `reset`,
    `timeout`, `idle`, `killed`, `drained`, `pressure`, `corrupt`, `truncated`.
    """

    up: int
    down: int
    ended: str
    seconds: float
    culprit: Side = ""
    first: float = -1.0  # seconds until the right side's first bytes; less than 0 if there were none
