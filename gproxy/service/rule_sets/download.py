"""One request for a newer version of a rule set, bounded in time and space."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from typing import Final, NamedTuple
from urllib.parse import urljoin

from gproxy import __version__
from gproxy.base.address import UNSPECIFIED
from gproxy.base.errors import DialError, GproxyError, ProtocolError
from gproxy.base.iface import Dialer, Stream
from gproxy.base.session import Session
from gproxy.layers.tls.get import get
from gproxy.net.request import Answer
from gproxy.rt.deadline import deadline
from gproxy.schema.tls import Authorities
from gproxy.service.rule_sets.store import Facts
from gproxy.wire.http1.location import Location

MOST: Final = 64 * 2**20
"""Bytes of a rule set."""

PATIENCE: Final = 300.0
"""Seconds for the whole of it, with all redirections."""

_HEAD_PATIENCE: Final = 30.0  # seconds from a dial to the head of the answer
_MOST_REDIRECTIONS: Final = 5
_REDIRECTIONS: Final = frozenset({301, 302, 303, 307, 308})
_NAME: Final = f"gproxy/{__version__}"

_numbers = itertools.count(1)

DialerOf = Callable[[], Dialer]


class NotThere(GproxyError):
    """The server has no rule set for us, and says so."""

    status = "download"
    blame = "upstream"


class Downloaded(NamedTuple):
    """What the server has, and what it says of it. No data: what it had before."""

    data: bytes | None
    facts: Facts


def download(dialer: Dialer, authorities: Authorities, facts: Facts) -> Downloaded:
    """Ask for what is newer than `facts` say. Raises GproxyError."""
    with deadline(PATIENCE, DialError("it took too long", reason="timeout")):
        url = facts.url
        for _ in range(_MOST_REDIRECTIONS + 1):
            found = _ask(dialer, authorities, url, facts)
            if isinstance(found, Downloaded):
                return found
            url = found
    raise NotThere(f"more than {_MOST_REDIRECTIONS} redirections")


def _ask(dialer: Dialer, authorities: Authorities, url: str, facts: Facts) -> Downloaded | str:
    """What is there, or where else to ask."""
    try:
        location = Location.parse(url)
    except ValueError as error:
        raise ProtocolError(f"not a URL: {error}") from None
    stream, answer = _open(dialer, authorities, location, facts)
    try:
        status = answer.head.status
        if status in _REDIRECTIONS:
            return _elsewhere(url, answer)
        if status == 304 and facts.asked:
            return Downloaded(None, facts)
        if status != 200:
            raise NotThere(f"{location.authority} says {status}")
        data = answer.read(MOST)
        return Downloaded(data, Facts(facts.url, answer.field(b"etag"), answer.field(b"last-modified")))
    finally:
        stream.close()


def _elsewhere(url: str, answer: Answer) -> str:
    target = urljoin(url, answer.field(b"location"))
    if url.startswith("https:") and not target.startswith("https:"):
        raise NotThere("a redirection from https to what nobody vouches for")
    return target


def _open(dialer: Dialer, authorities: Authorities, location: Location, facts: Facts) -> tuple[Stream, Answer]:
    fields = {"User-Agent": _NAME, "Accept": "*/*"}
    if facts.etag:
        fields["If-None-Match"] = facts.etag
    if facts.modified:
        fields["If-Modified-Since"] = facts.modified
    with deadline(_HEAD_PATIENCE, DialError(f"{location.authority}: no answer in time", reason="timeout")):
        session = Session(next(_numbers), "tcp", "rule-set", UNSPECIFIED, location.address)
        return get(dialer, location, session, fields, authorities)
