from __future__ import annotations

import logging

import pytest
from cryptography import x509
from OpenSSL import SSL

from gproxy.base.errors import ConfigError, GproxyError, ProtocolError
from gproxy.layers.tls.layer import TlsServer
from gproxy.layers.tls.supply import NoCertificate, Supply
from gproxy.rt.group import Group
from gproxy.schema.tls import NamedCertificate, TlsInbound
from tests.layers.tls.lab import AUTHORITY, GOOD, NAME, Both, Made, client, make
from tests.support.pipe import PipeEnd, pipe
from tests.support.playbook import new_session

pytestmark = pytest.mark.usefixtures("no_leaks")

OTHER = make(NAME, issuer=AUTHORITY)
PROOF = make("asked.test")


def pem(made: Made) -> str:
    return made.key + made.chain


def serving(supply: Supply, **options) -> TlsServer:
    options = {"certificate_provider": "c"} | options
    return TlsServer(TlsInbound(enabled=True, **options), supply)


def hello(name: str, alpn: bytes = b"") -> tuple[SSL.Connection, bytes]:
    """An OpenSSL client that wants this, and its first words."""
    context = SSL.Context(SSL.TLS_CLIENT_METHOD)
    connection = SSL.Connection(context, None)
    if name:
        connection.set_tlsext_host_name(name.encode())
    if alpn:
        connection.set_alpn_protos([alpn])
    connection.set_connect_state()
    with pytest.raises(SSL.WantReadError):
        connection.do_handshake()
    return connection, connection.bio_read(65536)


class Met:
    """A server that has a client over a pipe. `chunk`: it hears so many bytes at a time."""

    def __init__(self, layer: TlsServer, chunk: int = 0) -> None:
        self.near, far = pipe(chunk=chunk)
        self.error: GproxyError | None = None
        self.served = False
        self.over = False
        self.group = Group("met")
        self.group.spawn(self._serve, layer, far)

    def _serve(self, layer: TlsServer, far: PipeEnd) -> None:
        try:
            layer.accepting(lambda stream, session: setattr(self, "served", True))(far, new_session())
        except GproxyError as error:
            self.error = error
        far.close()
        self.over = True

    def shake(self, connection: SSL.Connection, first: bytes) -> None:
        self.near.sendall(first)
        while True:
            data = self.near.recv()
            if not data:
                return
            connection.bio_write(data)
            try:
                connection.do_handshake()
            except SSL.WantReadError:
                continue
            finally:
                try:
                    self.near.sendall(connection.bio_read(65536))
                except SSL.WantReadError:
                    pass
            return

    def end(self) -> None:
        assert self.group.join(30)


def shown(connection: SSL.Connection) -> x509.Certificate | None:
    return connection.get_peer_certificate(as_cryptography=True)


def test_a_certificate_from_the_beginning() -> None:
    with Both(serving(Supply(pem(GOOD))), client()) as both:
        both.near.sendall(b"x")
        assert both.far.recv() == b"x"


def test_another_one_comes_and_sessions_go_on() -> None:
    supply = Supply(pem(GOOD))
    layer = serving(supply)
    with Both(layer, client()) as both:
        supply.take(pem(OTHER), {})
        supply.take(pem(OTHER), {})
        assert supply.number == 2, "the same again is nothing new"
        met = Met(layer)
        connection, first = hello(NAME)
        met.shake(connection, first)
        assert shown(connection) == OTHER.certificate
        both.near.sendall(b"x")
        assert both.far.recv() == b"x"
        met.near.close()
        met.end()


def test_without_a_certificate_nobody_is_served(caplog: pytest.LogCaptureFixture) -> None:
    supply = Supply()
    layer = serving(supply)
    met = Met(layer)
    met.near.sendall(hello(NAME)[1])
    assert met.near.recv() == b"\x15\x03\x03\x00\x02\x02\x50"
    met.end()
    assert isinstance(met.error, NoCertificate)
    assert met.error.word == "no-certificate"
    supply.take(pem(GOOD), {})
    with Both(layer, client()):
        pass


def test_nothing_is_known_of_an_empty_one() -> None:
    supply = Supply(pem(GOOD))
    supply.take("", {})
    assert (supply.number, supply.busy) == (1, False)
    supply.take("nonsense", {})
    assert supply.number == 1


@pytest.mark.parametrize("chunk", [0, 1])
@pytest.mark.parametrize("certificate", ["", pem(GOOD)], ids=["none", "one"])
def test_an_authority_gets_its_proof(certificate: str, chunk: int, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    supply = Supply(certificate)
    supply.take("", {"asked.test": pem(PROOF)})
    met = Met(serving(supply, alpn=("h2",)), chunk)
    connection, first = hello("asked.test", b"acme-tls/1")
    met.shake(connection, first)
    met.end()
    assert shown(connection) == PROOF.certificate
    assert connection.get_alpn_proto_negotiated() == b"acme-tls/1"
    assert (met.error, met.served) == (None, False), "it is no session"
    assert "an authority has looked at the proof for asked.test" in caplog.messages


def test_clients_are_served_beside_it() -> None:
    supply = Supply(pem(GOOD))
    supply.take("", {NAME: pem(PROOF)})
    with Both(serving(supply), client()) as both:
        both.near.sendall(b"x")
        assert both.far.recv() == b"x"
    supply.take("", {})
    assert not supply.busy


def test_of_other_names_nothing_is_proved() -> None:
    supply = Supply(pem(GOOD))
    supply.take("", {"asked.test": pem(PROOF)})
    met = Met(serving(supply))
    met.near.sendall(hello("other.test", b"acme-tls/1")[1])
    assert met.near.recv()[:1] == b"\x15"
    met.end()
    assert isinstance(met.error, ProtocolError)
    assert met.error.word == "protocol-acme"


def test_without_a_proof_it_is_a_client_like_others() -> None:
    met = Met(serving(Supply(pem(GOOD)), alpn=("h2",)))
    connection, first = hello(NAME, b"acme-tls/1")
    met.shake(connection, first)
    met.end()
    assert shown(connection) == GOOD.certificate
    assert connection.get_alpn_proto_negotiated() == b""


def test_an_authority_that_breaks_off() -> None:
    supply = Supply()
    supply.take("", {"asked.test": pem(PROOF)})
    met = Met(serving(supply))
    met.near.sendall(hello("asked.test", b"acme-tls/1")[1])
    met.near.recv()
    met.near.sendall(b"\x15\x03\x03\x00\x02\x02\x28")
    met.end()
    assert isinstance(met.error, ProtocolError)
    assert met.error.word == "protocol-acme"


def test_a_hello_cut_anywhere() -> None:
    layer, first = serving(Supply()), hello(NAME)[1]
    for size in [*range(12), len(first) // 2, len(first) - 1]:
        met = Met(layer)
        met.near.sendall(first[:size])
        met.near.close_write()
        met.end()
        assert isinstance(met.error, ProtocolError)
        assert met.error.reason == ("truncated" if size else "empty"), size
        met.near.close()


@pytest.mark.parametrize("words", [b"GET / HTTP/1.1\r\n\r\n", b"\x16\x03\x01\x00\x00" * 9, b"\0" * 50_000])
def test_what_is_no_hello(words: bytes) -> None:
    met = Met(serving(Supply()))
    met.near.sendall(words)
    met.end()
    assert isinstance(met.error, ProtocolError)


def test_a_pair_that_does_not_fit() -> None:
    supply = Supply(pem(GOOD))
    supply.take("", {"asked.test": OTHER.key + PROOF.chain})
    met = Met(serving(supply))
    met.near.sendall(hello("asked.test", b"acme-tls/1")[1])
    met.end()
    assert isinstance(met.error, ConfigError)
    with pytest.raises(ConfigError):
        serving(Supply(OTHER.key + GOOD.chain))


def test_what_a_worker_can_t_use_changes_nothing(caplog: pytest.LogCaptureFixture) -> None:
    supply = Supply(pem(GOOD))
    layer = serving(supply)
    supply.take(OTHER.key + GOOD.chain, {})
    with Both(layer, client()):
        pass
    assert any("the old one goes on" in each for each in caplog.messages)


def test_beside_certificates_of_others() -> None:
    """Those who ask for a name that somebody has a certificate for are served before ours comes."""
    named = NamedCertificate(certificate=(GOOD.chain,), key=(GOOD.key,))
    with Both(serving(Supply(), certificates=(named,)), client()):
        pass
