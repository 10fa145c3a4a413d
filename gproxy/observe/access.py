"""One line for each finished session, with all its facts: in the log, and in the access log if there is one."""

from __future__ import annotations

import json
import logging
import os
from typing import Final, Protocol

from gproxy.base.clock import wall
from gproxy.base.session import Session, Sniffed
from gproxy.observe.linefile import Kept, LineFile
from gproxy.observe.lines import Clients, End, compiled, facts, shown, timestamp

_log = logging.getLogger("gproxy.session")

_NAME: Final = "access log"


class Settings(Protocol):
    """The `log.access` table of the configuration."""

    @property
    def output(self) -> str: ...
    @property
    def format(self) -> str: ...
    @property
    def sample(self) -> float: ...


class AccessLog:
    """A file of its own, with lines of its own form. Writing never waits; what can't be written is lost, and told."""

    def __init__(self, settings: Settings) -> None:
        self.file = LineFile(_NAME, settings.output)
        self._line = _json if settings.format == "json" else compiled(settings.format)
        self._sample = settings.sample
        self._due = 1.0 - settings.sample if settings.sample else 0.0  # the first is written

    def write(self, end: End) -> None:
        """Write this session's line, unless it went well and is not among those that are sampled."""
        if self._sample < 1 and end.status == "ok":
            self._due += self._sample
            if self._due < 1:
                return
            self._due -= 1
        self.file.write(self._line(end))

    def close(self) -> None:
        """See Book."""
        self.file.close()


def _json(end: End) -> str:
    import msgspec.json

    entry = {"time": timestamp(end.at), "pid": os.getpid(), **dict(facts(end))}
    try:
        return msgspec.json.encode(entry).decode()
    except UnicodeEncodeError:  # half a surrogate pair: rare, and no reason to lose the line
        return json.dumps(entry)


_kept: Kept[AccessLog] = Kept(_NAME)

probe, start, reopen, close = _kept.probe, _kept.start, _kept.reopen, _kept.close
_clients: Clients = "whole"


def setup(settings: Settings | None, clients: Clients = "whole") -> None:
    """Keep an access log from now on, or none; and write as much of clients' addresses. See LineFile."""
    global _clients  # noqa: PLW0603 - as the log that it is about
    _clients = clients
    _kept.book = AccessLog(settings) if settings is not None else None


def finished(
    session: Session, status: str, up: int, down: int, seconds: float, detail: str = "", *, quiet: bool = False
) -> None:
    """Log the end of a session. `quiet` ones (a port scan, a health check) are for the debug level.

    `status` is `ok` or a status word of gproxy.base.errors; `up` and `down` are payload bytes from and to the client.
    """
    clients = _clients
    if clients != "whole" and detail:
        detail = detail.replace(str(session.source.host), shown(session.source, clients) or "-")
    if (book := _kept.book) is not None and not quiet:
        book.write(End(session, status, up, down, seconds, detail, wall(), clients))
    level = logging.DEBUG if quiet else logging.INFO
    if not _log.isEnabledFor(level):
        return
    user = f"[{session.user}]" if session.user else ""
    who = _who(session, clients)
    asked = f" (asked {session.asked})" if session.asked is not None else ""
    sniffed = f" {_seen(session.sniffed)}" if session.sniffed is not None else ""
    way = f" via {session.outbound}" if session.outbound else ""
    rule = f" by {session.rule}" if session.rule else ""
    said = f": {detail}" if detail else ""
    _log.log(
        level,
        "%d %s %s%s %s%s -> %s%s%s%s%s up %d down %d in %.3fs %s%s",
        session.id, session.network, session.inbound, user, shown(session.source, clients) or "-", who, session.target,
        asked, sniffed, way, rule, up, down, seconds, status, said,
        extra={"facts": _Facts(End(session, status, up, down, seconds, detail, 0.0, clients))},
    )  # fmt: skip


def _who(session: Session, clients: Clients) -> str:
    """What was found out about the client, if anybody has asked."""
    owner = session.owner
    if owner is not None:
        name = owner.path.rpartition("/")[2]
        program = name if name.isprintable() else "?"  # a file may have any name
        return f" ({program or '?'} of {owner.user or owner.user_id})"
    if clients != "whole":
        return ""
    known = " ".join(each for each in (session.source_hostname, session.source_mac) if each)
    return f" ({known})" if known else ""


def _seen(sniffed: Sniffed) -> str:
    """`tls`, or `tls=example.org`; `name=example.org` where a name is known and no protocol."""
    return f"{sniffed.protocol or 'name'}={sniffed.domain}" if sniffed.domain else sniffed.protocol


class _Facts:
    """The same as fields, made only if a formatter wants them: iterating gives pairs, as `dict.update` takes them."""

    __slots__ = ("_end",)

    def __init__(self, end: End) -> None:
        self._end = end

    def __iter__(self):  # type: ignore[no-untyped-def]
        return facts(self._end)
