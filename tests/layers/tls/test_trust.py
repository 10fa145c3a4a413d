"""gproxy.layers.tls.trust: whom outbounds believe, and that they hear of changes."""

from __future__ import annotations

import pytest

from gproxy.base.errors import ConfigError, DialError
from gproxy.layers.tls.client import TlsClient
from gproxy.layers.tls.trust import Trust
from gproxy.schema.tls import Authorities, TlsOutbound
from tests.layers.tls.lab import AUTHORITY, GOOD, NAME, Both, make, server

pytestmark = pytest.mark.usefixtures("no_leaks")

STRANGER = make(ca=True, common="another")


def believes(trust):
    """Whether a client with this trust, and none of its own, believes AUTHORITY."""
    return welcomes(TlsClient(TlsOutbound(enabled=True), NAME, trust))


def welcomes(dialling):
    try:
        with Both(server(GOOD), dialling):
            return True
    except DialError as error:
        if error.word != "dial-tls-untrusted":
            raise
        return False


def test_whom_the_table_names(tmp_path):
    path = tmp_path / "ca.pem"
    path.write_text(STRANGER.chain + AUTHORITY.chain)
    assert not believes(Trust.of(Authorities()))
    assert believes(Trust.of(Authorities(certificate=(AUTHORITY.chain,))))
    assert believes(Trust.of(Authorities(store="none", certificate=tuple(AUTHORITY.chain.splitlines()))))
    assert believes(Trust.of(Authorities(certificate_path=(str(path),))))
    assert believes(Trust.of(Authorities(store="none", certificate_directory_path=(str(tmp_path),))))
    assert not believes(Trust.of(Authorities(store="none", certificate=(STRANGER.chain,))))


def test_the_systems_store(tmp_path, monkeypatch):
    path = tmp_path / "ca.pem"
    path.write_text(AUTHORITY.chain)
    monkeypatch.setenv("SSL_CERT_FILE", str(path))
    assert believes(Trust.of(Authorities()))
    assert believes(Trust.of(Authorities(certificate=(STRANGER.chain,)))), "they are added to it"
    assert not believes(Trust.of(Authorities(store="none", certificate=(STRANGER.chain,))))
    assert believes(None), "it is what a client believes by itself"


def test_an_outbounds_own_authorities_stand_alone():
    shared = Trust.of(Authorities(store="none", certificate=(AUTHORITY.chain,)))
    assert not welcomes(TlsClient(TlsOutbound(enabled=True, certificate=(STRANGER.chain,)), NAME, shared))


def test_a_directory_is_watched(tmp_path, held_clock, caplog):
    trust = Trust.of(Authorities(store="none", certificate_directory_path=(str(tmp_path),)))
    dialling = TlsClient(TlsOutbound(enabled=True), NAME, trust)
    other = TlsClient(TlsOutbound(enabled=True), NAME, trust)
    (tmp_path / "README").write_text("not a certificate")
    assert not welcomes(dialling)
    (tmp_path / "ca.pem").write_text(AUTHORITY.chain)
    (tmp_path / "hash.0").symlink_to("ca.pem")
    held_clock.advance(2)
    assert welcomes(dialling)
    assert welcomes(other), "who asks second hears of it, too"
    (tmp_path / "ca.pem").write_text(STRANGER.chain)
    held_clock.advance(2)
    assert not welcomes(other)
    assert not welcomes(dialling)


def test_a_file_that_gets_worse(tmp_path, held_clock, caplog):
    path = tmp_path / "ca.pem"
    path.write_text(AUTHORITY.chain)
    trust = Trust.of(Authorities(store="none", certificate_path=(str(path),)))
    path.write_text("half of it")
    held_clock.advance(2)
    assert believes(trust)
    trust.look()
    assert "the old ones go on" in caplog.text
    assert believes(trust)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"certificate": ("no PEM",)}, "not PEM certificates"),
        ({"certificate_path": ("/nowhere/ca.pem",)}, "can't read /nowhere/ca.pem"),
    ],
)
def test_what_cannot_be_believed(options, words):
    with pytest.raises(ConfigError, match=words):
        Trust.of(Authorities(**options))


def test_a_directory_that_is_not_there_yet(tmp_path, held_clock, caplog):
    path = tmp_path / "later"
    trust = Trust.of(Authorities(store="none", certificate_directory_path=(str(path),)))
    assert "no authorities come from" in caplog.text
    path.mkdir()
    (path / "ca.pem").write_text(AUTHORITY.chain)
    held_clock.advance(2)
    assert believes(trust) or welcomes(TlsClient(TlsOutbound(enabled=True), NAME, trust))
