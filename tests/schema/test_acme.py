from __future__ import annotations

from typing import Any

import pytest

from gproxy.base.address import parse_ip
from gproxy.schema.acme import Acme, AcmeProvider, CertificateProvider, normal, server_of
from gproxy.schema.model import read
from gproxy.schema.problem import Problem, dotted

GOOD: dict[str, Any] = {"type": "acme", "domain": "site.test"}
EXEC: dict[str, Any] = {"provider": "exec", "command": ["/hook"]}


def complaints(**tables: Any) -> list[str]:
    problems: list[Problem] = []
    read(CertificateProvider, {**GOOD, **tables}, (), problems)
    return [f"{dotted(each.path)}: {each.message}" for each in problems]


def options(**tables: Any) -> AcmeProvider:
    problems: list[Problem] = []
    found = read(CertificateProvider, {**GOOD, **tables}, (), problems)
    assert problems == []
    assert isinstance(found, AcmeProvider)
    return found


def test_the_least() -> None:
    found = options()
    assert found.names() == ("site.test",)
    assert found.directory() == "https://acme-v02.api.letsencrypt.org/directory"
    assert (found.key_type, found.dns01_challenge, found.external_account) == ("p256", None, None)


def test_everything() -> None:
    found = options(
        tag="a", domain=["Site.Test.", "*.bücher.test", "*.bücher.test"], data_directory="/x", provider="zerossl",
        default_server_name="SITE.test", email="a@site.test", account_key="PEM", key_type="rsa4096", profile="short",
        external_account={"key_id": "kid", "mac_key": "c2VjcmV0"},
        dns01_challenge={
            "provider": "cloudflare", "api_token": "t", "zone_token": "z", "ttl": "1m", "propagation_delay": "5s",
            "propagation_timeout": "1m", "resolvers": "9.9.9.9", "override_domain": "proof.test",
        },
    )  # fmt: skip
    assert found.names() == ("site.test", "*.xn--bcher-kva.test")
    assert found.directory() == "https://acme.zerossl.com/v2/DV90"
    assert found.external_account is not None
    assert found.external_account.mac() == b"secret"
    assert "secret" not in repr(found)
    assert "c2VjcmV0" not in repr(found)


@pytest.mark.parametrize(
    ("tables", "complaint"),
    [
        ({"type": "tailscale"}, "type: certificate provider type `tailscale` is not supported yet"),
        ({"type": "cloudflare-origin-ca"},
         "type: certificate provider type `cloudflare-origin-ca` is not supported yet"),
        ({"type": "acne"}, "type: unknown certificate provider type"),
        ({"type": 5}, "type: expected text, got an integer"),
        ({"type": None}, ": `type` is missing"),
        ({"domain": []}, "domain: expected 1 to 100 domains"),
        ({"domain": ["x.test"] * 101}, "domain: expected 1 to 100 domains"),
        ({"domain": "localhost"}, "domain: localhost: not a domain or an IP address"),
        ({"domain": "a_b.test"}, "domain: a_b.test: not a domain or an IP address"),
        ({"domain": "a b.test"}, "domain: a b.test: not a domain or an IP address"),
        ({"domain": "*.192.0.2.1", "dns01_challenge": EXEC}, "domain: *.192.0.2.1: not a domain or an IP address"),
        ({"domain": "*.*.test", "dns01_challenge": EXEC}, "domain: *.*.test: not a domain or an IP address"),
        ({"domain": "*.site.test"}, "domain: *.site.test: a wildcard can be proved by `dns01_challenge` only"),
        ({"domain": "192.0.2.1", "dns01_challenge": EXEC},
         "domain: 192.0.2.1: an IP address can't be proved by `dns01_challenge`"),
        ({"default_server_name": "other.test"}, "default_server_name: expected one of `domain`"),
        ({"provider": "http://ca.test"},
         "provider: expected `letsencrypt`, `zerossl` or a URL that begins with https://"),
        ({"provider": "https://[x"}, "provider: expected `letsencrypt`, `zerossl` or a URL that begins with https://"),
        ({"disable_http_challenge": True, "disable_tls_alpn_challenge": True},
         "dns01_challenge: expected this, or another challenge that is not disabled"),
        ({"email": "admin"}, "email: expected an address such as `admin@example.org`"),
        ({"provider": "zerossl"}, "email: ZeroSSL needs this, `external_account` or `account_key`"),
        ({"external_account": {"key_id": "", "mac_key": "c2Vj"}}, "external_account.key_id: expected an identifier"),
        ({"external_account": {"key_id": "k", "mac_key": "!"}},
         "external_account.mac_key: expected a key in base64url"),
        ({"http_client": {}}, "http_client: not supported yet"),
        ({"detour": "x"}, "detour: not supported yet"),
        ({"key_type": "dsa"}, "key_type: expected one of `ed25519`, `p256`, `p384`, `rsa2048`, `rsa4096`"),
        ({"dns01_challenge": {"provider": "alidns"}},
         "dns01_challenge.provider: DNS provider `alidns` is not supported yet"),
        ({"dns01_challenge": {}}, "dns01_challenge: `provider` is missing"),
        ({"dns01_challenge": {"provider": "exec", "command": "hook"}},
         "dns01_challenge.command: expected the path of a program, from the root"),
        ({"dns01_challenge": {**EXEC, "resolvers": ["dns.test"]}},
         "dns01_challenge.resolvers: expected an IP address, with a port or without: `9.9.9.9`, `[2620:fe::fe]:53`"),
        ({"dns01_challenge": {**EXEC, "override_domain": "x"}},
         "dns01_challenge.override_domain: expected a domain"),
        ({"dns01_challenge": {"provider": "acmedns", "username": "u", "password": "p", "subdomain": "s",
                              "server_url": "auth.test", "ttl": "1m"}},
         "dns01_challenge.server_url: expected a URL that begins with https:// or http://"),
        ({"dns01_challenge": {"provider": "acmedns", "username": "u", "password": "p", "subdomain": "s",
                              "server_url": "https://auth.test", "ttl": "1m"}},
         "dns01_challenge.ttl: acme-dns chooses that by itself"),
    ],
)  # fmt: skip
def test_what_is_refused(tables: dict[str, Any], complaint: str) -> None:
    assert complaint in complaints(**tables)


def test_the_older_table_has_fewer_keys() -> None:
    problems: list[Problem] = []
    read(Acme, {"domain": "site.test", "key_type": "p256"}, (), problems)
    assert [each.message for each in problems] == ["unknown key"]


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("9.9.9.9", ("9.9.9.9", 53)), ("9.9.9.9:5353", ("9.9.9.9", 5353)), ("2620:fe::fe", ("2620:fe::fe", 53)),
        ("[2620:fe::fe]", ("2620:fe::fe", 53)), ("[2620:fe::fe]:853", ("2620:fe::fe", 853)), ("9.9.9.9:0", None),
        ("9.9.9.9:65536", None), ("9.9.9.9:x", None), ("", None), ("dns.test:53", None), ("9.9.9.9:٣", None),
    ],
)  # fmt: skip
def test_name_servers(text: str, found: tuple[str, int] | None) -> None:
    assert server_of(text) == (None if found is None else (parse_ip(found[0]), found[1]))


def test_names_as_certificates_have_them() -> None:
    assert normal("Bücher.Test.") == "xn--bcher-kva.test"
    assert normal("*.A.test") == "*.a.test"
    assert normal("2001:DB8::0:1") == "2001:db8::1"
    assert normal("a..b") == "a..b"
