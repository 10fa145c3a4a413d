from __future__ import annotations

import shutil
import ssl
import urllib.request
from pathlib import Path

import pytest

from tests.support.origin import HELLO, https_origin
from tests.support.tls import make_certificate

pytestmark = pytest.mark.skipif(shutil.which("openssl") is None, reason="the openssl program is not installed")


def test_a_client_that_trusts_the_authority_is_served(tmp_path: Path) -> None:
    certificate = make_certificate(tmp_path)
    trust = ssl.create_default_context(cafile=str(certificate.authority))
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}), urllib.request.HTTPSHandler(context=trust))
    with https_origin(certificate.chain, certificate.key) as origin:
        with opener.open(f"https://localhost:{origin.port}/", timeout=10) as answer:
            assert answer.read() == HELLO


def test_one_that_does_not_is_not(tmp_path: Path) -> None:
    certificate = make_certificate(tmp_path)
    with https_origin(certificate.chain, certificate.key) as origin, pytest.raises(OSError, match="CERTIFICATE_VERIFY"):
        urllib.request.build_opener(urllib.request.ProxyHandler({})).open(
            f"https://localhost:{origin.port}/", timeout=10
        )
