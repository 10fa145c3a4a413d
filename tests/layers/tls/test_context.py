"""gproxy.layers.tls.context: what is wrong is told before anything is served, and certificates are kept new."""

from __future__ import annotations

import pytest
from OpenSSL._util import lib

from gproxy.base.errors import ConfigError
from gproxy.layers.tls.layer import TlsServer
from gproxy.schema.tls import SUITES, TlsInbound
from tests.layers.tls.lab import AUTHORITY, GOOD, NAME, Both, client, make, server


@pytest.fixture
def files(tmp_path):
    chain, key = tmp_path / "chain.pem", tmp_path / "key.pem"
    chain.write_text(GOOD.chain)
    key.write_text(GOOD.key)
    return chain, key


def from_files(files):
    chain, key = files
    return TlsServer(TlsInbound(enabled=True, certificate_path=str(chain), key_path=str(key)))


def shown(tls):
    with Both(tls, client()) as both:
        return both.near._opener._pipes.connection.get_peer_certificate(as_cryptography=True)


def replace(path, text):
    fresh = path.with_suffix(".new")
    fresh.write_text(text)
    fresh.replace(path)


def test_a_certificate_is_read_again_when_its_files_change(files, held_clock):
    tls = from_files(files)
    assert shown(tls) == GOOD.certificate
    renewed = make(NAME, issuer=AUTHORITY)
    replace(files[0], renewed.chain)
    replace(files[1], renewed.key)
    held_clock.advance(2)
    assert shown(tls) == renewed.certificate


def test_one_that_cannot_be_used_is_told_and_the_old_one_goes_on(files, held_clock, caplog):
    tls = from_files(files)
    assert shown(tls) == GOOD.certificate
    held_clock.advance(2)
    replace(files[0], make(NAME, issuer=AUTHORITY).chain)  # its key has not come yet
    assert shown(tls) == GOOD.certificate
    assert "the old one goes on" in caplog.text
    held_clock.advance(2)
    files[0].unlink()
    assert shown(tls) == GOOD.certificate


def test_a_chain_is_shown_whole_and_only_once_after_it_was_read_again(files, held_clock):
    middle = make(issuer=AUTHORITY, ca=True, common="middle")
    for name in ("one.test", "two.test", "three.test"):
        leaf = make(name, NAME, issuer=middle)
        replace(files[0], leaf.chain + middle.chain)
        replace(files[1], leaf.key)
        tls = from_files(files) if name == "one.test" else tls  # noqa: F821 - the first turn makes it
        held_clock.advance(2)
        with Both(tls, client()) as both:
            chain = both.near._opener._pipes.connection.get_peer_cert_chain(as_cryptography=True)
            assert chain == [leaf.certificate, middle.certificate]


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
        assert both.near._opener._pipes.connection.get_cipher_name() == SUITES[name]


def test_the_old_versions_are_there_for_who_asks():
    with Both(server(min_version="1.0"), client(min_version="1.0", max_version="1.0")) as both:
        assert both.near._opener._pipes.connection.get_protocol_version_name() == "TLSv1"


def reused(both):
    return bool(lib.SSL_session_reused(both.near._opener._pipes.connection._ssl))


@pytest.mark.parametrize("version", ["1.2", "1.3"])
def test_sessions_are_resumed_also_after_a_new_certificate(files, held_clock, version):
    tls, dialling = from_files(files), client(max_version=version)
    renewed = make(NAME, issuer=AUTHORITY)
    for turn in range(3):
        with Both(tls, dialling) as both:
            both.far.sendall(b"x")
            assert both.near.recv() == b"x"
            assert reused(both) == (turn > 0)
            both.near.close_write()
        replace(files[0], renewed.chain)
        replace(files[1], renewed.key)
        held_clock.advance(2)


def test_a_session_that_was_cut_off_is_not_gone_on_with(files):
    tls, dialling = from_files(files), client()
    for _ in range(2):
        with Both(tls, dialling) as both:
            both.far.sendall(b"x")
            assert both.near.recv() == b"x"
            assert not reused(both)
