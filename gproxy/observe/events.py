"""What a line of the audit log says: who has ordered what, who has failed to show who he is, and who is banned.

A format string is written as those of the access log are. Standard library only: the master writes lines, too.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, fields
from ipaddress import ip_network
from typing import Any, Final

from gproxy.base.address import UNSPECIFIED, Address
from gproxy.observe.lines import PREFIX, Clients, escaped, names_in, shown, template_of, timestamp

EVENTS: Final[Mapping[str, str]] = {
    "start": "the first generation serves",
    "reload": "the configuration was read again; `generation` is what came of it",
    "upgrade": "gproxy goes on as the code that is installed now; a `reload` by `upgrade` follows",
    "stop": "gproxy ends; a second one ends open sessions at once",
    "reopen": "log files were opened anew",
    "debug": "somebody has looked into the processes (`gproxy debug`)",
    "ban-add": "an administrator has banned a prefix",
    "ban-remove": "an administrator has let a prefix in again; `count` bans were ended by that",
    "user-add": "a user of a managed inbound was added",
    "user-change": "he has another password now",
    "user-remove": "he is none any more, and his sessions were ended",
    "stats-clear": "what users have moved is counted from nothing",
    "token-refused": "somebody has asked a service without its token, or with a wrong one",
    "auth-success": "a client has shown who he is; only with `successes`",
    "auth-failure": "a client has shown a wrong password or key",
    "auth-replay": "a client has sent a handshake that was seen before",
    "ban": "a prefix is banned for what it has done: `reason`",
    "ban-end": "its time is over",
    "left-out": "`count` events of this kind, `detail`, came in one second beyond `rate`, and are not written",
}
"""All kinds of events, and what they are."""


@dataclass(frozen=True, slots=True)
class Event:
    """What has happened. What is not known, or makes no sense there, is None or empty."""

    event: str
    result: str = ""
    by: str = ""
    uid: int | None = None
    caller: int | None = None
    source: Address = UNSPECIFIED
    session: int | None = None
    inbound: str = ""
    service: str = ""
    user: str = ""
    prefix: str = ""
    seconds: float | None = None
    times: int | None = None
    reason: str = ""
    generation: int | None = None
    count: int | None = None
    detail: str = ""


FIELDS: Final[Mapping[str, str]] = {
    "time": "when it happened, RFC 3339, local time, milliseconds",
    "pid": "process id of the one who writes it",
    "event": "what has happened",
    "result": "`ok`, or `refused`: then it was not done",
    "by": "`control` (the control socket), `signal`, `api` (a service), `start`, or `upgrade`",
    "uid": "user id of the program that has asked on a unix socket, as the kernel says",
    "caller": "process id of that program",
    "source": "address and port of the client, or of who has asked a service",
    "session": "number of the session, as in the log and in the access log; `pid` is the worker there, too",
    "inbound": "tag of the inbound",
    "service": "tag of the service",
    "user": "name of the user",
    "prefix": "the address or prefix that is banned, or is no more",
    "seconds": "how long the ban is, rounded",
    "times": "for which time this prefix is banned",
    "reason": "why it is banned: `auth`, `replay`, `malformed`, `manual`",
    "generation": "number of the generation, as in the log",
    "count": "how many",
    "detail": "what all this does not say, for people",
}
"""Every field, and what it is."""

# What nginx calls the same, or what it has of it.
_NGINX: Final[Mapping[str, str]] = {
    "remote_addr": "address of the client, or of who has asked a service",
    "remote_user": "as `user`",
    "time_local": "when it happened, as in `31/Jan/2026:12:00:00 +0100`",
    "msec": "the same in seconds since 1970",
}

NAMES: Final[Mapping[str, str]] = {**FIELDS, **_NGINX}
"""Every name that a format string may have, and what it is."""

_LONGEST: Final = 300  # characters of what is for people

Line = Callable[[Event, float], str]
"""The line of an event that happened at that time, in seconds since the epoch; without its newline."""


def liner(form: str, clients: Clients) -> Line:
    """What makes lines of this form, with as much of clients' addresses. Raises KeyError for fields that are none."""
    if form == "json":
        import json

        encode = json.JSONEncoder(ensure_ascii=False, separators=(",", ":")).encode
        return lambda event, at: encode(dict(_facts(event, at, clients)))
    template, names = template_of(form), names_in(form)
    for name in names:
        NAMES[name]

    def line(event: Event, at: float) -> str:
        values = {**dict(_facts(event, at, clients)), **_more(event, at, clients)}
        return template % tuple([escaped(values.get(name)) for name in names])

    return line


def _facts(event: Event, at: float, clients: Clients) -> Iterator[tuple[str, Any]]:
    """The fields that have a value, in the order of a line."""
    yield "time", timestamp(at)
    yield "pid", os.getpid()
    for name in _OWN:
        value = _SHOWN[name](event, clients) if name in _SHOWN else getattr(event, name)
        if value is not None and value != "":
            yield name, value


def _source(event: Event, clients: Clients) -> str | None:
    return None if event.source is UNSPECIFIED else shown(event.source, clients)


def _more(event: Event, at: float, clients: Clients) -> dict[str, Any]:
    source: object = "" if event.source is UNSPECIFIED else event.source.host
    return {
        "remote_addr": source if clients == "whole" or not source else shown(event.source, clients),
        "remote_user": event.user,
        "time_local": time.strftime("%d/%b/%Y:%H:%M:%S %z", time.localtime(at)),
        "msec": f"{at:.3f}",
    }


def _prefix(event: Event, clients: Clients) -> str | None:
    """As much of it as is shown of clients' addresses: it is made of one."""
    if not event.prefix or clients == "whole":
        return event.prefix
    try:
        network = ip_network(event.prefix, strict=False)
    except ValueError:
        return None
    if clients == "hidden":
        return None
    bits = min(network.prefixlen, PREFIX[network.version])
    return str(network.supernet(new_prefix=bits))


def _detail(event: Event, clients: Clients) -> str:
    """Its first line, in which an address may stand that is not to be seen."""
    text = event.detail.strip().partition("\n")[0]
    if clients != "whole":
        if event.prefix:
            return ""
        if event.source is not UNSPECIFIED:
            text = text.replace(str(event.source.host), shown(event.source, clients) or "-")
    return text if len(text) <= _LONGEST else text[: _LONGEST - 1] + "…"


def _seconds(event: Event, clients: Clients) -> int | None:
    return None if event.seconds is None else round(event.seconds)


_OWN: Final = tuple(field.name for field in fields(Event))
_SHOWN: Final[Mapping[str, Callable[[Event, Clients], object]]] = {
    "source": _source, "prefix": _prefix, "seconds": _seconds, "detail": _detail,
}  # fmt: skip
