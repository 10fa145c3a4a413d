"""Heads on their way through a proxy: what belongs to one connection stays there (RFC 9110 section 7.6.1).

Removed in both directions: Connection and every field that it names, Keep-Alive, TE, Upgrade, and the Proxy-* fields
of this hop. Kept, since they frame or address the message whatever Connection says: Content-Length, Transfer-Encoding,
Host.
No Via is added, as by other client-side proxies: it would tell servers about the proxy.
"""

from __future__ import annotations

from gproxy.wire.http1 import AbsoluteTarget, Field, Fields, RequestHead, ResponseHead

_HOP = frozenset((
    b"connection", b"proxy-connection", b"keep-alive", b"te", b"upgrade",
    b"proxy-authorization", b"proxy-authenticate", b"proxy-authentication-info",
))  # fmt: skip
_NEVER_HOP = frozenset((b"content-length", b"transfer-encoding", b"host"))
_FRAMING = frozenset((b"content-length", b"transfer-encoding"))


def persists(head: RequestHead | ResponseHead) -> bool:
    """Whether its sender keeps the connection. HTTP/1.0 keeps none through a proxy (RFC 9112 section 9.3)."""
    if not head.minor:
        return False
    return b"close" not in head.fields.options(b"connection") + head.fields.options(b"proxy-connection")


def upgrades(head: RequestHead) -> bool:
    """Whether the request asks for another protocol that can pass through here.

    h2c can't: RFC 9113 has withdrawn it, and it is used to smuggle requests past proxies.
    """
    if not head.minor or b"upgrade" not in head.fields.options(b"connection"):
        return False
    protocols = head.fields.options(b"upgrade")
    return bool(protocols) and b"h2c" not in protocols


def forward_request(head: RequestHead, to: AbsoluteTarget, *, upgrade: bool, close: bool) -> bytes:
    """The head for the server: origin-form, the Host of the target URI, nothing of the client's hop.

    `upgrade` keeps the wish for another protocol; `close` says that no request will follow.
    """
    drop = _hop_fields(head.fields)
    if not head.minor:
        drop |= {b"expect"}  # an HTTP/1.0 client does not wait for it (RFC 9110 section 10.1.1)
    lines = [_forwarded(line, to.authority, head.method) for line in head.fields if line[0] not in drop]
    if not head.fields.values(b"host"):
        lines.insert(0, (b"host", b"Host", to.authority))
    fields = Fields(lines)
    options = []
    if upgrade:
        options.append(b"Upgrade")
        fields.lines += [line for line in head.fields if line[0] == b"upgrade"]
    if b"trailers" in head.fields.options(b"te"):
        options.append(b"TE")
        fields.add(b"TE", b"trailers")
    if close:
        options.append(b"close")
    if options:
        fields.add(b"Connection", b", ".join(options))
    target = to.origin or (b"*" if head.method == b"OPTIONS" else b"/")
    return RequestHead(head.method, target, 1, fields).encode()


def forward_response(head: ResponseHead, *, close: bool, bodiless: bool = False, unchunk: bool = False) -> bytes:
    """The head for the client.

    `close` says that the connection ends with this response; `bodiless` drops the framing that a 1xx or 204 must not
    have, `unchunk` the one that an HTTP/1.0 client does not know.
    """
    drop = _hop_fields(head.fields)
    if bodiless:
        drop |= _FRAMING
    elif unchunk:
        drop |= {b"transfer-encoding"}
    fields = head.fields.without(drop)
    if head.status == 101:
        fields.lines += [line for line in head.fields if line[0] == b"upgrade"]
        fields.add(b"Connection", b"Upgrade")
    elif close:
        fields.add(b"Connection", b"close")
    return ResponseHead(1, head.status, head.reason, fields).encode()


def _hop_fields(fields: Fields) -> frozenset[bytes]:
    named = fields.options(b"connection")
    return _HOP.union(named) - _NEVER_HOP if named else _HOP


def _forwarded(line: Field, authority: bytes, method: bytes) -> Field:
    key, name, value = line
    if key == b"host":
        return key, name, authority
    if key == b"max-forwards" and method == b"OPTIONS" and value.isdigit() and len(value) < 10:
        return key, name, b"%d" % max(int(value) - 1, 0)
    return line
