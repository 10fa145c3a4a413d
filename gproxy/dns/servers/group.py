"""`group`: servers that stand for each other. Not in sing-box.

`fallback` asks one after the other, the next one when the one before fails or is late; `race` asks all at once and
takes the first good answer. Good is what says that there is something, or that there is nothing; a server that says
that it has failed, or refuses, has none. A member that fails again and again is left alone for a while, and asked all
the same when there is no other.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated, Final, Literal

from gproxy.base.errors import DialError, GproxyError
from gproxy.dns.iface import Ask, ServerWiring
from gproxy.limit.breaker import Breaker
from gproxy.rt.deadline import deadline
from gproxy.rt.group import Group
from gproxy.rt.sync import Queue
from gproxy.schema.fields import Duration
from gproxy.schema.groups import Item
from gproxy.schema.model import doc
from gproxy.schema.registry import Row
from gproxy.wire.dns import types

_GOOD: Final = frozenset({types.NOERROR, types.NXDOMAIN})

# A member that has failed so often within so many seconds is left alone for so many seconds, at most for so many.
_FAILURES, _WINDOW, _PAUSE, _LONGEST = 3, 10.0, 5.0, 60.0


class GroupOptions(Item):
    """Several DNS servers that are asked as one."""

    servers: Annotated[tuple[str, ...], doc("Tags of other DNS servers, the preferred one first.")]
    mode: Annotated[
        Literal["fallback", "race"],
        doc(
            "`fallback`: the next one is asked when one fails or is late; `race`: the first good answer of all counts."
        ),
    ] = "fallback"
    timeout: Annotated[Duration, doc("`fallback`: how long one is waited for before the next one is asked.")] = (
        Duration(2)
    )

    def check(self) -> Iterator[tuple[str, str]]:
        """There are several, each once."""
        yield from super().check()
        if not self.servers:
            yield "servers", "expected tags of DNS servers"
        if len(set(self.servers)) < len(self.servers):
            yield "servers", "expected each server once"
        if not self.timeout:
            yield "timeout", "expected a duration above 0"


class GroupServer:
    """See Server. Its answers are remembered as its own."""

    cacheable = True
    waits = True

    def __init__(self, options: GroupOptions, wiring: ServerWiring) -> None:
        self._tags = options.servers
        self._race = options.mode == "race"
        self._timeout = float(options.timeout)
        self._servers = wiring.servers
        self._log = wiring.log
        self._health = {tag: Breaker(_FAILURES, _WINDOW, _PAUSE, _LONGEST) for tag in options.servers}

    def exchange(self, ask: Ask, /) -> bytes:
        """See Server."""
        well = [tag for tag in self._tags if self._health[tag].admit()]
        tags = well or list(self._tags)
        return self._raced(ask, tags) if self._race and len(tags) > 1 else self._in_turn(ask, tags)

    def _in_turn(self, ask: Ask, tags: list[str]) -> bytes:
        answer, failure = b"", DialError(f"{ask.name}: no server has an answer", reason="dns")
        for tag in tags:
            late = DialError(f"{ask.name}: no answer of `{tag}` in time", reason="dns")
            try:
                with deadline(self._timeout, late):
                    answer = self._ask(tag, ask)
            except DialError as why:
                failure = why
                self._failed(tag, why)
                continue
            if self._is_good(tag, answer):
                return answer
        return _or_raise(answer, failure)

    def _raced(self, ask: Ask, tags: list[str]) -> bytes:
        answer, failure = b"", DialError(f"{ask.name}: no server has an answer", reason="dns")
        finish: Queue[tuple[str, bytes | DialError]] = Queue()
        with Group("dns group") as runners:
            for tag in tags:
                runners.spawn(self._run, tag, ask, finish)
            for _ in tags:
                tag, said = finish.get()
                if isinstance(said, DialError):
                    failure = said
                    self._failed(tag, said)
                elif self._is_good(tag, said):
                    return said
                else:
                    answer = said
        return _or_raise(answer, failure)

    def _run(self, tag: str, ask: Ask, finish: Queue[tuple[str, bytes | DialError]]) -> None:
        try:
            finish.put((tag, self._ask(tag, ask)))
        except DialError as why:
            finish.put((tag, why))
        except GproxyError as why:
            finish.put((tag, DialError(str(why), reason="dns")))

    def _ask(self, tag: str, ask: Ask) -> bytes:
        try:
            return self._servers[tag].exchange(ask)
        except BaseException:
            self._health[tag].gave_up()
            raise

    def _is_good(self, tag: str, answer: bytes) -> bool:
        rcode = answer[3] & 0xF
        if rcode in _GOOD:
            if self._health[tag].succeeded():
                self._log.info("`%s` answers again", tag)
            return True
        self._failed(tag, DialError(f"it says {types.rcode_name(rcode)}", reason="dns"))
        return False

    def _failed(self, tag: str, why: DialError) -> None:
        health = self._health[tag]
        if health.failed():
            self._log.warning("`%s` is left alone for %g s: %s", tag, health.pause, why)

    def knows(self, name: str, /) -> bool:
        """See Server: any of them."""
        return any(self._servers[tag].knows(name) for tag in self._tags)

    def close(self) -> None:
        """The members are closed by themselves."""


def _or_raise(answer: bytes, failure: DialError) -> bytes:
    """What a server has said who failed, if one did say something."""
    if not answer:
        raise failure
    return answer


SERVER = Row(GroupOptions, GroupServer)
