"""gproxy.route.sniff.tls on a real client's hello; its laws are in laws_sniff.py."""

from __future__ import annotations

from gproxy.base.session import Sniffed
from gproxy.route.sniff.tls import sniff_tls
from gproxy.wire.cursor import Cursor
from tests.wire.test_clienthello import openssl


def test_openssls_own() -> None:
    assert sniff_tls(Cursor(openssl(b"WWW.Site.test", b"h2"))) == Sniffed("tls", "www.site.test")
    assert sniff_tls(Cursor(openssl())) == Sniffed("tls")
