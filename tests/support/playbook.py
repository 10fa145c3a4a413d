r"""A handshake as a conversation.

    play(inbound.accept) >> b"\x05\x01\x00" << b"\x05\x00" >> request << reply

`>>` is what the test says, `<<` what it must hear next. Each step happens when it is written, so the first wrong answer
stops the test and prints the script beside what was really said. In the client direction the test is the server:

    talk = converse(lambda stream: outbound.dial_over(stream)) << greeting >> b"\x05\x00"
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Callable
from ipaddress import IPv4Address
from typing import Generic, NoReturn, TypeVar

from gproxy.base.address import UNSPECIFIED, Address
from gproxy.base.errors import GproxyError, StreamClosed
from gproxy.base.iface import Accept
from gproxy.base.session import Session
from gproxy.rt.deadline import deadline
from gproxy.rt.group import Group
from gproxy.rt.sync import Event
from tests.support.pipe import PipeEnd, pipe

T = TypeVar("T")

PATIENCE = 5.0
CLIENT = Address(IPv4Address("192.0.2.7"), 40000)


class Mismatch(AssertionError):
    """What was said is not what the script says."""


class _Late(Exception):
    """The answer did not come in time."""


def new_session(source: Address = CLIENT, *, inbound: str = "in") -> Session:
    """A session as a listener makes it, before anything was read."""
    return Session(id=1, network="tcp", inbound=inbound, source=source, target=UNSPECIFIED)


class Watched:
    """Who is told that sessions have failed; `session` is a new one that is watched."""

    def __init__(self) -> None:
        self.failures: list[Exception] = []
        self.session = new_session()
        self.session.watcher = self

    def failed(self, session: Session, why: Exception) -> None:
        """See Watcher."""
        self.failures.append(why)


def play(accept: Accept, session: Session | None = None, *, chunk: int = 0, bound: Address | None = None) -> Talk[None]:
    """Talk to an inbound. `chunk`: how many bytes it gets at most in one read."""
    facts = session or new_session()
    return converse(lambda stream: accept(stream, facts), chunk=chunk, bound=bound)


def converse(run: Callable[[PipeEnd], T], *, chunk: int = 0, bound: Address | None = None) -> Talk[T]:
    """Talk to `run`, which has the other end of the stream."""
    return Talk(run, chunk, bound)


class Talk(Generic[T]):
    """A conversation under way."""

    def __init__(self, run: Callable[[PipeEnd], T], chunk: int, bound: Address | None) -> None:
        self._theirs, self._ours = pipe(chunk=chunk, bound=bound)
        self._heard = bytearray()
        self._script: list[str] = []
        self._said: list[str] = []
        self._over = Event()
        self._result: T | None = None
        self._error: BaseException | None = None
        self._group = Group("playbook")
        self._group.spawn(self._run, run)

    def _run(self, run: Callable[[PipeEnd], T]) -> None:
        try:
            self._result = run(self._theirs)
        except BaseException as error:
            self._error = error
            self._theirs.close()  # as the boundary does
            if not isinstance(error, Exception):
                raise
        finally:
            self._over.set()

    def __rshift__(self, data: bytes) -> Talk[T]:
        """Say `data`."""
        line = f">> {data!r}"
        self._script.append(line)
        try:
            with deadline(PATIENCE, _Late()):
                self._ours.sendall(data)
        except StreamClosed as error:
            self._fail(f">> could not be said: {error}")
        except _Late:
            self._fail(">> could not be said: nobody reads")
        self._said.append(line)
        return self

    def __lshift__(self, expected: bytes | re.Pattern[bytes]) -> Talk[T]:
        """Hear exactly `expected`, or what a pattern matches from its start."""
        if isinstance(expected, bytes):
            self._script.append(f"<< {expected!r}")
            length = len(expected) if self._listen(lambda: len(self._heard) >= len(expected)) else -1
            if length < 0 or self._heard[:length] != expected:
                self._fail(f"<< {bytes(self._heard)!r}")
        else:
            self._script.append(f"<< matches {expected.pattern!r}")
            self._listen(lambda: expected.match(self._heard) is not None)
            found = expected.match(self._heard)
            if found is None:
                self._fail(f"<< {bytes(self._heard)!r}")
            length = found.end()
        self._said.append(self._script[-1])
        del self._heard[:length]
        return self

    def end(self) -> Talk[T]:
        """Say that no more will be said: half-close."""
        self._script.append(">> end")
        self._said.append(">> end")
        self._ours.close_write()
        return self

    def abort(self) -> Talk[T]:
        """Break the connection off, as a reset does."""
        self._script.append(">> abort")
        self._said.append(">> abort")
        self._ours.abort()
        return self

    def ended(self) -> Talk[T]:
        """Hear the end, and nothing before it."""
        self._script.append("<< end")
        self._listen(lambda: bool(self._heard))
        if self._heard:
            self._fail(f"<< {bytes(self._heard)!r}")
        if not self._at_end():
            self._fail("<< nothing, not even the end")
        self._said.append("<< end")
        return self

    def closed(self, raising: type[GproxyError] | None = None) -> Talk[T]:
        """The other side is through: it said no more, and raised `raising`, or nothing."""
        self._wait_over()
        if raising is None and self._error is not None:
            raise self._error
        if raising is not None and not isinstance(self._error, raising):
            raise Mismatch(f"{raising.__name__} expected, raised: {self._error!r}")
        self._theirs.close()  # the one who called closes the stream when the call returns
        return self.ended()

    def result(self) -> T:
        """What the other side returned, or raises what it raised."""
        self._wait_over()
        if self._error is not None:
            raise self._error
        result: T = self._result  # type: ignore[assignment]  # None only where T is None
        return result

    def error(self) -> BaseException | None:
        """What the other side raised."""
        self._wait_over()
        return self._error

    def stop(self) -> None:
        """Give up: the other side is killed."""
        self._group.kill()
        self._ours.close()
        self._theirs.close()

    def _wait_over(self) -> None:
        if not self._over.wait(PATIENCE):
            self._script.append("<< the call returns")
            self._fail("<< the call does not return")

    def _listen(self, enough: Callable[[], bool]) -> bool:
        """Read until that is enough; False if the other side ends, or is silent for too long."""
        try:
            with deadline(PATIENCE, _Late()):
                while not enough():
                    data = self._ours.recv()
                    if not data:
                        return False
                    self._heard += data
        except (_Late, StreamClosed):
            return False
        return True

    def _at_end(self) -> bool:
        try:
            with deadline(PATIENCE, _Late()):
                return self._ours.recv() == b""
        except StreamClosed:
            return True
        except _Late:
            return False

    def _fail(self, said: str) -> NoReturn:
        __tracebackhide__ = True
        lines = difflib.ndiff(self._script, [*self._said, said])
        cause = f"\nThe other side raised {self._error!r}" if self._error is not None else ""
        raise Mismatch("\n  ".join(("the conversation left its script (- expected, + said):", *lines)) + cause)
