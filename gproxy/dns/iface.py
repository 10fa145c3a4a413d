"""What the resolver and those whom it asks promise each other."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import NamedTuple, Protocol, runtime_checkable

from gproxy.base.iface import Connect, Dialer, Lookup
from gproxy.base.session import Session
from gproxy.limit.memory import Memory


class Ask(NamedTuple):
    """One question on its way to a server.

    `message` is the whole query as it leaves, with the id 0, one question in lower case, and the OPT record that the
    server shall get; whoever sends it may replace the id and the case of letters for the way, and undoes that.
    """

    name: str  # lower-case, without the final dot; the root is empty
    type: int
    message: bytes
    session: Session  # on whose behalf


class Server(Protocol):
    """One entry of `dns.servers`."""

    cacheable: bool  # whether it pays to remember its answers
    waits: bool  # whether asking it may take time; one that never does may be asked in the hub

    def exchange(self, ask: Ask, /) -> bytes:
        """The answer: a whole message, to just this question, with the id 0, never a truncated one.

        Whoever asks sets a deadline. Raises DialError with the reason `dns` when there is none to be had.
        """

    def knows(self, name: str, /) -> bool:
        """Whether it has answers of its own for this name, which rules call preferred."""

    def close(self) -> None:
        """Give up what is kept open. Idempotent."""


class Told(Protocol):
    """Who is told what became of a question. It neither waits nor raises."""

    def told(self, answer: bytes, /) -> None:
        """The answer, as `Server.exchange` gives it."""

    def failed(self, why: str, /, *, again: bool) -> None:
        """There is none. `again`: it is to be asked again, by somebody who can wait."""


class UnderWay(Protocol):
    """A question that has been sent."""

    def forget(self) -> None:
        """Nobody wants to be told any more."""


@runtime_checkable
class Starting(Protocol):
    """A server that can mostly be asked without waiting."""

    def start(self, message: bytes, question: bytes, told: Told, /) -> UnderWay | None:
        """Ask, or do nothing if that would mean to wait. It may be called in the hub; `told` hears later on, once.

        `message` is as in Ask, and `question` what it asks, as it stands there: name, type and class.
        """


@runtime_checkable
class Searching(Protocol):
    """A server that may hold search domains: those under which names of one label are looked for."""

    def searches(self) -> bool:
        """Whether it holds any now. It never waits."""


@dataclass(frozen=True, slots=True)
class ServerWiring:
    """What a server is handed when it is built.

    `connect` brings a stream to the server's address, through TLS where its options ask for that; `via` is what dials
    beneath it; `lookup` finds the addresses of the server's own name; `servers` are all servers by tag, filled by the
    time that the first one is asked; `memory` gives what is shared by all workers.
    """

    tag: str
    connect: Connect
    via: Dialer
    lookup: Lookup
    servers: Mapping[str, Server]
    log: logging.Logger
    memory: Callable[[], Memory] = Memory
