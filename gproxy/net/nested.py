"""Records within records, such as WebSocket's within TLS's, as one pair of a Sealer and an Opener.

Each depth has one more scratch buffer in between, which nobody looks at after the call that filled it: what is left of
an incomplete record is kept outside.
"""

from __future__ import annotations

from mmap import MAP_ANONYMOUS, MAP_PRIVATE, mmap

from gproxy.base.defaults import RECORD_KEPT, RECORD_SCRATCH
from gproxy.base.errors import ProtocolError
from gproxy.base.iface import Answering, Buffer, Ending, Opener, Record, Sealer

# Mapped, so that a worker without nested records has no memory in them. Sealing wants the most.
_SCRATCH = 2 * RECORD_SCRATCH + 4096
_scratches: list[memoryview] = []


def _scratch(depth: int) -> memoryview:
    while len(_scratches) < depth:
        _scratches.append(memoryview(mmap(-1, _SCRATCH, MAP_PRIVATE | MAP_ANONYMOUS)))
    return _scratches[depth - 1]


def nested(
    beneath: Record,
    opener: Opener,
    sealer: Sealer,
    unopened: bytes,
    ending: Ending | None,
    answering: Answering | None,
) -> Record:
    """The records of `opener` and `sealer` within those of `beneath`. `unopened`: what was opened beneath already."""
    depth = beneath.depth + 1
    between = _scratch(depth)
    end = None
    if ending is not None or beneath.ending is not None:
        end = _NestedEnding(ending, beneath)
    inside = NestedOpener(beneath, opener, unopened, between, ending)
    answers = [each for each in (answering, beneath.answering) if each is not None]
    return Record(
        beneath.fd,
        inside,
        NestedSealer(sealer, beneath.sealer, between),
        beneath.unopened,
        end,
        answers[0] if len(answers) == 1 else _AnyAnswering(answers) if answers else None,
        inside.midway,
        depth,
    )


class NestedOpener:
    """What lies beneath is opened first (see Opener)."""

    __slots__ = ("_above", "_beneath", "_between", "_ending", "_kept", "_midway", "_outer")

    def __init__(self, beneath: Record, above: Opener, kept: bytes, between: memoryview, ending: Ending | None) -> None:
        self._beneath = beneath.opener
        self._midway = beneath.midway
        self._outer = beneath.ending
        self._above = above
        self._ending = ending
        self._between = between
        self._kept = kept  # an incomplete record of the upper kind

    def midway(self) -> bool:
        """See Record."""
        return bool(self._kept) or self._midway()

    def open_into(self, source: memoryview, target: memoryview, /) -> tuple[int, int]:
        """See Opener."""
        kept, between = self._kept, self._between
        before = len(kept)
        between[:before] = kept
        used, size = self._beneath.open_into(source, between[before:])
        size += before
        opened, made = self._above.open_into(between[:size], target)
        ended = self._ending is not None and self._ending.heard
        self._kept = b"" if ended else between[opened:size].tobytes()
        if len(self._kept) > RECORD_KEPT:
            raise ProtocolError("a record longer than any")
        if self._outer is not None and self._outer.heard and not ended and self.midway():
            raise ProtocolError("the stream ended inside a record", reason="truncated")
        return used, made


class NestedSealer:
    """The upper kind is sealed first (see Sealer)."""

    __slots__ = ("_above", "_beneath", "_between")

    def __init__(self, above: Sealer, beneath: Sealer, between: memoryview) -> None:
        self._above = above
        self._beneath = beneath
        self._between = between

    def room(self, size: int, /) -> int:
        """See Sealer."""
        return self._beneath.room(self._above.room(size))

    def seal_into(self, source: Buffer, target: memoryview, /) -> int:
        """See Sealer."""
        made = self._above.seal_into(source, self._between)
        return self._beneath.seal_into(self._between[:made], target)


class _NestedEnding:
    """The upper kind's word, within records, and then that of what lies beneath."""

    __slots__ = ("_above", "_beneath", "_sealer")

    def __init__(self, above: Ending | None, beneath: Record) -> None:
        self._above = above
        self._beneath = beneath.ending
        self._sealer = beneath.sealer

    @property
    def heard(self) -> bool:
        """See Ending."""
        return any(each is not None and each.heard for each in (self._above, self._beneath))

    def say(self) -> bytes:
        """See Ending."""
        said = self._above.say() if self._above is not None else b""
        if said:
            sealed = bytearray(self._sealer.room(len(said)))
            with memoryview(sealed) as target:
                said = bytes(target[: self._sealer.seal_into(said, target)])
        return said + self._beneath.say() if self._beneath is not None else said


class _AnyAnswering:
    """Whichever has something to answer."""

    __slots__ = ("_answerings",)

    def __init__(self, answerings: list[Answering]) -> None:
        self._answerings = answerings

    @property
    def due(self) -> bool:
        """See Answering."""
        return any(each.due for each in self._answerings)
