"""What a certificate's authority says of it, in a response that the server has brought along: RFC 6960, RFC 6066.

A response counts if it is about this certificate, is signed by its issuer or by whom the issuer has appointed, and is
of now. A revocation is for ever: it counts although it is old.
"""

from __future__ import annotations

import datetime
from collections.abc import Iterable
from typing import Final

from cryptography import x509
from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric import ec, ed448, ed25519, padding, rsa
from cryptography.x509 import ocsp
from cryptography.x509.oid import ExtendedKeyUsageOID

# How far the responder's clock may be ahead of ours, and how long a response without an end is good.
_SKEW: Final = datetime.timedelta(minutes=5)
_GOOD_FOR: Final = datetime.timedelta(days=7)

_MUST_STAPLE: Final = x509.TLSFeatureType.status_request
_FEATURES: Final = bytes.fromhex("06082b06010505070118")  # id-pe-tlsfeature as it stands in a certificate


class Unusable(Exception):
    """The response proves nothing; the message says why."""


def must_staple(shown: bytes) -> bool:
    """Whether a certificate, in DER, is worth nothing without a response: RFC 7633. If in doubt, it is."""
    if _FEATURES not in shown:  # reading all extensions takes a hundred times as long
        return False
    try:
        features = x509.load_der_x509_certificate(shown).extensions.get_extension_for_class(x509.TLSFeature)
    except x509.ExtensionNotFound:
        return False
    except ValueError:
        return True
    return _MUST_STAPLE in features.value


def revoked(response: bytes, certificate: x509.Certificate, issuer: x509.Certificate, at: float) -> bool:
    """Whether the certificate is revoked, by a response that counts `at` a time. Raises Unusable for any other."""
    try:
        return _revoked(response, certificate, issuer, datetime.datetime.fromtimestamp(at, datetime.UTC))
    except (ValueError, TypeError, UnsupportedAlgorithm) as error:
        raise Unusable("it can't be read") from error


def _revoked(response: bytes, certificate: x509.Certificate, issuer: x509.Certificate, at: datetime.datetime) -> bool:
    told = ocsp.load_der_ocsp_response(response)
    if told.response_status is not ocsp.OCSPResponseStatus.SUCCESSFUL:
        raise Unusable("it tells of a failure")
    about = _about(told.responses, certificate, issuer)
    _check_signature(told, issuer, at)
    if about.certificate_status is ocsp.OCSPCertStatus.REVOKED:
        return True
    if about.certificate_status is not ocsp.OCSPCertStatus.GOOD:
        raise Unusable("the authority does not know the certificate")
    begins = about.this_update_utc
    if begins > at + _SKEW:
        raise Unusable("it is not valid yet")
    if at > (about.next_update_utc or begins + _GOOD_FOR) + _SKEW:
        raise Unusable("it is out of date")
    return False


def _about(
    told: Iterable[ocsp.OCSPSingleResponse], certificate: x509.Certificate, issuer: x509.Certificate
) -> ocsp.OCSPSingleResponse:
    for each in told:
        asked = ocsp.OCSPRequestBuilder().add_certificate(certificate, issuer, each.hash_algorithm).build()
        if _identity(each) == _identity(asked):
            return each
    raise Unusable("it is about another certificate")


def _identity(each: ocsp.OCSPSingleResponse | ocsp.OCSPRequest) -> tuple[int, bytes, bytes]:
    return each.serial_number, each.issuer_name_hash, each.issuer_key_hash


def _check_signature(told: ocsp.OCSPResponse, issuer: x509.Certificate, at: datetime.datetime) -> None:
    for signer in (issuer, *told.certificates):
        if _is_responder(signer, told) and (signer == issuer or _is_appointed(signer, issuer, at)):
            try:
                _verify(told, signer.public_key())
            except InvalidSignature:
                raise Unusable("its signature is wrong") from None
            return
    raise Unusable("it is signed by somebody else")


def _is_responder(signer: x509.Certificate, told: ocsp.OCSPResponse) -> bool:
    if told.responder_name is not None:
        return signer.subject == told.responder_name
    return x509.SubjectKeyIdentifier.from_public_key(signer.public_key()).digest == told.responder_key_hash


def _is_appointed(signer: x509.Certificate, issuer: x509.Certificate, at: datetime.datetime) -> bool:
    try:
        signer.verify_directly_issued_by(issuer)
        usage = signer.extensions.get_extension_for_class(x509.ExtendedKeyUsage).value
    except (InvalidSignature, ValueError, TypeError, x509.ExtensionNotFound):
        return False
    return ExtendedKeyUsageOID.OCSP_SIGNING in usage and (
        signer.not_valid_before_utc <= at <= signer.not_valid_after_utc
    )


def _verify(told: ocsp.OCSPResponse, key: object) -> None:
    signature, text, kind = told.signature, told.tbs_response_bytes, told.signature_hash_algorithm
    if isinstance(key, ed25519.Ed25519PublicKey | ed448.Ed448PublicKey):
        key.verify(signature, text)
    elif isinstance(key, rsa.RSAPublicKey) and kind is not None:
        key.verify(signature, text, padding.PKCS1v15(), kind)
    elif isinstance(key, ec.EllipticCurvePublicKey) and kind is not None:
        key.verify(signature, text, ec.ECDSA(kind))
    else:
        raise Unusable("its signature is of an unknown kind")
