"""The protocols that a link can speak."""

from __future__ import annotations

from gproxy.base.iface import Multiplexer
from gproxy.wire.mux import Kind

_HTTP2_IDLE = 30.0
"""Seconds after which a server gives up an HTTP/2 link without streams, and a client asks whether there is still a
server; as in sing-mux."""

NAMES = {"smux": Kind.SMUX, "yamux": Kind.YAMUX, "h2mux": Kind.H2MUX}
"""The protocols as options call them."""


def make_core(kind: Kind, *, client: bool) -> Multiplexer:
    """One side of a link."""
    if kind is Kind.SMUX:
        from gproxy.wire.smux import Smux

        return Smux(client=client)
    if kind is Kind.YAMUX:
        from gproxy.wire.yamux import Yamux

        return Yamux(client=client)
    from gproxy.wire.http2.link import Http2

    return Http2(client=client, idle_timeout=_HTTP2_IDLE)
