"""One line for each finished session, with all its facts."""

from __future__ import annotations

import logging

from gproxy.base.session import Session, Sniffed

_log = logging.getLogger("gproxy.session")


def finished(
    session: Session, status: str, up: int, down: int, seconds: float, detail: str = "", *, quiet: bool = False
) -> None:
    """Log the end of a session. `quiet` ones (a port scan, a health check) are for the debug level.

    `status` is `ok` or a status word of gproxy.base.errors; `up` and `down` are payload bytes from and to the client.
    """
    level = logging.DEBUG if quiet else logging.INFO
    if not _log.isEnabledFor(level):
        return
    user = f"[{session.user}]" if session.user else ""
    who = _who(session)
    asked = f" (asked {session.asked})" if session.asked is not None else ""
    sniffed = f" {_seen(session.sniffed)}" if session.sniffed is not None else ""
    way = f" via {session.outbound}" if session.outbound else ""
    rule = f" by {session.rule}" if session.rule else ""
    said = f": {detail}" if detail else ""
    _log.log(
        level,
        "%d %s %s%s %s%s -> %s%s%s%s%s up %d down %d in %.3fs %s%s",
        session.id, session.network, session.inbound, user, session.source, who, session.target, asked, sniffed, way,
        rule, up, down, seconds, status, said,
        extra={"facts": _Facts(session, status, up, down, seconds, detail)},
    )  # fmt: skip


def _who(session: Session) -> str:
    """What was found out about the client, if anybody has asked."""
    owner = session.owner
    if owner is not None:
        name = owner.path.rpartition("/")[2]
        shown = name if name.isprintable() else "?"  # a file may have any name
        return f" ({shown or '?'} of {owner.user or owner.user_id})"
    known = " ".join(each for each in (session.source_hostname, session.source_mac) if each)
    return f" ({known})" if known else ""


def _seen(sniffed: Sniffed) -> str:
    """`tls`, or `tls=example.org`; `name=example.org` where a name is known and no protocol."""
    return f"{sniffed.protocol or 'name'}={sniffed.domain}" if sniffed.domain else sniffed.protocol


class _Facts:
    """The same as fields, made only if a formatter wants them: iterating gives pairs, as `dict.update` takes them."""

    __slots__ = ("_rest", "_session")

    def __init__(self, session: Session, status: str, up: int, down: int, seconds: float, detail: str) -> None:
        self._session = session
        self._rest = (status, up, down, seconds, detail)

    def __iter__(self):  # type: ignore[no-untyped-def]
        session = self._session
        status, up, down, seconds, detail = self._rest
        yield "session", session.id
        yield "network", session.network
        yield "inbound", session.inbound
        yield "source", str(session.source)
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
        if session.source_mac:
            yield "source_mac", session.source_mac
        if session.source_hostname:
            yield "source_hostname", session.source_hostname
        if session.rule:
            yield "rule", session.rule
        if session.outbound:
            yield "outbound", session.outbound
        yield "up", up
        yield "down", down
        yield "seconds", round(seconds, 3)
        yield "status", status
        if detail:
            yield "detail", detail
