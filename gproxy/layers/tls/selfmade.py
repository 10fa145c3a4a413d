"""A certificate that nobody has signed, for inbounds without one of their own."""

from __future__ import annotations

import datetime
import logging
from typing import Final

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from gproxy.base.clock import wall

_log = logging.getLogger("gproxy.layers.tls")

_BEFORE: Final = datetime.timedelta(days=1)
_AFTER: Final = datetime.timedelta(days=3650)
_NOBODY: Final = "localhost"


class SelfMade:
    """A fresh key, and a certificate for a name that it has signed itself (see Source)."""

    def __init__(self, name: str) -> None:
        """Without a `name` it is for localhost."""
        _log.warning(
            "`tls.insecure`: no client can tell this inbound, with a certificate of its own making, from others"
        )
        private = ec.generate_private_key(ec.SECP256R1())
        at = datetime.datetime.fromtimestamp(wall(), datetime.UTC)
        subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name or _NOBODY)])
        certificate = (
            x509.CertificateBuilder()
            .subject_name(subject)
            .issuer_name(subject)
            .public_key(private.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(at - _BEFORE)
            .not_valid_after(at + _AFTER)
            .add_extension(x509.SubjectAlternativeName([x509.DNSName(name or _NOBODY)]), critical=False)
            .sign(private, hashes.SHA256())
        )
        pkcs8, plain = serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        self.number = 1
        self.chain = certificate.public_bytes(serialization.Encoding.PEM)
        self.key = private.private_bytes(serialization.Encoding.PEM, pkcs8, plain)
