"""gproxy.layers.tls.context: what is wrong is told before anything is served, and what both roles have."""

from __future__ import annotations

import pytest

from gproxy.base.errors import ConfigError
from gproxy.layers.tls.layer import TlsServer
from gproxy.schema.tls import SUITES, TlsInbound
from tests.layers.tls.lab import AUTHORITY, GOOD, Both, client, connection_of, server


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"certificate": ("no PEM",), "key": (GOOD.key,)}, "not PEM certificates"),
        ({"certificate": (GOOD.chain,), "key": ("no PEM",)}, "not a PEM private key"),
        ({"certificate": (GOOD.chain,), "key": (AUTHORITY.key,)}, "not that of the certificate"),
        ({"certificate_path": "/nowhere/chain.pem", "key": (GOOD.key,)}, "can't read /nowhere/chain.pem"),
    ],
)
def test_what_cannot_be_served(options, words):
    with pytest.raises(ConfigError, match=words) as caught:
        TlsServer(TlsInbound(enabled=True, **options))
    assert "PRIVATE" not in str(caught.value)


@pytest.mark.parametrize("suite", ["AES_256_GCM_SHA384", "CHACHA20_POLY1305_SHA256"])
def test_a_chosen_suite(suite):
    name = f"TLS_ECDHE_ECDSA_WITH_{suite}"
    with Both(server(cipher_suites=(name,)), client(max_version="1.2")) as both:
        assert connection_of(both.near).get_cipher_name() == SUITES[name]


def test_the_old_versions_are_there_for_who_asks():
    with Both(server(min_version="1.0"), client(min_version="1.0", max_version="1.0")) as both:
        assert connection_of(both.near).get_protocol_version_name() == "TLSv1"


def test_the_cheapest_suite_comes_first():
    with Both(server(), client()) as both:
        assert connection_of(both.near).get_cipher_name() == "TLS_AES_128_GCM_SHA256"
