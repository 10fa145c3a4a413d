"""What a line of the access log says: fields of a session that has ended, and format strings made of them.

A format string is written as nginx's are: `$name` or `${name}` stands for a field, everything else for itself. What has
no value is `-`. Quotes, backslashes and what can't be printed are written in hexadecimal, octet by octet.
"""

from __future__ import annotations

import os
import re
import time
from collections.abc import Callable, Iterator, Mapping
from ipaddress import ip_network
from typing import Any, Final, Literal, NamedTuple

from gproxy.base.address import UNSPECIFIED, Address
from gproxy.base.session import Session

Clients = Literal["whole", "network", "hidden"]
"""How much of a client's address is written."""


class End(NamedTuple):
    """A session that has ended: how, with how many payload bytes from and to the client, after how long, and when."""

    session: Session
    status: str
    up: int
    down: int
    seconds: float
    detail: str
    at: float = 0.0  # seconds since the epoch
    clients: Clients = "whole"


_second = (-1, "", "")


def timestamp(at: float) -> str:
    """RFC 3339 in local time with milliseconds; the part that changes once a second is remembered."""
    global _second  # noqa: PLW0603 - a cache of one value
    whole = int(at)
    if _second[0] != whole:
        local = time.localtime(whole)
        zone = time.strftime("%z", local)
        _second = (whole, time.strftime("%Y-%m-%dT%H:%M:%S", local), f"{zone[:3]}:{zone[3:]}")
    return f"{_second[1]}.{int((at - whole) * 1000):03d}{_second[2]}"


PREFIX: Final = {4: 24, 6: 48}
"""The networks that are left of clients' addresses, in bits: what one household or one site usually has."""


def shown(source: Address, clients: Clients) -> str | None:
    """A client's address as it is written, None if it is not."""
    if clients == "whole":
        return str(source)
    host = source.host
    if clients == "hidden" or source is UNSPECIFIED or isinstance(host, str):
        return None
    return str(ip_network((int(host), PREFIX[host.version]), strict=False))


def facts(end: End) -> Iterator[tuple[str, Any]]:
    """The fields that have a value, in the order of a line."""
    session = end.session
    yield "session", session.id
    yield "network", session.network
    yield "inbound", session.inbound
    source = shown(session.source, end.clients)
    if source is not None:
        yield "source", source
    yield "target", str(session.target)
    if session.asked is not None:
        yield "asked", str(session.asked)
    if session.sniffed is not None:
        if session.sniffed.protocol:
            yield "protocol", session.sniffed.protocol
        if session.sniffed.domain:
            yield "domain", session.sniffed.domain
    if session.user is not None:
        yield "user", session.user
    if session.owner is not None:
        path = session.owner.path
        yield "process", path if path.isprintable() else ascii(path)
        yield "process_user", session.owner.user_id
    if end.clients == "whole":
        if session.source_mac:
            yield "source_mac", session.source_mac
        if session.source_hostname:
            yield "source_hostname", session.source_hostname
    if session.rule:
        yield "rule", session.rule
    if session.outbound:
        yield "outbound", session.outbound
    yield "up", end.up
    yield "down", end.down
    yield "seconds", round(end.seconds, 3)
    yield "status", end.status
    if end.detail:
        yield "detail", end.detail


Value = Callable[[End], object]


def _sniffed(name: Literal["protocol", "domain"]) -> Value:
    return lambda end: getattr(end.session.sniffed, name, "")


def _whole(name: str) -> Value:
    return lambda end: getattr(end.session, name) if end.clients == "whole" else ""


def _of_session(name: str) -> Value:
    return lambda end: getattr(end.session, name)


def _source_host(end: End) -> object:
    session = end.session
    if end.clients == "whole":
        return "" if session.source is UNSPECIFIED else session.source.host
    return shown(session.source, end.clients)


def _source_port(end: End) -> object:
    source = end.session.source
    return source.port if end.clients == "whole" and source is not UNSPECIFIED else ""


def _clf(end: End) -> str:
    return time.strftime("%d/%b/%Y:%H:%M:%S %z", time.localtime(end.at))


_OWN: Final[Mapping[str, tuple[Value, str]]] = {
    "time": (lambda end: timestamp(end.at), "when the session ended, RFC 3339, local time, milliseconds"),
    "pid": (lambda end: os.getpid(), "process id of the worker"),
    "session": (_of_session("id"), "number of the session, as in all other lines of the log about it"),
    "network": (_of_session("network"), "`tcp` or `udp`"),
    "inbound": (_of_session("inbound"), "tag of the inbound"),
    "source": (lambda end: shown(end.session.source, end.clients), "the client's address and port"),
    "target": (_of_session("target"), "where the session went, after all rules"),
    "asked": (_of_session("asked"), "what the client asked for, if a rule has rewritten it"),
    "protocol": (_sniffed("protocol"), "what was sniffed, such as `tls`"),
    "domain": (_sniffed("domain"), "the name that was sniffed"),
    "user": (_of_session("user"), "name of the user"),
    "process": (lambda end: getattr(end.session.owner, "path", ""), "program of a client on this machine"),
    "process_user": (lambda end: getattr(end.session.owner, "user_id", ""), "user id of that program"),
    "source_mac": (_whole("source_mac"), "hardware address of a client in the neighbourhood"),
    "source_hostname": (_whole("source_hostname"), "name of such a client by its lease"),
    "rule": (_of_session("rule"), "the rule that has decided"),
    "outbound": (_of_session("outbound"), "tag of the outbound"),
    "up": (lambda end: end.up, "payload bytes from the client"),
    "down": (lambda end: end.down, "payload bytes to the client"),
    "seconds": (lambda end: f"{end.seconds:.3f}", "how long the session was"),
    "status": (lambda end: end.status, "status word"),
    "detail": (lambda end: end.detail, "what the status word does not say, for people"),
}

# What nginx calls the same, or what it has of it.
_NGINX: Final[Mapping[str, tuple[Value, str]]] = {
    "remote_addr": (_source_host, "the client's address"),
    "remote_port": (_source_port, "the client's port"),
    "remote_user": (_of_session("user"), "as `user`"),
    "time_local": (_clf, "when the session ended, as in `31/Jan/2026:12:00:00 +0100`"),
    "time_iso8601": (lambda end: timestamp(end.at), "as `time`"),
    "msec": (lambda end: f"{end.at:.3f}", "the same in seconds since 1970"),
    "connection": (_of_session("id"), "as `session`"),
    "bytes_received": (lambda end: end.up, "as `up`"),
    "bytes_sent": (lambda end: end.down, "as `down`"),
    "session_time": (lambda end: f"{end.seconds:.3f}", "as `seconds`"),
    "request_time": (lambda end: f"{end.seconds:.3f}", "as `seconds`"),
    "server_addr": (lambda end: getattr(end.session.local, "host", ""), "address at which the client has reached us"),
    "server_port": (lambda end: getattr(end.session.local, "port", ""), "port at which the client has reached us"),
}

FIELDS: Final[Mapping[str, tuple[Value, str]]] = {**_OWN, **_NGINX}
"""Every name that a format string may have: how to find its value, and what it is."""

_PART = re.compile(r"\$(?:\{([A-Za-z0-9_]+)\}|([A-Za-z0-9_]+))|([^$]+)|(\$)", re.ASCII)


def names_in(text: str) -> list[str]:
    """The fields of a format string. A dollar sign without a name is an empty one."""
    return [match[1] or match[2] or "" for match in _PART.finditer(text) if match[3] is None]


def compiled(text: str) -> Callable[[End], str]:
    """A format string as a function. Raises KeyError for fields that are none."""
    values = [FIELDS[name][0] for name in names_in(text)]
    template = template_of(text)
    return lambda end: template % tuple([escaped(value(end)) for value in values])


def template_of(text: str) -> str:
    """A format string in which `%s` stands for each of its fields, in their order."""
    return "".join("%s" if match[3] is None else match[3].replace("%", "%%") for match in _PART.finditer(text))


def escaped(value: object) -> str:
    """A value as it stands in a line of a format string."""
    text = "" if value is None else str(value)
    if not text:
        return "-"
    if text.isprintable() and '"' not in text and "\\" not in text:
        return text
    return "".join(
        each
        if each.isprintable() and each not in '"\\'
        else "".join(f"\\x{octet:02X}" for octet in each.encode("utf-8", "surrogatepass"))
        for each in text
    )
