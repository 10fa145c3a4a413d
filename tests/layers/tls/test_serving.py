"""gproxy.layers.tls.serving: who is shown what, and whose sessions go on."""

from __future__ import annotations

import base64
import os

import pytest
from cryptography.hazmat.primitives.asymmetric import rsa

from gproxy.base.errors import DialError
from gproxy.layers.tls.bindings import is_resumed
from gproxy.layers.tls.context import key_hash
from gproxy.layers.tls.layer import TlsServer
from gproxy.layers.tls.serving import DAY, DAYS
from gproxy.schema.tls import NamedCertificate, TlsInbound
from tests.layers.tls.lab import AUTHORITY, GOOD, NAME, Both, client, connection_of, make, replace, server, shown

pytestmark = pytest.mark.usefixtures("no_leaks")


def several(*entries, first=GOOD, **options):
    """An inbound that shows the first certificate, and these: each with names, or with its own ones."""
    named = [
        NamedCertificate(certificate=(made.chain,), key=(made.key,), server_names=names) for made, names in entries
    ]
    own = {"certificate": (first.chain,), "key": (first.key,)} if first is not None else {}
    return TlsServer(TlsInbound(enabled=True, certificates=tuple(named), **own, **options))


EXACT = make("exact.test", "deep.wild.test", issuer=AUTHORITY)
WILD = make("*.wild.test", issuer=AUTHORITY)
OTHER = make("whatever.test", issuer=AUTHORITY)


@pytest.mark.parametrize("version", ["1.2", "1.3"])
@pytest.mark.parametrize(
    ("host", "made"),
    [
        (NAME, GOOD),
        ("exact.test", EXACT),
        ("EXACT.test", EXACT),
        ("deep.wild.test", EXACT),  # the whole name goes before the wildcard
        ("other.wild.test", WILD),
        ("very.deep.wild.test", GOOD),  # a wildcard is one label
        ("wild.test", GOOD),
        ("named.test", OTHER),
        ("whatever.test", GOOD),  # it is shown for the names that the options say
        ("unknown.test", GOOD),
        ("127.0.0.1", GOOD),  # nobody asks for an address by name
    ],
)
def test_the_name_chooses_the_certificate(host, made, version):
    first = make(NAME, issuer=AUTHORITY)
    tls = several((EXACT, ()), (WILD, ()), (OTHER, ("Named.test",)), first=first)
    assert shown(tls, host, max_version=version) == (first if made is GOOD else made).certificate


def test_without_one_of_its_own_the_first_is_for_all():
    tls = several((EXACT, ()), (WILD, ()), first=None)
    assert shown(tls, "unknown.test") == EXACT.certificate
    assert shown(tls, "a.wild.test") == WILD.certificate


RSA = make(NAME, "*.wild.test", "192.0.2.1", "2001:db8::1", "xn--bcher-kva.test", issuer=AUTHORITY,
           private=rsa.generate_private_key(65537, 2048))  # fmt: skip


@pytest.mark.parametrize(("made", "kind"), [(GOOD, "ECDSA"), (RSA, "RSA")])
def test_two_kinds_of_keys_side_by_side(made, kind):
    tls = several((RSA, ()), (EXACT, ()))
    suite = f"TLS_ECDHE_{kind}_WITH_AES_128_GCM_SHA256"
    for host in (NAME, "unknown.test"):
        assert shown(tls, host, max_version="1.2", cipher_suites=(suite,)) == made.certificate


def test_a_renewed_one_of_several_and_one_of_another_kind(tmp_path, held_clock):
    chain, key = tmp_path / "chain.pem", tmp_path / "key.pem"
    replace(chain, EXACT.chain)
    replace(key, EXACT.key)
    named = NamedCertificate(certificate_path=str(chain), key_path=str(key))
    tls = TlsServer(TlsInbound(enabled=True, certificate=(GOOD.chain,), key=(GOOD.key,), certificates=(named,)))
    assert shown(tls, "exact.test") == EXACT.certificate
    renewed = make("new.test", issuer=AUTHORITY, private=RSA.private)
    replace(chain, renewed.chain)
    replace(key, renewed.key)
    held_clock.advance(2)
    assert shown(tls, "new.test") == renewed.certificate
    assert shown(tls, "exact.test") == GOOD.certificate


def test_a_renewed_one_of_another_kind_replaces_the_old_one(tmp_path, held_clock):
    chain, key = tmp_path / "chain.pem", tmp_path / "key.pem"
    replace(chain, GOOD.chain)
    replace(key, GOOD.key)
    tls = TlsServer(TlsInbound(enabled=True, certificate_path=str(chain), key_path=str(key)))
    assert shown(tls) == GOOD.certificate
    replace(chain, RSA.chain)
    replace(key, RSA.key)
    held_clock.advance(2)
    assert shown(tls) == RSA.certificate


# -- sessions ----------------------------------------------------------------------------------------------------------


def resumes(tls, dialling):
    with Both(tls, dialling) as both:
        both.far.sendall(b"x")
        assert both.near.recv() == b"x"
        both.near.close_write()
        return is_resumed(connection_of(both.near))


@pytest.mark.parametrize("version", ["1.2", "1.3"])
def test_sessions_are_resumed_also_after_a_new_certificate(tmp_path, held_clock, version):
    chain, key = tmp_path / "chain.pem", tmp_path / "key.pem"
    replace(chain, GOOD.chain)
    replace(key, GOOD.key)
    tls = TlsServer(TlsInbound(enabled=True, certificate_path=str(chain), key_path=str(key)))
    dialling = client(max_version=version)
    renewed = make(NAME, issuer=AUTHORITY)
    for turn in range(3):
        assert resumes(tls, dialling) == (turn > 0)
        replace(chain, renewed.chain)
        replace(key, renewed.key)
        held_clock.advance(2)


@pytest.mark.parametrize("version", ["1.2", "1.3"])
def test_sessions_are_resumed_with_any_of_several_certificates(version):
    tls = several((EXACT, ()), (WILD, ()))
    for host in (NAME, "exact.test", "a.wild.test"):
        dialling = client(host, max_version=version)
        assert [resumes(tls, dialling) for _ in range(3)] == [False, True, True]


def test_sessions_are_resumed_in_another_process():
    tls, dialling = server(), client()
    assert not resumes(tls, dialling)
    reader, writer = os.pipe()
    child = os.fork()
    if child == 0:
        os.write(writer, b"resumed" if resumes(tls, dialling) else b"not")
        os._exit(0)
    os.close(writer)
    os.waitpid(child, 0)
    assert os.read(reader, 10) == b"resumed"
    os.close(reader)


@pytest.mark.parametrize("version", ["1.2", "1.3"])
def test_keys_last_a_day(held_clock, version):
    tls, dialling = server(), client(max_version=version)
    held_clock.advance(DAY - 9)
    assert not resumes(tls, dialling)
    held_clock.advance(5)
    assert resumes(tls, dialling)
    held_clock.advance(5)
    assert not resumes(tls, dialling)
    assert resumes(tls, dialling)


def test_days_go_on_after_the_last_one(held_clock):
    tls = server()
    seen = []
    for _ in range(DAYS + 3):
        seen.append(tls._serving.context())
        held_clock.advance(DAY)
    assert len(set(map(id, seen))) == DAYS + 3
    held_clock.advance(1000 * DAY)
    assert shown(tls) == GOOD.certificate


# -- clients -----------------------------------------------------------------------------------------------------------

CLIENT = make("client", issuer=AUTHORITY, client_only=True)
STRANGER = make("stranger", client_only=True)


def pins(*made):
    return tuple(base64.b64encode(key_hash(each.certificate)).decode() for each in made)


def welcome(tls, made=None):
    own = {} if made is None else {"client_certificate": (made.chain,), "client_key": (made.key,)}
    with Both(tls, client(max_version="1.2", **own)) as both:
        return both.error is None


@pytest.mark.parametrize(("mode", "none"), [("no", False), ("require-and-verify", False), ("verify-if-given", True)])
def test_pinned_clients(mode, none):
    tls = server(client_authentication=mode, client_certificate_public_key_sha256=pins(STRANGER))
    assert welcome(tls, STRANGER)
    for made, right in ((CLIENT, False), (None, none)):
        if right:
            assert welcome(tls, made)
        else:
            with pytest.raises(DialError):
                welcome(tls, made)


def test_authorities_alone_ask_for_a_certificate():
    tls = server(client_certificate=(AUTHORITY.chain,))
    assert welcome(tls, CLIENT)
    with pytest.raises(DialError):
        welcome(tls)


def test_only_the_chain_that_was_given_is_shown():
    """Not what OpenSSL would find among the authorities of clients, looking for it in each handshake."""
    tls = server(client_authentication="verify-if-given", client_certificate=(AUTHORITY.chain,))
    with Both(tls, client()) as both:
        chain = connection_of(both.near).get_peer_cert_chain(as_cryptography=True)
        assert chain == [GOOD.certificate]
