"""What a control plane and a data plane say to each other: over a queue in solo mode, else between processes.

A data plane goes through these states, each begun by a message: it is prepared; it serves (Serve); it yields (Yield: it
accepts no more, and hands over the flows that datagrams belong to); it stops (Stop). Its last word is Stopped.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Final, Protocol

from gproxy.observe.books import Row


@dataclass(frozen=True, slots=True)
class Prepared:
    """Data → control: everything is loaded; not a single socket is being read yet."""


@dataclass(frozen=True, slots=True)
class Serve:
    """Control → data: begin to accept and to read; or go on, when what Yield made room for did not come."""


@dataclass(frozen=True, slots=True)
class Serving:
    """Data → control: all sockets are being served."""


@dataclass(frozen=True, slots=True)
class Yield:
    """Control → data: accept no more, and tell which flows go on. Open sessions stay."""


@dataclass(frozen=True, slots=True)
class Handover:
    """Both ways: the UDP flows of one slot that an older plane goes on serving, and the descriptor to send them down.

    `endpoint` and `slot` name the socket, `clients` are the kernel's names of the peers. Old → control → new.
    """

    endpoint: int
    slot: int
    clients: list[Any]


@dataclass(frozen=True, slots=True)
class Yielded:
    """Data → control: nothing is accepted any more, and all handovers have been told."""


@dataclass(frozen=True, slots=True)
class Stop:
    """Control → data: accept no more, let the open sessions end for `grace` seconds, then end them.

    A second one can only shorten the time.
    """

    grace: float


@dataclass(frozen=True, slots=True)
class StopNow:
    """Control → data: a Stop without any grace."""


@dataclass(frozen=True, slots=True)
class Reopen:
    """Control → data: open the log file anew."""


@dataclass(frozen=True, slots=True)
class AskSnapshot:
    """Control → data: tell your counters."""


@dataclass(frozen=True, slots=True)
class Snapshot:
    """Data → control: counters since the start, absolute. Bytes are payload from and to clients.

    `breakers`: by outbound, what each does now, and how often it has opened.
    """

    opened: int
    active: int
    up: int
    down: int
    statuses: dict[str, int]
    breakers: dict[str, list[Any]] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class AskDebug:
    """Control → data: look into yourself (see gproxy.observe.debug), for so many seconds.

    `worker` is whom the master asks, None for all of them; -1 is control. With `connection`, say where that would go
    (see gproxy.app.explaining); its keys are of CONNECTION.
    """

    request: int
    what: str
    seconds: float
    worker: int | None = None
    connection: dict[str, str] | None = None


CONNECTION: Final = ("target", "inbound", "source", "user", "network", "process", "protocol", "domain")
"""What may be said of a connection that is only asked about."""

EXPLAIN_LIMIT: Final = 20.0
"""How long it may take to say where that would go, in seconds: names may have to be looked up for it."""


@dataclass(frozen=True, slots=True)
class Debugged:
    """Data → control: what was seen there, in what JSON knows. The template fills in which worker it was."""

    request: int
    pid: int
    facts: dict[str, Any]
    worker: int = 0


@dataclass(frozen=True, slots=True)
class Users:
    """Control → data: these are the users of an inbound now, pairs of a name and a password."""

    inbound: str
    users: list[list[str]]


@dataclass(frozen=True, slots=True)
class Supplied:
    """Control → data: what a certificate provider's inbounds show from now on (see gproxy.layers.tls.supply)."""

    provider: str
    certificate: str
    challenges: dict[str, str]


@dataclass(frozen=True, slots=True)
class RuleSetChanged:
    """Control → data: a rule set is now what the memory file says that comes with this (see gproxy.route.sets)."""

    tag: str
    digest: str


@dataclass(frozen=True, slots=True)
class Traffic:
    """Data → control: what users have moved since the last one (see gproxy.observe.books). Rows are added up.

    Control says so too, of what it has added by itself, and a generation that is replaced, of all that it has.
    """

    rows: list[Row]


@dataclass(frozen=True, slots=True)
class Stopped:
    """Data → control: nothing is served any more; `ended` sessions did not end by themselves."""

    ended: int


ToData = Serve | Yield | Handover | Stop | StopNow | Reopen | AskSnapshot | AskDebug | Users | Supplied | RuleSetChanged
ToControl = Prepared | Serving | Handover | Yielded | Snapshot | Debugged | Traffic | Stopped


class DataEnd(Protocol):
    """The data plane's end of the channel. A Handover and a RuleSetChanged come with a descriptor."""

    def tell(self, message: ToControl, descriptor: int | None = None) -> None:
        """The descriptor stays ours too."""

    def receive(self) -> tuple[ToData, int | None]:
        """The next message, waiting for it; its descriptor is ours then."""
