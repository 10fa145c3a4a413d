"""gproxy.schema.tls."""

from __future__ import annotations

import base64

import pytest

from gproxy.schema.model import read
from gproxy.schema.tls import Authorities, TlsDial, TlsListen

FILES = {"certificate_path": "chain.pem", "key_path": "key.pem"}
PIN = base64.b64encode(bytes(32)).decode()


def problems(model, tree):
    found = []
    read(model, {"tls": tree}, (), found)
    return [(".".join(map(str, problem.path)), problem.message) for problem in found]


@pytest.mark.parametrize(
    "tree",
    [
        {},
        {"enabled": False, "server_name": "a.test"},
        {"enabled": True, **FILES},
        {"enabled": True, "certificate": ["-----BEGIN"], "key": "-----BEGIN", "alpn": "h2"},
        {"enabled": True, **FILES, "client_authentication": "require-any"},
        {"enabled": True, **FILES, "cipher_suites": ["TLS_AES_128_GCM_SHA256"], "min_version": "1.0"},
    ],
)
def test_right_inbounds(tree):
    assert problems(TlsListen, tree) == []


@pytest.mark.parametrize(
    ("tree", "key", "words"),
    [
        ({"enabled": True, "key": "x"}, "certificate", "either `certificate` or `certificate_path`"),
        ({"enabled": True, **FILES, "key": "x"}, "key", "either `key` or `key_path`"),
        ({"enabled": True, **FILES, "insecure": True}, "insecure", "beside a certificate"),
        ({"enabled": True, **FILES, "min_version": "1.3", "max_version": "1.2"}, "min_version", "higher than"),
        ({"enabled": True, **FILES, "client_authentication": "verify-if-given"}, "client_authentication", "beside it"),
        ({"enabled": True, **FILES, "cipher_suites": ["TLS_RSA_WITH_RC4_128_SHA"]}, "cipher_suites", "not one of"),
        ({"enabled": True, **FILES, "alpn": [""]}, "alpn", "1 to 255"),
        ({"enabled": True, "certificates": [{"certificate_path": "c"}]}, "certificates", "`key`"),
        ({"enabled": True, "certificates": [FILES | {"server_names": "a.*.b"}]}, "certificates", "`*.` and a name"),
        ({"enabled": True, "certificates": [FILES | {"server_names": "*"}]}, "certificates", "`*.` and a name"),
        ({"enabled": True, "certificates": [FILES], "key_path": "k"}, "certificate", "`certificate_path`"),
        ({"enabled": True, "certificates": [FILES], "ocsp_staple_path": "o"}, "ocsp_staple_path", "beside it"),
        ({"enabled": True, "certificates": [FILES], "insecure": True}, "insecure", "beside a certificate"),
        (
            {"enabled": True, **FILES, "client_certificate_public_key_sha256": "xx"},
            "client_certificate_public_key_sha256",
            "base64",
        ),
        (
            {"enabled": True, **FILES, "client_certificate_path": "c", "client_certificate_public_key_sha256": PIN},
            "client_certificate_public_key_sha256",
            "no effect",
        ),
        ({"enabled": True, **FILES, "reality": {}}, "reality", "not supported yet"),
        ({"enabled": True, **FILES, "curve_preferences": ["X448"]}, "curve_preferences", "X25519"),
    ],
)
def test_wrong_inbounds(tree, key, words):
    found = problems(TlsListen, tree)
    assert [path.removeprefix("tls.").split(".")[0] for path, _ in found] == [key]
    assert words in found[0][1]


@pytest.mark.parametrize(
    "tree",
    [
        {"enabled": True},
        {"enabled": True, "certificate_public_key_sha256": [PIN]},
        {"enabled": True, "server_name": "bücher.test"},
        {"enabled": True, "server_name": "2001:db8::1"},
        {"enabled": True, "fragment": True, "record_fragment": True, "fragment_fallback_delay": "1s"},
        {"enabled": True, "client_certificate_path": "a", "client_key_path": "b", "disable_sni": True},
    ],
)
def test_right_outbounds(tree):
    assert problems(TlsDial, tree) == []


@pytest.mark.parametrize(
    ("tree", "key"),
    [
        ({"certificate_public_key_sha256": ["abc"]}, "certificate_public_key_sha256"),
        ({"certificate_public_key_sha256": [PIN[:-4]]}, "certificate_public_key_sha256"),
        ({"client_key_path": "b"}, "client_certificate"),
        ({"utls": {"enabled": True}}, "utls"),
        ({"server_name": "a b"}, "server_name"),
        ({"fragment": True, "disable_sni": True}, "fragment"),
        ({"record_fragment": True, "disable_sni": True}, "record_fragment"),
        ({"record_fragment": True, "fragment_fallback_delay": "1s"}, "fragment_fallback_delay"),
        ({"certificate_public_key_sha256": [PIN], "certificate_path": "a"}, "certificate_public_key_sha256"),
    ],
)
def test_wrong_outbounds(tree, key):
    [(path, _)] = problems(TlsDial, {"enabled": True, **tree})
    assert path.removeprefix("tls.").split(".")[0] == key


def authorities(tree):
    found = []
    read(Authorities, tree, (), found)
    return [(".".join(map(str, problem.path)), problem.message) for problem in found]


@pytest.mark.parametrize(
    "tree",
    [{}, {"store": "system", "certificate_path": "a"}, {"store": "none", "certificate_directory_path": ["a", "b"]}],
)
def test_right_authorities(tree):
    assert authorities(tree) == []


@pytest.mark.parametrize(
    ("store", "words"), [("mozilla", "brings no list"), ("chrome", "brings no list"), ("x", "`system` or `none`")]
)
def test_wrong_authorities(store, words):
    [(path, message)] = authorities({"store": store})
    assert path == "store"
    assert words in message
