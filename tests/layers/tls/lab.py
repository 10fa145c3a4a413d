"""Certificates in every state, and both ends of TLS over a pair of sockets."""

from __future__ import annotations

import datetime
import ipaddress
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.x509 import ocsp
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID
from OpenSSL import SSL

from gproxy.base.address import Address, parse_host
from gproxy.base.iface import Accept, ServerLayer, Stream
from gproxy.base.session import Session
from gproxy.layers.tls.client import TlsClient
from gproxy.layers.tls.handshake import Handshake
from gproxy.layers.tls.layer import TlsServer
from gproxy.rt.group import Group
from gproxy.rt.sync import Event
from gproxy.schema.tls import TlsInbound, TlsOutbound
from tests.conformance.streams import tcp_pair
from tests.support.playbook import new_session

NAME = "site.test"
_NOW = datetime.datetime.now(datetime.UTC)
DAY = datetime.timedelta(days=1)


@dataclass
class Made:
    """A certificate with its key, in objects and in PEM."""

    certificate: x509.Certificate
    private: ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey
    issuer: Made | None = None

    @property
    def chain(self) -> str:
        return self.certificate.public_bytes(serialization.Encoding.PEM).decode()

    @property
    def key(self) -> str:
        form = serialization.PrivateFormat.PKCS8
        return self.private.private_bytes(serialization.Encoding.PEM, form, serialization.NoEncryption()).decode()


def make(
    *names,
    issuer=None,
    ca=False,
    begins=-DAY,
    ends=DAY,
    client_only=False,
    common="authority",
    usage=None,
    must_staple=False,
    private=None,
) -> Made:
    """A certificate for these names, signed by the issuer, or by itself, of a P-256 key unless one is given."""
    private = private or ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, names[0] if names else common)])
    builder = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer.certificate.subject if issuer else subject)
        .public_key(private.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(_NOW + begins)
        .not_valid_after(_NOW + ends)
        .add_extension(x509.BasicConstraints(ca=ca, path_length=None), critical=True)
    )
    if names:
        general = [_general(name) for name in names]
        builder = builder.add_extension(x509.SubjectAlternativeName(general), critical=False)
    if not ca:
        usage = usage or (ExtendedKeyUsageOID.CLIENT_AUTH if client_only else ExtendedKeyUsageOID.SERVER_AUTH)
        builder = builder.add_extension(x509.ExtendedKeyUsage([usage]), critical=False)
    if must_staple:
        builder = builder.add_extension(x509.TLSFeature([x509.TLSFeatureType.status_request]), critical=False)
    return Made(builder.sign(issuer.private if issuer else private, hashes.SHA256()), private, issuer)


def _general(name: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ipaddress.ip_address(name))
    except ValueError:
        return x509.DNSName(name)


def staple(
    made: Made,
    *,
    status=ocsp.OCSPCertStatus.GOOD,
    signer: Made | None = None,
    brings: tuple[Made, ...] = (),
    this=-DAY / 2,
    next_=DAY / 2,
    about: Made | None = None,
    by_name=False,
    hashed=hashes.SHA1,
) -> bytes:
    """What its authority says of a certificate."""
    revoked = status is ocsp.OCSPCertStatus.REVOKED
    signer = signer or made.issuer
    encoding = ocsp.OCSPResponderEncoding.NAME if by_name else ocsp.OCSPResponderEncoding.HASH
    builder = (
        ocsp.OCSPResponseBuilder()
        .add_response(
            (about or made).certificate,
            made.issuer.certificate,
            hashed(),
            status,
            _NOW + this,
            None if next_ is None else _NOW + next_,
            _NOW + this if revoked else None,
            None,
        )
        .responder_id(encoding, signer.certificate)
    )
    if brings:
        builder = builder.certificates([each.certificate for each in brings])
    response = builder.sign(signer.private, hashes.SHA256())
    return response.public_bytes(serialization.Encoding.DER)


AUTHORITY = make(ca=True)
GOOD = make(NAME, "*.wild.test", "192.0.2.1", "2001:db8::1", "xn--bcher-kva.test", issuer=AUTHORITY)


def server(made: Made = GOOD, **options) -> TlsServer:
    """The layer of an inbound with this certificate."""
    return TlsServer(TlsInbound(enabled=True, certificate=(made.chain,), key=(made.key,), **options))


class Stapling:
    """A server that brings an OCSP response along: OpenSSL's own way of it."""

    def __init__(self, made: Made, response: bytes, version: int = 0) -> None:
        self._context = SSL.Context(SSL.TLS_SERVER_METHOD)
        self._context.use_certificate(made.certificate)
        self._context.use_privatekey(made.private)
        self._context.set_max_proto_version(version)
        self._context.set_session_id(b"lab")
        self._context.set_ocsp_server_callback(lambda connection, data: response)

    def accepting(self, then: Accept) -> Accept:
        """See ServerLayer."""

        def accept(stream: Stream, session: Session) -> None:
            connection = SSL.Connection(self._context, None)
            connection.set_accept_state()
            then(Handshake(connection, stream, serves=True).run(), session)

        return accept


def shown(tls: TlsServer, host: str = NAME, **options) -> x509.Certificate:
    """The certificate that a client gets which asks for this host."""
    with Both(tls, client(host, insecure=True, **options)) as both:
        return connection_of(both.near).get_peer_certificate(as_cryptography=True)


def connection_of(stream: Stream) -> SSL.Connection:
    """OpenSSL's side of a stream that came out of a handshake."""
    return stream._opener._pipes.connection


def replace(path: Path, text: str | bytes) -> None:
    """Write a file anew, as renewals do: nobody sees a half of it."""
    fresh = path.with_suffix(".new")
    fresh.write_bytes(text.encode() if isinstance(text, str) else text)
    fresh.replace(path)


def client(host: str = NAME, **options) -> TlsClient:
    """The layer of an outbound to this host, which trusts the authority."""
    options = {"certificate": (AUTHORITY.chain,)} | options
    return TlsClient(TlsOutbound(enabled=True, **options), parse_host(host))


class Both:
    """Both ends after the handshake: `near` is the client's. The server's side is over when the scope ends."""

    def __init__(self, server: ServerLayer, client: TlsClient, pair: Callable[[], tuple[Stream, Stream]] = tcp_pair):
        self._server = server
        self._client = client
        self._near, self._far = pair()
        self._group = Group("tls")
        self._served = Event()
        self._over = Event()
        self.session: Session = new_session(Address(ipaddress.IPv4Address("192.0.2.7"), 1))
        self.error: BaseException | None = None

    def __enter__(self) -> Both:
        self._group.__enter__()
        self._group.spawn(self._serve)
        try:
            self.near = self._client.connecting(lambda session: self._near)(new_session())
        except BaseException:
            self._served.wait()
            self._over.set()
            self._group.__exit__(None, None, None)
            self._far.close()
            raise
        self._served.wait()
        return self

    def _serve(self) -> None:
        def then(stream: Stream, session: Session) -> None:
            self.far = stream
            self._served.set()
            self._over.wait()

        try:
            self._server.accepting(then)(self._far, self.session)
        except Exception as error:
            self.error = error
            self._far.close()
        finally:
            self._served.set()

    def __exit__(self, *what) -> None:
        self._over.set()
        self.near.close()
        self._far.close()
        self._group.__exit__(*what)
