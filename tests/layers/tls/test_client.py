"""gproxy.layers.tls.client: who the server is, certificates in every state."""

from __future__ import annotations

import base64
from hashlib import sha256

import pytest
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from cryptography.x509 import ocsp
from OpenSSL import SSL

from gproxy.base.errors import ConfigError, DialError, StreamClosed
from gproxy.layers.tls.bindings import is_resumed
from gproxy.layers.tls.client import TlsClient
from gproxy.layers.tls.layer import TlsServer
from gproxy.schema.tls import TlsInbound, TlsOutbound
from tests.layers.tls.lab import AUTHORITY, DAY, GOOD, NAME, Both, Stapling, client, make, server, staple
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
    with pytest.raises(DialError) as caught:
        with Both(server(), client(host)):
            pass
    assert caught.value.word == "dial-tls-name"
    assert str(caught.value) == f"the certificate of {host} is for another name"


def test_an_internationalised_name_is_told_as_it_is_written_in_certificates():
    told = []
    layer = server()
    layer._serving.context().set_tlsext_servername_callback(lambda connection: told.append(connection.get_servername()))
    with Both(layer, client("192.0.2.1", server_name="BÜCHER.test")):
        assert told == [b"xn--bcher-kva.test"]


def test_a_certificate_with_a_common_name_alone_has_no_name():
    nameless = make(issuer=AUTHORITY, common=NAME)
    with pytest.raises(DialError) as caught:
        with Both(server(nameless), client()):
            pass
    assert caught.value.word == "dial-tls-name"


STRANGER = make(ca=True, common="another")
LEAF_AS_AUTHORITY = make("middle.test", issuer=AUTHORITY)
OLD_AUTHORITY = make(ca=True, common="old", begins=-3 * DAY, ends=-DAY)


@pytest.mark.parametrize(
    ("made", "word", "words"),
    [
        (make(NAME, issuer=AUTHORITY, begins=-3 * DAY, ends=-DAY), "expired", "has expired"),
        (make(NAME, issuer=AUTHORITY, begins=DAY, ends=2 * DAY), "not-yet", "is not valid yet"),
        (make(NAME), "self-signed", "is signed by itself"),
        (make(NAME, issuer=STRANGER), "untrusted", "comes from an unknown authority"),
        (make(NAME, issuer=AUTHORITY, client_only=True), "purpose", "is not for a server"),
        (make(NAME, issuer=LEAF_AS_AUTHORITY), "untrusted", "comes from an unknown authority"),
    ],
    ids=["expired", "not yet", "self-signed", "unknown authority", "wrong purpose", "by no authority"],
)
@pytest.mark.parametrize("version", ["1.2", "1.3"])
def test_certificates_that_are_refused(made, word, words, version):
    with pytest.raises(DialError, match=f"the certificate of {NAME} {words}") as caught:
        with Both(server(made), client(max_version=version)):
            pass
    assert caught.value.word == f"dial-tls-{word}"
    with Both(server(made), client("any.test", insecure=True)) as both:
        both.near.sendall(b"x")
        assert both.far.recv() == b"x"


def test_a_chain_whose_authority_is_no_authority():
    shown = make(NAME, issuer=LEAF_AS_AUTHORITY)
    with pytest.raises(DialError) as caught:
        with Both(_chained(shown, LEAF_AS_AUTHORITY), client()):
            pass
    assert caught.value.word in ("dial-tls-purpose", "dial-tls-untrusted")


def test_an_authority_that_is_not_trusted_although_it_is_shown():
    shown = make(NAME, issuer=STRANGER)
    with pytest.raises(DialError) as caught:
        with Both(_chained(shown, STRANGER), client()):
            pass
    assert caught.value.word == "dial-tls-untrusted"


def test_an_authority_that_has_expired():
    with pytest.raises(DialError) as caught:
        with Both(server(make(NAME, issuer=OLD_AUTHORITY)), client(certificate=(OLD_AUTHORITY.chain,))):
            pass
    assert caught.value.word == "dial-tls-expired"


def _chained(made, *others):
    lines = "".join(each.chain for each in (made, *others))
    return TlsServer(TlsInbound(enabled=True, certificate=(lines,), key=(made.key,)))


def test_a_certificate_that_is_its_own_authority():
    alone = make(NAME)
    with Both(server(alone), client(certificate=(alone.chain,))) as both:
        both.near.sendall(b"x")
        assert both.far.recv() == b"x"


# -- revocation --------------------------------------------------------------------------------------------------------

MUST = make(NAME, issuer=AUTHORITY, must_staple=True)
REVOKED = ocsp.OCSPCertStatus.REVOKED


@pytest.mark.parametrize("version", [SSL.TLS1_2_VERSION, SSL.TLS1_3_VERSION])
@pytest.mark.parametrize(
    ("made", "response", "word"),
    [
        (GOOD, staple(GOOD), ""),
        (GOOD, staple(GOOD, status=REVOKED), "revoked"),
        (GOOD, b"no response", ""),
        (GOOD, b"", ""),
        (MUST, staple(MUST), ""),
        (MUST, staple(MUST, status=REVOKED), "revoked"),
        (MUST, b"no response", "staple"),
        (MUST, b"", "staple"),
        (MUST, staple(MUST, this=-2 * DAY, next_=-DAY), "staple"),
        (MUST, staple(GOOD), "staple"),
    ],
)
def test_what_the_authority_says_by_the_server(made, response, word, version):
    stapling = Stapling(made, response, version)
    if not word:
        with Both(stapling, client()) as both:
            both.near.sendall(b"x")
            assert both.far.recv() == b"x"
        return
    with pytest.raises(DialError) as caught:
        with Both(stapling, client()):
            pass
    assert caught.value.word == f"dial-tls-{word}"
    with Both(stapling, client(insecure=True)):
        pass


def test_a_revocation_and_a_lack_are_told():
    with pytest.raises(DialError, match=f"the certificate of {NAME} was revoked"):
        with Both(Stapling(GOOD, staple(GOOD, status=REVOKED)), client()):
            pass
    with pytest.raises(DialError, match="must come with an OCSP response, and none came"):
        with Both(Stapling(MUST, b""), client()):
            pass
    with pytest.raises(DialError, match="none that counts: it is out of date"):
        with Both(Stapling(MUST, staple(MUST, this=-2 * DAY, next_=-DAY)), client()):
            pass


@pytest.mark.parametrize("version", [SSL.TLS1_2_VERSION, SSL.TLS1_3_VERSION])
def test_a_session_that_goes_on_needs_no_second_response(version):
    stapling, dialling = Stapling(MUST, staple(MUST), version), client()
    for turn in range(2):
        with Both(stapling, dialling) as both:
            both.far.sendall(b"x")
            assert both.near.recv() == b"x"
            assert is_resumed(connection_of(both.near)) == bool(turn)
            both.near.close_write()


def pin(made):
    key = made.certificate.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    return base64.b64encode(sha256(key).digest()).decode()


def test_a_pinned_key_needs_nothing_else():
    made = make("whatever.test")
    with Both(server(made), client(certificate_public_key_sha256=(pin(GOOD), pin(made)))) as both:
        both.near.sendall(b"x")
        assert both.far.recv() == b"x"
    with pytest.raises(DialError, match="pinned") as caught:
        with Both(server(made), client(certificate_public_key_sha256=(pin(GOOD),))):
            pass
    assert caught.value.word == "dial-tls-pin"


# -- sessions that go on -----------------------------------------------------------------------------------------------


def connection_of(stream):
    return stream._opener._pipes.connection


def talk(layer, dialling):
    """One connection that ends in order; whether it went on with an earlier session."""
    with Both(layer, dialling) as both:
        both.far.sendall(b"x")
        assert both.near.recv() == b"x"
        both.near.close_write()
        return is_resumed(connection_of(both.near))


@pytest.mark.parametrize("version", ["1.2", "1.3"])
def test_a_session_is_gone_on_with_once_and_by_its_own_outbound_only(version):
    layer, dialling = server(), client(max_version=version)
    assert not talk(layer, dialling)
    assert not talk(layer, client(max_version=version))
    with Both(layer, dialling) as one, Both(layer, dialling) as two:
        assert is_resumed(connection_of(one.near))
        assert not is_resumed(connection_of(two.near))
    assert talk(layer, dialling)


@pytest.mark.parametrize("version", ["1.2", "1.3"])
def test_a_session_whose_end_nobody_has_said_is_gone_on_with_too(version):
    layer, dialling = server(), client(max_version=version)
    for turn in range(3):
        with Both(layer, dialling) as both:
            both.far.sendall(b"x")
            assert both.near.recv() == b"x"
            assert is_resumed(connection_of(both.near)) == bool(turn)


def test_a_session_that_was_broken_is_not_gone_on_with():
    layer, dialling = server(), client()
    with Both(layer, dialling) as both:
        both.far.sendall(b"x")
        assert both.near.recv() == b"x"
        both.far._inner.sendall(b"\x17\x03\x03\0\x14" + bytes(20))
        with pytest.raises(StreamClosed):
            both.near.recv()
    assert not talk(layer, dialling)


def test_sessions_are_few_and_not_old(held_clock):
    layer, dialling = server(), client()
    pairs = [Both(layer, dialling) for _ in range(20)]
    for both in pairs:
        both.__enter__()
        both.far.sendall(b"x")
        assert both.near.recv() == b"x"
    for both in pairs:
        both.near.close_write()
        both.__exit__(None, None, None)
    assert len(dialling._sessions) == 16
    assert talk(layer, dialling)
    held_clock.advance(3601)
    assert not talk(layer, dialling)
    assert len(dialling._sessions) == 1


def test_new_authorities_end_what_was_begun_under_others(tmp_path, held_clock):
    path = tmp_path / "ca.pem"
    path.write_text(AUTHORITY.chain)
    layer, dialling = server(), client(certificate=(), certificate_path=str(path))
    assert [talk(layer, dialling) for _ in range(2)] == [False, True]
    path.write_text(STRANGER.chain * 2)
    held_clock.advance(2)
    with pytest.raises(DialError) as caught:
        talk(layer, dialling)
    assert caught.value.word == "dial-tls-untrusted"
    path.write_text(STRANGER.chain + AUTHORITY.chain)
    held_clock.advance(2)
    assert [talk(layer, dialling) for _ in range(2)] == [False, True]


# -- a hello in pieces -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "options", [{"fragment": True, "fragment_fallback_delay": 0.001}, {"record_fragment": True}], ids=str
)
@pytest.mark.parametrize("groups", [(), ("P256",)], ids=["one hello", "two hellos"])
def test_a_hello_in_pieces_is_understood(options, groups):
    with Both(server(curve_preferences=groups), client(**options)) as both:
        both.near.sendall(b"x")
        assert both.far.recv() == b"x"
        assert both.near.record() is not None


def test_there_must_be_a_name_to_cut():
    with pytest.raises(ConfigError, match="no name to be cut"):
        client("192.0.2.1", fragment=True)
    client("192.0.2.1", fragment=True, server_name="a.test")


# -- servers that are none ---------------------------------------------------------------------------------------------


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
