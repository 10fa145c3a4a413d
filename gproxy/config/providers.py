"""What tables of certificates can't know by themselves: who shows them, and where authorities would look for proofs."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from ipaddress import IPv6Address
from typing import Any

from gproxy.config.bytype import INBOUND
from gproxy.config.listening import Listening, listening
from gproxy.config.tree import Entry
from gproxy.schema.acme import Acme, CertificateProvider
from gproxy.schema.model import read_chosen
from gproxy.schema.problem import KeyPath, Problem
from gproxy.schema.tls import TlsListen

_HTTP, _HTTPS = 80, 443
_ANY = IPv6Address("::")


@dataclass(slots=True)
class Shown:
    """A certificate that is to be ordered, and the ports of the inbounds that show it."""

    path: KeyPath
    options: Acme
    ports: list[tuple[int, int]] = field(default_factory=list)

    def problems(self) -> Iterator[Problem]:
        """Whether anything can be proved at all."""
        options = self.options
        if options.dns01_challenge is not None:
            for key in ("alternative_http_port", "alternative_tls_port"):
                if getattr(options, key):
                    yield Problem((*self.path, key), "has no effect beside `dns01_challenge`", at_key=True)
            return
        port = int(options.alternative_tls_port) or _HTTPS
        found = any(first <= port <= last for first, last in self.ports)
        if options.alternative_tls_port and not found:
            yield Problem(
                (*self.path, "alternative_tls_port"), f"no inbound that shows this certificate listens on port {port}"
            )
        elif options.disable_http_challenge and not found:
            hint = (
                f"an inbound on port {port}, `alternative_tls_port`, `dns01_challenge` or the HTTP challenge would do"
            )
            yield Problem(self.path, "nothing can be proved to the authority in this way", hint)

    def listening(self) -> Iterator[Listening]:
        """Where authorities ask over HTTP."""
        if self.options.dns01_challenge is None and not self.options.disable_http_challenge:
            port = int(self.options.alternative_http_port) or _HTTP
            yield Listening("tcp", _ANY, port, port, "", (*self.path, "alternative_http_port"))


def shown(providers: Mapping[str, Entry], inbounds: list[Entry]) -> list[Shown]:
    """All that are to be ordered; tables that are wrong in themselves are left out, since that is told elsewhere."""
    by_tag: dict[str, Shown] = {}
    for tag, (path, entry) in providers.items():
        options = read_chosen(CertificateProvider, entry, path, [])
        if isinstance(options, Acme):
            by_tag[tag] = Shown(path, options)
    own: list[Shown] = []
    for path, entry in inbounds:
        options = read_chosen(INBOUND, entry, path, [])
        provider = options.tls.provider() if isinstance(options, TlsListen) and options.tls.enabled else None
        if provider is None:
            continue
        if isinstance(provider, str):
            found = by_tag.get(provider)
        else:
            found = next((each for each in own if each.options == provider), None)
            if found is None:
                key = "acme" if options.tls.acme is provider else "certificate_provider"
                found = Shown((*path, "tls", key), provider)
                own.append(found)
        if found is not None:
            found.ports += _ports(options, path)
    return [*by_tag.values(), *own]


def _ports(options: Any, path: KeyPath) -> list[tuple[int, int]]:
    try:
        return [(each.first, each.last) for each in listening(options, path) if each.what == "tcp"]
    except ValueError:
        return []


def names_provider(entry: Mapping[str, Any]) -> str:
    """The tag of the provider that an inbound names; empty if it names none."""
    tls = entry.get("tls")
    tag = tls.get("certificate_provider") if isinstance(tls, dict) else None
    return tag if isinstance(tag, str) else ""
