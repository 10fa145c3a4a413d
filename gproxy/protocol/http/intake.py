"""Taking requests from a client, one at a time, and judging them before anything is done for them."""

from __future__ import annotations

from dataclasses import dataclass

from gproxy.base.address import Address
from gproxy.base.defaults import HANDSHAKE_TIMEOUT, HTTP_KEEP_ALIVE
from gproxy.base.errors import AuthError, ProtocolError, StreamClosed, Unsupported
from gproxy.net.buffered import Buffered
from gproxy.protocol.http.rewrite import persists, upgrades
from gproxy.protocol.http.users import identify
from gproxy.rt.deadline import deadline
from gproxy.schema.users import Users
from gproxy.wire.http1 import (
    MAX_HEAD,
    AbsoluteTarget,
    Body,
    RequestHead,
    check_host,
    decode_request,
    parse_absolute,
    parse_authority,
    request_body,
)

# RFC 9110 section 9.2.2, without TRACE: what may be sent again when nobody knows whether the server has got it.
_IDEMPOTENT = frozenset((b"GET", b"HEAD", b"OPTIONS", b"PUT", b"DELETE"))


@dataclass(slots=True)
class Request:
    """A request that can be served, or whose sender must show credentials first (`missing`)."""

    head: RequestHead
    body: Body
    keep: bool  # whether the client's connection goes on after it
    target: Address
    forward: AbsoluteTarget | None = None  # where it goes and as what; None is CONNECT
    user: str | None = None
    upgrade: bool = False
    replayable: bool = False
    missing: AuthError | None = None

    def same_way(self, other: Request) -> bool:
        """May follow `other` on its connection to the server: same server, same user."""
        return (
            self.forward is not None
            and self.missing is None
            and self.target == other.target
            and self.user == other.user
        )


class Intake:
    """One client's requests."""

    __slots__ = ("_client", "_users")

    def __init__(self, client: Buffered, users: Users) -> None:
        self._client = client
        self._users = users

    def first(self) -> Request:
        """The first request. Raises ProtocolError, also when it takes too long, and StreamClosed."""
        return self._request()

    def following(self) -> Request | None:
        """The next request on a connection that was kept; None when there is none. Raises as `first` does."""
        idle = StreamClosed("no further request", reason="idle")
        try:
            with deadline(HTTP_KEEP_ALIVE, idle):
                if not self._client.peek():
                    return None
        except StreamClosed:  # gone, or silent for too long: between requests, both are an ordinary end
            return None
        return self._request()

    def _request(self) -> Request:
        with deadline(HANDSHAKE_TIMEOUT, ProtocolError("no HTTP request in time", reason="timeout")):
            head = self._client.decode(decode_request, MAX_HEAD)
        return self._judge(head)

    def _judge(self, head: RequestHead) -> Request:
        check_host(head)
        body = request_body(head)
        try:
            user = identify(self._users, head.fields)
        except AuthError as error:
            if error.reason != "missing":
                raise
            return Request(head, body, persists(head), Address("", 0), missing=error)
        if head.method == b"CONNECT":
            if not body.complete:
                raise ProtocolError("CONNECT with a body")
            return Request(head, body, False, parse_authority(head.target), user=user)
        return self._to_forward(head, body, user)

    @staticmethod
    def _to_forward(head: RequestHead, body: Body, user: str | None) -> Request:
        if head.method == b"TRACE":
            # It would show the client's own fields, credentials included, to whoever may make it send requests.
            raise Unsupported("TRACE", reason="method")
        if head.method == b"OPTIONS" and head.fields.values(b"max-forwards") == [b"0"]:
            raise Unsupported("an OPTIONS request to this proxy itself", reason="method")
        if head.target.startswith(b"/") or head.target == b"*":
            raise ProtocolError("a request to a server, not to a proxy")
        to = parse_absolute(head.target)
        replayable = head.method in _IDEMPOTENT and body.complete
        return Request(head, body, persists(head), to.address, to, user, upgrades(head), replayable)
