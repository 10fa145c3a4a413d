"""The `tls` tables of inbounds and outbounds."""

from __future__ import annotations

import base64
import binascii
from collections.abc import Iterator
from typing import Annotated, ClassVar, Final, Literal

from gproxy.base.defaults import FRAGMENT_DELAY, HANDSHAKE_TIMEOUT
from gproxy.schema.acme import Acme, CertificateProvider
from gproxy.schema.fields import Duration, is_host
from gproxy.schema.model import Options, doc

Version = Literal["1.0", "1.1", "1.2", "1.3"]
Group = Literal["P256", "P384", "P521", "X25519", "X25519MLKEM768"]
ClientAuthentication = Literal["no", "request", "require-any", "verify-if-given", "require-and-verify"]

SUITES: Final = {
    "TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256": "ECDHE-ECDSA-AES128-GCM-SHA256",
    "TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384": "ECDHE-ECDSA-AES256-GCM-SHA384",
    "TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256": "ECDHE-ECDSA-CHACHA20-POLY1305",
    "TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256": "ECDHE-RSA-AES128-GCM-SHA256",
    "TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384": "ECDHE-RSA-AES256-GCM-SHA384",
    "TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256": "ECDHE-RSA-CHACHA20-POLY1305",
}
"""The suites of TLS 1.2 that may be chosen, by their standard names, with OpenSSL's. Those of 1.3 are fixed."""

_FIXED: Final = frozenset({"TLS_AES_128_GCM_SHA256", "TLS_AES_256_GCM_SHA384", "TLS_CHACHA20_POLY1305_SHA256"})

_PIN_SIZE: Final = 32


class Tls(Options):
    """What both roles have."""

    not_yet: ClassVar[tuple[str, ...]] = ("ech", "reality", "kernel_tx", "kernel_rx")

    enabled: Annotated[bool, doc("Speak TLS.")] = False
    alpn: Annotated[tuple[str, ...], doc("Application protocols, the preferred one first.")] = ()
    min_version: Annotated[Version, doc("Lowest version of TLS.")] = "1.2"
    max_version: Annotated[Version, doc("Highest version of TLS.")] = "1.3"
    cipher_suites: Annotated[
        tuple[str, ...], doc("Cipher suites of TLS 1.2, by their standard names; those of 1.3 are fixed.")
    ] = ()
    curve_preferences: Annotated[
        tuple[Group, ...], doc("Groups of the key exchange, the preferred one first; OpenSSL's choice if empty.")
    ] = ()
    handshake_timeout: Annotated[Duration, doc("Time for the handshake.")] = Duration(HANDSHAKE_TIMEOUT)

    def check(self) -> Iterator[tuple[str, str]]:
        """Versions are in order, and suites are known and strong."""
        yield from super().check()
        if self.min_version > self.max_version:
            yield "min_version", f"higher than `max_version`, which is {self.max_version}"
        for name in self.cipher_suites:
            if name not in SUITES and name not in _FIXED:
                yield "cipher_suites", f"{name}: not one of {', '.join(SUITES)}"
        for name in self.alpn:
            if not 0 < len(name.encode()) <= 255:
                yield "alpn", "expected names of 1 to 255 bytes"


class OwnCertificate(Options):
    """A certificate to show, and its key."""

    certificate: Annotated[tuple[str, ...], doc("Certificate chain: lines of PEM.")] = ()
    certificate_path: Annotated[str, doc("File with the certificate chain; read again when it changes.")] = ""
    key: Annotated[tuple[str, ...], doc("Private key: lines of PEM.")] = ()
    key_path: Annotated[str, doc("File with the private key; read again when it changes.")] = ""
    ocsp_staple_path: Annotated[
        str,
        doc("File with an OCSP response (DER) to show beside the certificate, while it is good; read again likewise."),
    ] = ""

    def shows(self) -> bool:
        """Whether there is any of it."""
        return bool(self.certificate or self.certificate_path or self.key or self.key_path)

    def check_certificate(self) -> Iterator[tuple[str, str]]:
        """There is one chain and one key."""
        for name in ("certificate", "key"):
            if bool(getattr(self, name)) == bool(getattr(self, f"{name}_path")):
                yield name, f"expected either `{name}` or `{name}_path`"


class NamedCertificate(OwnCertificate):
    """One of several certificates of an inbound."""

    server_names: Annotated[
        tuple[str, ...],
        doc("Names that this one is shown for, `*.` standing for one label; those in the certificate if empty."),
    ] = ()

    def check(self) -> Iterator[tuple[str, str]]:
        """There is a certificate with its key, and names are names."""
        yield from super().check()
        yield from self.check_certificate()
        for name in self.server_names:
            if "*" in name.removeprefix("*.") or name in ("", "*."):
                yield "server_names", f"`{name}`: expected a name, or `*.` and a name"


class TlsInbound(Tls, OwnCertificate):
    """TLS towards clients."""

    server_name: Annotated[str, doc("Only serve clients that ask for this name; all if empty.")] = ""
    insecure: Annotated[
        bool, doc("Without a certificate: make one at the start, which no client can tell from anybody else's.")
    ] = False
    certificates: Annotated[
        tuple[NamedCertificate, ...],
        doc("More certificates, chosen by the name that the client asks for. Without one above, the first is for all."),
    ] = ()
    certificate_provider: Annotated[
        str | CertificateProvider,
        doc("Who has the certificate instead: a provider's tag, or a table that is one."),
    ] = ""
    acme: Annotated[Acme | None, doc("Deprecated in sing-box 1.14: as a `certificate_provider` of type `acme`.")] = None
    client_authentication: Annotated[
        ClientAuthentication,
        doc("Whether clients must show a certificate. `no` beside any of the next three means `require-and-verify`."),
    ] = "no"
    client_certificate: Annotated[tuple[str, ...], doc("Authorities of clients' certificates: lines of PEM.")] = ()
    client_certificate_path: Annotated[
        tuple[str, ...], doc("Files with the authorities of clients' certificates.")
    ] = ()
    client_certificate_public_key_sha256: Annotated[
        tuple[str, ...], doc("Verify clients' certificates by their public keys alone: SHA-256 hashes in base64.")
    ] = ()

    def check(self) -> Iterator[tuple[str, str]]:
        """There are certificates with their keys, and authorities or pins where clients are verified."""
        yield from super().check()
        if not self.enabled:
            return
        yield from self._check_certificates()
        authorities, pins = self._authorities(), self.client_certificate_public_key_sha256
        if self.clients_must() in ("verify-if-given", "require-and-verify") and not authorities and not pins:
            yield "client_authentication", "expected `client_certificate` or `client_certificate_path` beside it"
        if authorities and pins:
            yield "client_certificate_public_key_sha256", "has no effect beside `client_certificate`"
        yield from _check_pins("client_certificate_public_key_sha256", pins)

    def _authorities(self) -> bool:
        return bool(self.client_certificate or self.client_certificate_path)

    def clients_must(self) -> ClientAuthentication:
        """What is asked of clients' certificates."""
        if self.client_authentication == "no" and (self._authorities() or self.client_certificate_public_key_sha256):
            return "require-and-verify"
        return self.client_authentication

    def _check_certificates(self) -> Iterator[tuple[str, str]]:
        provided = [name for name in ("certificate_provider", "acme") if getattr(self, name)]
        if provided:
            own = ("certificate", "certificate_path", "key", "key_path", "ocsp_staple_path", "insecure")
            given = [name for name in own if getattr(self, name)]
            yield from ((name, f"has no effect beside `{provided[0]}`") for name in given)
        elif self.insecure:
            if self.shows() or self.certificates:
                yield "insecure", "has no effect beside a certificate"
        elif self.shows() or not self.certificates:
            yield from self.check_certificate()
        if self.ocsp_staple_path and not provided and not self.shows():
            yield "ocsp_staple_path", "expected a certificate beside it"
        if len(provided) > 1:
            yield "acme", "has no effect beside `certificate_provider`"
        if isinstance(self.certificate_provider, CertificateProvider) and self.certificate_provider.tag:
            yield "certificate_provider", "a provider of this inbound alone needs no `tag`"

    def provider(self) -> str | Acme | None:
        """Who has the certificate: a provider's tag, or its options; None if the options here have it."""
        own = self.certificate_provider
        assert isinstance(own, str | Acme), "there is no other type"
        return own or self.acme


def _check_pins(key: str, pins: tuple[str, ...]) -> Iterator[tuple[str, str]]:
    for text in pins:
        try:
            right = len(base64.b64decode(text, validate=True)) == _PIN_SIZE
        except binascii.Error:
            right = False
        if not right:
            yield key, "expected SHA-256 hashes in base64"


class TlsOutbound(Tls):
    """TLS towards a server."""

    not_yet: ClassVar[tuple[str, ...]] = ("utls", "engine", "spoof", "spoof_method")

    server_name: Annotated[str, doc("Name that the server must prove to have; its address if empty.")] = ""
    disable_sni: Annotated[bool, doc("Don't tell the name in the clear.")] = False
    insecure: Annotated[bool, doc("Accept any certificate. Whoever sits on the way can then read everything.")] = False
    certificate: Annotated[
        tuple[str, ...], doc("Trust these authorities instead of `certificate`'s at the top level: lines of PEM.")
    ] = ()
    certificate_path: Annotated[str, doc("Trust the authorities in this file instead; read again when it changes.")] = (
        ""
    )
    certificate_public_key_sha256: Annotated[
        tuple[str, ...], doc("Accept the server's certificate by its public key alone: SHA-256 hashes in base64.")
    ] = ()
    client_certificate: Annotated[tuple[str, ...], doc("Own certificate chain to show: lines of PEM.")] = ()
    client_certificate_path: Annotated[str, doc("File with the own certificate chain to show.")] = ""
    client_key: Annotated[tuple[str, ...], doc("Key of the own certificate: lines of PEM.")] = ()
    client_key_path: Annotated[str, doc("File with the key of the own certificate.")] = ""
    fragment: Annotated[
        bool,
        doc("Send the ClientHello in pieces, cut inside the server's name, each after the one before has arrived."),
    ] = False
    fragment_fallback_delay: Annotated[
        Duration, doc("Time between these pieces where the system can't tell what has arrived.")
    ] = Duration(FRAGMENT_DELAY)
    record_fragment: Annotated[
        bool, doc("Send the ClientHello in several TLS records, cut inside the server's name.")
    ] = False

    def check(self) -> Iterator[tuple[str, str]]:
        """Names are names, pins are hashes, and an own certificate has its key."""
        yield from super().check()
        if self.server_name and not is_host(self.server_name):
            yield "server_name", "expected a domain or an IP address"
        yield from _check_pins("certificate_public_key_sha256", self.certificate_public_key_sha256)
        shown = bool(self.client_certificate or self.client_certificate_path)
        if shown != bool(self.client_key or self.client_key_path):
            yield "client_certificate", "an own certificate needs its key, and a key its certificate"
        if self.certificate_public_key_sha256 and (self.certificate or self.certificate_path):
            yield "certificate_public_key_sha256", "leaves nothing for `certificate` to say"
        for name in ("fragment", "record_fragment"):
            if getattr(self, name) and self.disable_sni:
                yield name, "has no effect: `disable_sni` leaves no name to be cut"
        if self.fragment_fallback_delay != FRAGMENT_DELAY and not self.fragment:
            yield "fragment_fallback_delay", "has no effect without `fragment`"

    def believes_others(self) -> bool:
        """Whether those say who the server is whom the whole configuration believes."""
        own = self.insecure or self.certificate or self.certificate_path or self.certificate_public_key_sha256
        return not own


_BUNDLED: Final = ("mozilla", "chrome")


class Authorities(Options):
    """Whom outbounds believe, and whatever else speaks TLS to servers, unless its own `tls` table says."""

    store: Annotated[str, doc("`system`: the system's authorities and those below; `none`: only those below.")] = (
        "system"
    )
    certificate: Annotated[tuple[str, ...], doc("Authorities: lines of PEM.")] = ()
    certificate_path: Annotated[tuple[str, ...], doc("Files of authorities; read again when they change.")] = ()
    certificate_directory_path: Annotated[
        tuple[str, ...], doc("Directories with such files; read again when something in them changes.")
    ] = ()

    def check(self) -> Iterator[tuple[str, str]]:
        """The store is one that there is."""
        yield from super().check()
        if self.store in _BUNDLED:
            yield "store", f"`{self.store}` is not supported: gproxy brings no list of authorities along"
        elif self.store not in ("system", "none"):
            yield "store", "expected `system` or `none`"


class TlsListen(Options):
    """For inbounds that can be behind TLS."""

    tls: Annotated[TlsInbound, doc("TLS towards clients.")] = TlsInbound()

    def spoken(self) -> tuple[str, ...]:
        """What TLS agrees on for the protocol itself, where `alpn` says nothing; nothing: it has no name for that."""
        return ()


class TlsDial(Options):
    """For outbounds whose server can be behind TLS."""

    tls: Annotated[TlsOutbound, doc("TLS towards the server.")] = TlsOutbound()
