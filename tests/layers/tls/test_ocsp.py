"""gproxy.layers.tls.ocsp: who may say what about a certificate, and for how long it counts."""

from __future__ import annotations

import datetime

import pytest
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509 import ocsp
from cryptography.x509.oid import ExtendedKeyUsageOID

from gproxy.layers.tls.ocsp import Unusable, must_staple, revoked
from tests.layers.tls.lab import AUTHORITY, DAY, GOOD, NAME, make, staple

NOW = datetime.datetime.now(datetime.UTC).timestamp()
REVOKED, UNKNOWN = ocsp.OCSPCertStatus.REVOKED, ocsp.OCSPCertStatus.UNKNOWN
SIGNING = ExtendedKeyUsageOID.OCSP_SIGNING

OTHER = make(NAME, issuer=AUTHORITY)
STRANGER = make(ca=True, common="another")
NAMESAKE = make(ca=True)  # named as the authority, with another key
APPOINTED = make("ocsp.test", issuer=AUTHORITY, usage=SIGNING)
NOT_APPOINTED = make("www.test", issuer=AUTHORITY)
FORMERLY = make("ocsp.test", issuer=AUTHORITY, usage=SIGNING, begins=-9 * DAY, ends=-DAY)
OF_ANOTHER = make("ocsp.test", issuer=STRANGER, usage=SIGNING)


def says(response, at=NOW):
    return revoked(response, GOOD.certificate, AUTHORITY.certificate, at)


@pytest.mark.parametrize("hashed", [hashes.SHA1, hashes.SHA256])
@pytest.mark.parametrize("by_name", [False, True])
def test_the_issuers_own_word(by_name, hashed):
    assert not says(staple(GOOD, by_name=by_name, hashed=hashed))
    assert says(staple(GOOD, status=REVOKED, by_name=by_name, hashed=hashed))


def test_the_word_of_whom_it_has_appointed():
    assert not says(staple(GOOD, signer=APPOINTED, brings=(APPOINTED,)))
    assert not says(staple(GOOD, signer=APPOINTED, brings=(OTHER, APPOINTED)))
    assert says(staple(GOOD, status=REVOKED, signer=APPOINTED, brings=(APPOINTED,)))


@pytest.mark.parametrize(
    "response",
    [
        staple(GOOD, signer=APPOINTED),
        staple(GOOD, signer=NOT_APPOINTED, brings=(NOT_APPOINTED,)),
        staple(GOOD, signer=FORMERLY, brings=(FORMERLY,)),
        staple(GOOD, signer=OF_ANOTHER, brings=(OF_ANOTHER,)),
        staple(GOOD, signer=STRANGER, brings=(STRANGER,)),
        staple(GOOD, signer=GOOD, brings=(GOOD,)),
    ],
    ids=["not brought along", "not for that", "no longer", "by another authority", "another authority", "itself"],
)
def test_words_of_others(response):
    with pytest.raises(Unusable, match="signed by somebody else"):
        says(response)


def test_a_signature_that_is_wrong():
    with pytest.raises(Unusable, match="signature is wrong"):
        says(staple(GOOD, signer=NAMESAKE, by_name=True))
    response = bytearray(staple(GOOD, status=REVOKED))
    response[-1] ^= 1
    with pytest.raises(Unusable):
        says(bytes(response))


def test_about_others():
    with pytest.raises(Unusable, match="about another certificate"):
        says(staple(OTHER))
    with pytest.raises(Unusable, match="about another certificate"):
        revoked(staple(GOOD), GOOD.certificate, NAMESAKE.certificate, NOW)


def test_who_does_not_know():
    with pytest.raises(Unusable, match="does not know"):
        says(staple(GOOD, status=UNKNOWN))


HOUR = 3600
SIDE = 12 * HOUR


@pytest.mark.parametrize(
    ("later", "words"),
    [
        (-SIDE - 200, ""),
        (-SIDE - 400, "not valid yet"),
        (SIDE + 200, ""),
        (SIDE + 400, "out of date"),
    ],
)
def test_when(later, words):
    response, at = staple(GOOD), NOW + later
    if not words:
        assert not says(response, at)
        return
    with pytest.raises(Unusable, match=words):
        says(response, at)
    assert says(staple(GOOD, status=REVOKED), at), "a revocation is for ever"


def test_a_response_without_an_end():
    response = staple(GOOD, next_=None)
    assert not says(response, NOW + 6 * 24 * HOUR)
    with pytest.raises(Unusable, match="out of date"):
        says(response, NOW + 8 * 24 * HOUR)


def test_failures_and_garbage():
    failure = ocsp.OCSPResponseBuilder.build_unsuccessful(ocsp.OCSPResponseStatus.TRY_LATER)
    with pytest.raises(Unusable, match="tells of a failure"):
        says(failure.public_bytes(Encoding.DER))
    whole = staple(GOOD)
    for cut in range(0, len(whole), 7):
        with pytest.raises(Unusable):
            says(whole[:cut])
    for at in range(0, len(whole), 3):
        wrong = bytearray(whole)
        wrong[at] ^= 0xFF
        try:
            assert not says(bytes(wrong))
        except Unusable:
            continue
        changed = ocsp.load_der_ocsp_response(bytes(wrong))
        assert changed.tbs_response_bytes == ocsp.load_der_ocsp_response(whole).tbs_response_bytes, at


def test_certificates_that_must_bring_one():
    def der(made):
        return made.certificate.public_bytes(Encoding.DER)

    must = der(make(NAME, must_staple=True))
    assert must_staple(must)
    assert not must_staple(der(GOOD))
    assert must_staple(must[:-1]), "who can't be read can't be let off"
    assert not must_staple(b"")
