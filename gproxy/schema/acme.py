"""Where certificates come from: `certificate_providers`, and the `acme` table of older configurations."""

from __future__ import annotations

import base64
import binascii
from collections.abc import Iterator, Mapping
from typing import Annotated, Any, ClassVar, Final, Literal
from urllib.parse import urlsplit

from gproxy.base.address import IP, parse_host, parse_ip
from gproxy.schema.fields import Duration, Port, Secret, is_host
from gproxy.schema.groups import Item
from gproxy.schema.model import Options, doc
from gproxy.schema.problem import KeyPath, Problem, expected, near_miss

KeyType = Literal["ed25519", "p256", "p384", "rsa2048", "rsa4096"]

_DIRECTORIES: Final = {
    "letsencrypt": "https://acme-v02.api.letsencrypt.org/directory",
    "zerossl": "https://acme.zerossl.com/v2/DV90",
}
_MOST_NAMES: Final = 100  # what Let's Encrypt puts into one certificate
_LONGEST_NAME: Final = 253


def _choose(
    what: str, key: str, kinds: Mapping[str, type[Options]], later: tuple[str, ...], tree: Mapping[str, Any],
    at: KeyPath, problems: list[Problem],
) -> type[Options] | None:  # fmt: skip
    """The model that `key` names; None after telling what is wrong with it."""
    name = tree.get(key)
    if isinstance(name, str) and name in kinds:
        return kinds[name]
    names = ", ".join(f"`{each}`" for each in kinds)
    if name is None:
        problems.append(Problem(at, f"`{key}` is missing", f"expected {names}"))
    elif not isinstance(name, str):
        problems.append(Problem((*at, key), str(expected("text", name))))
    elif name in later:
        problems.append(Problem((*at, key), f"{what} `{name}` is not supported yet"))
    else:
        problems.append(Problem((*at, key), f"unknown {what}", near_miss(name, kinds) or f"expected {names}"))
    return None


class DnsChallenge(Options):
    """Proof by a TXT record: `provider` says who sets it."""

    ttl: Annotated[Duration, doc("Time to live of the record; the provider's own choice if 0.")] = Duration(0)
    propagation_delay: Annotated[Duration, doc("Wait so long before the record is looked for.")] = Duration(0)
    propagation_timeout: Annotated[
        Duration, doc("Look for the record so long at most before the authority is asked to; 0: don't look for it.")
    ] = Duration(120)
    resolvers: Annotated[
        tuple[str, ...], doc("Name servers that must know the record, each an IP address, with a port or without.")
    ] = ()
    override_domain: Annotated[
        str, doc("Set this record instead of `_acme-challenge.DOMAIN`, which is an alias (CNAME) of it.")
    ] = ""

    @classmethod
    def model_for(cls, tree: Mapping[str, Any], at: KeyPath, problems: list[Problem]) -> type[Options] | None:
        """The model of the `provider`."""
        return _choose("DNS provider", "provider", cls.variants(), ("alidns",), tree, at, problems)

    @classmethod
    def variants(cls) -> Mapping[str, type[Options]]:
        """Every provider."""
        return {"acmedns": AcmeDns, "cloudflare": Cloudflare, "exec": Exec}

    def check(self) -> Iterator[tuple[str, str]]:
        """Name servers are addresses, and the record has a name."""
        yield from super().check()
        for text in self.resolvers:
            if server_of(text) is None:
                yield "resolvers", "expected an IP address, with a port or without: `9.9.9.9`, `[2620:fe::fe]:53`"
        if self.override_domain and not _is_name(self.override_domain.removeprefix("_acme-challenge.")):
            yield "override_domain", "expected a domain"


class AcmeDns(DnsChallenge):
    """A server that does nothing but such records: acme-dns."""

    provider: Annotated[Literal["acmedns"], doc("Which one: `acmedns`.")]
    username: Annotated[str, doc("User name of the registration.")]
    password: Annotated[Secret, doc("Password of the registration.")]
    subdomain: Annotated[str, doc("Subdomain of the registration.")]
    server_url: Annotated[str, doc("Where the server's interface is: `https://auth.example.org`.")]

    def check(self) -> Iterator[tuple[str, str]]:
        """It is somewhere, and says itself how long its records live."""
        yield from super().check()
        if not _is_url(self.server_url, ("http", "https")):
            yield "server_url", "expected a URL that begins with https:// or http://"
        if self.ttl:
            yield "ttl", "acme-dns chooses that by itself"


class Cloudflare(DnsChallenge):
    """Cloudflare's name servers."""

    provider: Annotated[Literal["cloudflare"], doc("Which one: `cloudflare`.")]
    api_token: Annotated[Secret, doc("Token that may edit the zone's records (Zone.DNS:Edit).")]
    zone_token: Annotated[Secret, doc("Token that may list zones (Zone.Zone:Read), if `api_token` may not.")] = Secret(
        ""
    )


class Exec(DnsChallenge):
    """A program that sets the record. Not in sing-box."""

    provider: Annotated[Literal["exec"], doc("Which one: `exec`.")]
    command: Annotated[
        tuple[str, ...],
        doc(
            "Program and its arguments. Behind them come `present` or `cleanup`, the record's name and its value; "
            "`ACME_TTL` in its environment is the `ttl` in seconds."
        ),
    ]

    def check(self) -> Iterator[tuple[str, str]]:
        """It is a program."""
        yield from super().check()
        if not self.command or not self.command[0].startswith("/"):
            yield "command", "expected the path of a program, from the root"


class ExternalAccount(Options):
    """An account elsewhere that the ACME account is bound to (RFC 8555 section 7.3.4)."""

    key_id: Annotated[str, doc("Its key's identifier.")]
    mac_key: Annotated[Secret, doc("Its key, in base64url.")]

    def check(self) -> Iterator[tuple[str, str]]:
        """Both are there."""
        if not self.key_id:
            yield "key_id", "expected an identifier"
        if not self.mac():
            yield "mac_key", "expected a key in base64url"

    def mac(self) -> bytes:
        """The key; empty if it is none."""
        text = self.mac_key.reveal().rstrip("=")
        try:
            return base64.b64decode(text + "=" * (-len(text) % 4), b"-_", validate=True)
        except (binascii.Error, ValueError):
            return b""


class Acme(Options):
    """Certificates from an authority that speaks ACME (RFC 8555), ordered and renewed by gproxy."""

    domain: Annotated[
        tuple[str, ...], doc("Domains, or IP addresses, that the certificate is for: one for all of them together.")
    ]
    data_directory: Annotated[
        str, doc("Where accounts and certificates are kept; `acme` in gproxy's own state directory if empty.")
    ] = ""
    default_server_name: Annotated[
        str, doc("The name that a client gets who asks for none: one of `domain`, since they share a certificate.")
    ] = ""
    email: Annotated[str, doc("Address that the authority may write to.")] = ""
    provider: Annotated[str, doc("`letsencrypt`, `zerossl`, or the URL of an authority's directory.")] = "letsencrypt"
    disable_http_challenge: Annotated[bool, doc("Don't prove anything over HTTP.")] = False
    disable_tls_alpn_challenge: Annotated[bool, doc("Don't prove anything by a handshake.")] = False
    alternative_http_port: Annotated[
        Port, doc("Listen here instead of on port 80, which somebody forwards to it; 0: port 80.")
    ] = Port(0)
    alternative_tls_port: Annotated[
        Port, doc("Port of an inbound that somebody forwards port 443 to; 0: the inbound itself has port 443.")
    ] = Port(0)
    external_account: Annotated[ExternalAccount | None, doc("Account elsewhere that some authorities ask for.")] = None
    dns01_challenge: Annotated[
        DnsChallenge | None, doc("Prove by a DNS record, and in no other way: a table with `provider`.")
    ] = None

    def check(self) -> Iterator[tuple[str, str]]:
        """There are names, the authority is somewhere, and there is a way to prove what it wants to know."""
        yield from super().check()
        yield from self._check_names()
        if self.default_server_name and normal(self.default_server_name) not in self.names():
            yield "default_server_name", "expected one of `domain`"
        if self.provider not in _DIRECTORIES and not _is_url(self.provider, ("https",)):
            yield "provider", "expected `letsencrypt`, `zerossl` or a URL that begins with https://"
        if self.dns01_challenge is None and self.disable_http_challenge and self.disable_tls_alpn_challenge:
            yield "dns01_challenge", "expected this, or another challenge that is not disabled"
        if self.email and ("@" not in self.email or not self.email.isascii() or " " in self.email):
            yield "email", "expected an address such as `admin@example.org`"

    def _check_names(self) -> Iterator[tuple[str, str]]:
        if not 0 < len(self.domain) <= _MOST_NAMES:
            yield "domain", f"expected 1 to {_MOST_NAMES} domains"
        for name in self.domain:
            if not _is_name(name.removeprefix("*.")) or (name.startswith("*.") and _ip(name[2:]) is not None):
                yield "domain", f"{name}: not a domain or an IP address"
            elif name.startswith("*.") and self.dns01_challenge is None:
                yield "domain", f"{name}: a wildcard can be proved by `dns01_challenge` only"
            elif _ip(name) is not None and self.dns01_challenge is not None:
                yield "domain", f"{name}: an IP address can't be proved by `dns01_challenge`"

    def names(self) -> tuple[str, ...]:
        """The names as certificates have them: small letters, ASCII; each once."""
        return tuple(dict.fromkeys(normal(name) for name in self.domain))

    def directory(self) -> str:
        """The URL of the authority's directory."""
        return _DIRECTORIES.get(self.provider, self.provider)


class CertificateProvider(Item):
    """An entry of `certificate_providers`: `type` says what it is."""

    @classmethod
    def model_for(cls, tree: Mapping[str, Any], at: KeyPath, problems: list[Problem]) -> type[Options] | None:
        """The model of the `type`."""
        later = ("tailscale", "cloudflare-origin-ca")
        return _choose("certificate provider type", "type", cls.variants(), later, tree, at, problems)

    @classmethod
    def variants(cls) -> Mapping[str, type[Options]]:
        """Every type."""
        return {"acme": AcmeProvider}


class AcmeProvider(CertificateProvider, Acme):
    """Certificates from an authority that speaks ACME (RFC 8555), ordered and renewed by gproxy."""

    not_yet: ClassVar[tuple[str, ...]] = ("detour", "http_client")

    account_key: Annotated[Secret, doc("Private key of an account that exists, in PEM; one is made if empty.")] = (
        Secret("")
    )
    key_type: Annotated[KeyType, doc("Which private key the certificate has.")] = "p256"
    profile: Annotated[str, doc("Profile of the certificate, if the authority has several.")] = ""

    def check(self) -> Iterator[tuple[str, str]]:
        """ZeroSSL wants to know whose account it is."""
        yield from super().check()
        if self.provider == "zerossl" and not (self.email or self.external_account or self.account_key):
            yield "email", "ZeroSSL needs this, `external_account` or `account_key`"


def normal(name: str) -> str:
    """A name as certificates have it."""
    ip = _ip(name)
    if ip is not None:
        return str(ip)
    star, rest = ("*.", name[2:]) if name.startswith("*.") else ("", name)
    try:
        return star + rest.rstrip(".").encode("idna").decode("ascii").lower()
    except UnicodeError:
        return name.lower()


def server_of(text: str) -> tuple[IP, int] | None:
    """A name server's address and port; None if the text is not one."""
    if (ip := _ip(text.strip("[]"))) is not None:
        return ip, 53
    host, _, port = text.rpartition(":")
    ip = _ip(host.strip("[]"))
    if ip is None or not (port.isascii() and port.isdigit()) or not 0 < int(port[:6]) < 65536:
        return None
    return ip, int(port)


def _ip(text: str) -> IP | None:
    try:
        return parse_ip(text)
    except ValueError:
        return None


def _is_name(text: str) -> bool:
    """Whether this is an IP address, or a domain of at least two labels."""
    if _ip(text) is not None:
        return True
    name = normal(text)
    labels = name.split(".")
    plain = all(0 < len(each) < 64 and each.replace("-", "").isalnum() and each.isascii() for each in labels)
    return plain and len(labels) > 1 and len(name) <= _LONGEST_NAME and is_host(name)


def _is_url(text: str, schemes: tuple[str, ...]) -> bool:
    try:
        parts = urlsplit(text)
        parse_host(parts.hostname or "")
        parts.port  # noqa: B018 - raises for one that is none
    except ValueError:
        return False
    return parts.scheme in schemes and text.isascii() and all(character > " " for character in text)
