"""TLS, by its client's first message (gproxy.wire.clienthello): which site is wanted."""

from __future__ import annotations

from gproxy.base.session import Sniffed
from gproxy.route.sniff.found import domain_in
from gproxy.wire.clienthello import decode_client_hello
from gproxy.wire.cursor import Cursor


def sniff_tls(cursor: Cursor) -> Sniffed:
    """A Decode for a whole ClientHello."""
    return Sniffed("tls", domain_in(decode_client_hello(cursor).server_name))
