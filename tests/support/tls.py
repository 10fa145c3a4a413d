"""A throw-away certificate authority and a certificate for localhost, peer.test, 127.0.0.1 and ::1."""

from __future__ import annotations

import subprocess
from dataclasses import dataclass
from pathlib import Path

NAME = "peer.test"
_EXTENSIONS = f"""subjectAltName=DNS:localhost,DNS:{NAME},DNS:*.{NAME},IP:127.0.0.1,IP:::1
basicConstraints=critical,CA:FALSE
keyUsage=critical,digitalSignature
extendedKeyUsage=serverAuth,clientAuth
"""
_NEW_KEY = ("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes")


@dataclass(frozen=True)
class Certificate:
    """Files in PEM."""

    authority: Path
    chain: Path
    key: Path


def make_certificate(folder: Path) -> Certificate:
    """Make both in `folder`, with the openssl program."""
    authority, authority_key = folder / "ca.pem", folder / "ca.key"
    leaf, key, request, extensions = folder / "leaf.pem", folder / "key.pem", folder / "leaf.csr", folder / "leaf.ext"
    extensions.write_text(_EXTENSIONS, "ascii")
    subject = ("-days", "2", "-subj", "/CN=tests")
    _openssl("req", "-x509", *_NEW_KEY, *subject, "-keyout", authority_key, "-out", authority)
    _openssl("req", *_NEW_KEY, "-subj", f"/CN={NAME}", "-keyout", key, "-out", request)
    signer = ("-CA", authority, "-CAkey", authority_key, "-set_serial", "1")
    _openssl("x509", "-req", "-in", request, *signer, "-days", "2", "-extfile", extensions, "-out", leaf)
    return Certificate(authority, leaf, key)


def _openssl(*arguments: str | Path) -> None:
    subprocess.run(["openssl", *map(str, arguments)], check=True, capture_output=True, timeout=30)
