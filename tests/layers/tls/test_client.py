"""gproxy.layers.tls.client: who the server is, certificates in every state."""

from __future__ import annotations

import base64
from hashlib import sha256

import pytest
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from gproxy.base.errors import ConfigError, DialError
from gproxy.layers.tls.client import TlsClient
from gproxy.schema.tls import TlsOutbound
from tests.layers.tls.lab import AUTHORITY, DAY, GOOD, NAME, Both, client, make, server
from tests.support.pipe import pipe
from tests.support.playbook import new_session

pytestmark = pytest.mark.usefixtures("no_leaks")


# -- who the server is -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("host", [NAME, "SITE.test", "a.wild.test", "192.0.2.1", "2001:db8::1", "bücher.test"])
def test_names_that_are_the_servers(host):
    with Both(server(), client(host)) as both:
        both.near.sendall(b"x")
        assert both.far.recv() == b"x"


@pytest.mark.parametrize(
    "host", ["other.test", "wild.test", "a.b.wild.test", "192.0.2.2", "2001:db8::2", "site.test.x"]
)
def test_names_that_are_not(host):
    with pytest.raises(DialError, match="mismatch") as caught:
        with Both(server(), client(host)):
            pass
    assert caught.value.reason == "tls"
    assert host in str(caught.value)


OTHER_AUTHORITY = make(ca=True, common="another")


@pytest.mark.parametrize(
    ("made", "words"),
    [
        (make(NAME, issuer=AUTHORITY, begins=-3 * DAY, ends=-DAY), "expired"),
        (make(NAME, issuer=AUTHORITY, begins=DAY, ends=2 * DAY), "not yet valid"),
        (make(NAME), "self-signed"),
        (make(NAME, issuer=OTHER_AUTHORITY), "unable to get local issuer"),
        (make(NAME, issuer=AUTHORITY, client_only=True), "unsuitable|purpose"),
    ],
    ids=["expired", "not yet", "self-signed", "unknown authority", "wrong purpose"],
)
def test_certificates_that_are_refused(made, words):
    with pytest.raises(DialError, match=words) as caught:
        with Both(server(made), client()):
            pass
    assert caught.value.reason == "tls"
    with Both(server(made), client("any.test", insecure=True)) as both:
        both.near.sendall(b"x")
        assert both.far.recv() == b"x"


def pin(made):
    key = made.certificate.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    return base64.b64encode(sha256(key).digest()).decode()


def test_a_pinned_key_needs_nothing_else():
    made = make("whatever.test")
    with Both(server(made), client(certificate_public_key_sha256=(pin(GOOD), pin(made)))) as both:
        both.near.sendall(b"x")
        assert both.far.recv() == b"x"
    with pytest.raises(DialError, match="pinned"):
        with Both(server(made), client(certificate_public_key_sha256=(pin(GOOD),))):
            pass


def test_a_server_that_says_nothing_and_one_that_speaks_something_else():
    near, far = pipe()
    with pytest.raises(DialError) as caught:
        client(handshake_timeout=0.1).connecting(lambda session: near)(new_session())
    assert caught.value.reason == "timeout"
    near, far = pipe()
    far.sendall(b"220 mail.test ESMTP\r\n")
    with pytest.raises(DialError, match="not TLS") as caught:
        client().connecting(lambda session: near)(new_session())
    assert caught.value.reason == "tls"


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"certificate": ("no PEM",)}, "not PEM certificates"),
        ({"certificate_path": "/nowhere/ca.pem"}, "can't read /nowhere/ca.pem"),
        ({"client_certificate": (GOOD.chain,), "client_key": (AUTHORITY.key,)}, "not that of client_certificate"),
    ],
)
def test_what_cannot_be_dialled_with(options, words):
    with pytest.raises(ConfigError, match=words):
        TlsClient(TlsOutbound(enabled=True, **options), NAME)
