"""What master, template, control and workers say to each other, beyond the planes' messages. Standard library only."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from typing import Any

from gproxy.app import messages
from gproxy.base.address import parse_ip
from gproxy.net.bind import Endpoint
from gproxy.net.sockopt import KeepAlive


@dataclass(frozen=True, slots=True)
class Refused:
    """Template → master: the configuration can't be used; the report says why. The template ends."""

    report: str


@dataclass(frozen=True, slots=True)
class Plan:
    """Template → master: what this generation needs. Times are in seconds."""

    endpoints: list[dict[str, Any]]
    workers: int
    grace: float
    stop_grace: float
    control: str
    log: dict[str, Any] = field(default_factory=dict)
    managed: list[str] = field(default_factory=list)  # tags of the inbounds whose users services rule
    bans: list[str] | None = None  # the prefixes that are never banned; None: nobody is
    debug: bool = False  # it knows AskDebug, which older code takes for nonsense
    audit: dict[str, Any] | None = None  # `output`, `format` and `clients` of the audit log, if there is one


@dataclass(frozen=True, slots=True)
class Sockets:
    """Master → template: descriptors, in the order of these pairs of an endpoint's index and a slot."""

    places: list[list[int]]


@dataclass(frozen=True, slots=True)
class Fork:
    """Master → template: all sockets are there, fork the processes.

    `load` are the managed inbounds of which no generation before knows anything, so that what was saved is to be taken
    up; None: all of them.
    """

    load: list[str] | None = None
    generation: int = 0  # its number


@dataclass(frozen=True, slots=True)
class Forked:
    """Template → master: a process of this generation runs. Worker -1 is control."""

    worker: int
    pid: int


@dataclass(frozen=True, slots=True)
class Died:
    """Template → master: a process of this generation has ended before it was told to."""

    worker: int
    pid: int
    how: str


@dataclass(frozen=True, slots=True)
class ForkAgain:
    """Master → template: replace a dead process."""

    worker: int


@dataclass(frozen=True, slots=True)
class Begin:
    """Template → control: you know now what others knew; of these inbounds, take up what was saved."""

    load: list[str]


@dataclass(frozen=True, slots=True)
class AskStatus:
    """Master → template → control."""

    request: int


@dataclass(frozen=True, slots=True)
class Status:
    """Control → template → master: the counters of this generation."""

    request: int
    counters: dict[str, Any]


@dataclass(frozen=True, slots=True)
class Rotated:
    """Control → template → master: log files were moved away, and all generations are to open theirs anew."""


@dataclass(frozen=True, slots=True)
class Counted:
    """Template → control: a worker's counters. A new life begins when it was replaced."""

    worker: int
    life: int
    counters: dict[str, Any]


CONTROL = -1
"""The number of the control process among the workers."""

KINDS: dict[str, type] = {
    kind.__name__: kind
    for kind in (
        Refused, Plan, Sockets, Fork, Forked, Died, ForkAgain, Begin, AskStatus, Status, Rotated, Counted,
        messages.Prepared, messages.Serve, messages.Serving, messages.Yield, messages.Handover, messages.Yielded,
        messages.Stop, messages.StopNow, messages.Reopen, messages.AskSnapshot, messages.Snapshot, messages.Traffic,
        messages.AskDebug, messages.Debugged,
        messages.Users, messages.Supplied, messages.RuleSetChanged, messages.Stopped,
    )
}  # fmt: skip
"""Every message by its name on the wire."""


def endpoint_to_json(endpoint: Endpoint) -> dict[str, Any]:
    """A JSON object that `endpoint_from_json` reads."""
    values = asdict(endpoint)
    values["host"] = ["unix", endpoint.host] if isinstance(endpoint.host, str) else ["ip", str(endpoint.host)]
    return values


def endpoint_from_json(values: dict[str, Any]) -> Endpoint:
    """The endpoint of a JSON object. Raises ValueError, KeyError or TypeError for anything else."""
    family, host = values["host"]
    alive = values["keep_alive"]
    changed = {"host": parse_ip(host) if family == "ip" else host, "keep_alive": KeepAlive(**alive) if alive else None}
    return Endpoint(**{**values, **changed})
