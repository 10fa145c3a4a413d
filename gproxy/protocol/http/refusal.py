"""What an HTTP client is told when it can't have what it asked for: the one place where errors become statuses."""

from __future__ import annotations

from http import HTTPStatus

from gproxy.base.address import Address
from gproxy.base.errors import GproxyError, Rejected, StreamClosed
from gproxy.base.iface import Stream
from gproxy.protocol.http.wire import ESTABLISHED

_BY_WORD = {
    "limit-target": 414,
    "limit-length": 413,
    "limit-chunk": 400,
    "protocol-timeout": 408,
    "unsupported-method": 405,
    "unsupported-version": 505,
    "dial-timeout": 504,
}
_BY_STATUS = {
    "protocol": 400,
    "auth": 407,
    "replay": 400,
    "limit": 431,
    "unsupported": 501,
    "rejected": 403,
    "dial": 502,
    "closed": 502,
    "overload": 503,
}
# RFC 9110 wants these fields with their statuses (sections 15.5.6 and 15.5.8).
_FIELDS = {
    405: b"Allow: CONNECT, GET, HEAD, POST, PUT, PATCH, DELETE, OPTIONS\r\n",
    407: b'Proxy-Authenticate: Basic realm="gproxy", charset="UTF-8"\r\n',
}


def status_for(why: GproxyError) -> int:
    """The HTTP status that says why."""
    return _BY_WORD.get(why.word) or _BY_STATUS.get(why.status, 500)


def encode_refusal(why: GproxyError, *, close: bool = True, head_only: bool = False) -> bytes:
    """A whole response. Its text names the status word of the log and nothing else, so that it tells no secrets.

    `close` announces that the connection ends with it; `head_only` leaves the text out, for an answer to HEAD.
    """
    status = HTTPStatus(status_for(why))
    text = f"{status.value} {status.phrase} ({why.word})\n".encode()
    head = b"HTTP/1.1 %d %s\r\n%sContent-Type: text/plain\r\nContent-Length: %d\r\n%s\r\n" % (
        status.value,
        status.phrase.encode(),
        _FIELDS.get(status.value, b""),
        len(text),
        b"Connection: close\r\n" if close else b"",
    )
    return head if head_only else head + text


def tell(client: Stream, message: bytes) -> bool:
    """Send what may well find nobody left to hear it; whether it could be sent."""
    try:
        client.sendall(message)
    except StreamClosed:
        return False
    return True


class TunnelReply:
    """The yes or no to CONNECT."""

    __slots__ = ("_client", "rejected")
    awaited = True

    def __init__(self, client: Stream) -> None:
        self._client: Stream | None = client
        self.rejected = False

    def accept(self, bound: Address | None = None) -> None:
        """See Reply."""
        self._say(ESTABLISHED)

    def reject(self, why: GproxyError) -> None:
        """See Reply."""
        if self._client is not None and not (isinstance(why, Rejected) and why.drop):
            self.rejected = True
            self._say(encode_refusal(why))

    def _say(self, message: bytes) -> None:
        client, self._client = self._client, None
        if client is not None:
            tell(client, message)


class ForwardReply:
    """The yes or no to a forwarded request. A yes is the server's own response; a no is answered by the inbound."""

    __slots__ = ("accepted", "why")
    awaited = False

    def __init__(self) -> None:
        self.accepted = False
        self.why: GproxyError | None = None

    def accept(self, bound: Address | None = None) -> None:
        """See Reply."""
        self.accepted = self.why is None

    def reject(self, why: GproxyError) -> None:
        """See Reply."""
        if not self.accepted and self.why is None:
            self.why = why
