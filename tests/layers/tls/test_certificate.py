"""gproxy.layers.tls.certificate: kept as new as its files, and stapled to what its authority says of it."""

from __future__ import annotations

import time

import pytest

from gproxy.base import clock
from gproxy.base.errors import ConfigError
from gproxy.layers.tls.bindings import staple_of
from gproxy.layers.tls.certificate import Certificate
from gproxy.layers.tls.layer import TlsServer
from gproxy.schema.tls import NamedCertificate, TlsInbound
from tests.layers.tls.lab import AUTHORITY, DAY, GOOD, NAME, Both, client, connection_of, make, replace, shown, staple

pytestmark = pytest.mark.usefixtures("no_leaks")


@pytest.fixture
def files(tmp_path):
    chain, key = tmp_path / "chain.pem", tmp_path / "key.pem"
    chain.write_text(GOOD.chain)
    key.write_text(GOOD.key)
    return chain, key


def from_files(files, **options):
    chain, key = files
    return TlsServer(TlsInbound(enabled=True, certificate_path=str(chain), key_path=str(key), **options))


def test_it_is_read_again_when_its_files_change(files, held_clock):
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
        with Both(tls, client(insecure=True)) as both:
            chain = connection_of(both.near).get_peer_cert_chain(as_cryptography=True)
            assert chain == [leaf.certificate, middle.certificate]


def test_what_is_known_of_it():
    made = make("A.test", "*.b.test", "192.0.2.1", issuer=AUTHORITY, ends=9 * DAY)
    options = NamedCertificate(certificate=(made.chain, AUTHORITY.chain), key=(made.key,))
    own = Certificate(options)
    assert own.names == {"a.test", "*.b.test"}
    assert own.kind == "ECPublicKey"
    assert own.ends == AUTHORITY.certificate.not_valid_after_utc
    assert Certificate(options, ["Else.test"]).names == {"else.test"}
    assert not own.staples
    assert own.staple() == b""


def test_a_source_may_have_none_yet():
    class Later:
        number, chain, key = 0, b"", b""

    source = Later()
    certificate = Certificate(NamedCertificate(), (), source)
    assert (certificate.kind, certificate.names, certificate.ends) == ("", frozenset(), None)
    assert not certificate.renewed()
    source.number, source.chain, source.key = 1, GOOD.chain.encode(), GOOD.key.encode()
    assert certificate.renewed()
    assert not certificate.renewed()
    assert certificate.chain == [GOOD.certificate]
    source.number, source.key = 2, AUTHORITY.key.encode()
    assert not certificate.renewed()
    assert certificate.chain == [GOOD.certificate]


def test_what_is_no_certificate():
    with pytest.raises(ConfigError, match="not that of the certificate"):
        Certificate(NamedCertificate(certificate=(GOOD.chain,), key=(AUTHORITY.key,)))


# -- staples -----------------------------------------------------------------------------------------------------------


@pytest.fixture
def days(held_clock):
    """Lets days pass, from now."""
    began = time.time() - held_clock.now()
    clock.wall.hold(lambda: began + held_clock.now())
    return lambda number: held_clock.advance(number * DAY.total_seconds())


def stapled(tls):
    with Both(tls, client(insecure=True)) as both:
        return staple_of(connection_of(both.near))


@pytest.fixture
def stapling(files, tmp_path):
    path = tmp_path / "staple.der"
    path.write_bytes(staple(GOOD))
    replace(files[0], GOOD.chain + AUTHORITY.chain)
    return path, from_files(files, ocsp_staple_path=str(path))


def test_a_good_response_is_stapled_until_it_is_out_of_date(days, stapling, caplog):
    path, tls = stapling
    assert stapled(tls) == path.read_bytes()
    days(1)
    assert stapled(tls) == b""
    assert "staple.der: it is out of date, and is not stapled" in caplog.text
    fresh = staple(GOOD, next_=3 * DAY)
    replace(path, fresh)
    days(0.1)
    assert stapled(tls) == fresh


@pytest.mark.parametrize(
    ("response", "words"),
    [
        (b"", "can't be read"),
        (b"no response", "can't be read"),
        (bytes(70_000), "too long"),
        (staple(make(NAME, issuer=AUTHORITY)), "about another certificate"),
        (staple(GOOD, next_=-DAY / 3), "out of date"),
        (staple(GOOD, signer=make(ca=True, common="authority")), "somebody else"),
    ],
    ids=["empty", "garbage", "long", "foreign", "old", "forged"],
)
def test_what_is_not_stapled(days, files, tmp_path, caplog, response, words):
    path = tmp_path / "staple.der"
    path.write_bytes(response)
    replace(files[0], GOOD.chain + AUTHORITY.chain)
    tls = from_files(files, ocsp_staple_path=str(path))
    assert stapled(tls) == b""
    assert words in caplog.text
    caplog.clear()
    days(0.01)
    assert stapled(tls) == b""
    assert not caplog.text  # it was told


def test_no_response_and_no_issuer(files, tmp_path, held_clock, caplog):
    assert stapled(from_files(files, ocsp_staple_path=str(tmp_path / "none"))) == b""
    assert "No such file" in caplog.text
    path = tmp_path / "staple.der"
    path.write_bytes(staple(GOOD))
    assert stapled(from_files(files, ocsp_staple_path=str(path))) == b""
    assert "the issuer is not in the chain" in caplog.text


def test_a_staple_is_judged_anew_with_a_renewed_certificate(days, files, stapling):
    _path, tls = stapling
    assert stapled(tls)
    renewed = make(NAME, issuer=AUTHORITY)
    replace(files[0], renewed.chain + AUTHORITY.chain)
    replace(files[1], renewed.key)
    days(0.0001)
    assert stapled(tls) == b""
