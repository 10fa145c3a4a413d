"""The match items: each looks at one fact of a session, and makes no list or set for it."""

# ruff: noqa: SIM110 - any() would make a generator for each session

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Literal

from gproxy.base.session import Session
from gproxy.route.cidrs import CidrSet
from gproxy.route.domains import DomainSet, DomainTrie
from gproxy.route.ranges import Bounds, Ranges
from gproxy.route.regex import compile_any


class InboundItem:
    """The session came in by one of these inbounds."""

    __slots__ = ("_tags",)

    def __init__(self, tags: Iterable[str]) -> None:
        self._tags = frozenset(tags)

    def match(self, session: Session) -> bool:
        return session.inbound in self._tags


class IpVersionItem:
    """The target is an IP address of this family. A domain has none, even if its addresses are known."""

    __slots__ = ("_version",)

    def __init__(self, version: Literal[4, 6]) -> None:
        self._version = version

    def match(self, session: Session) -> bool:
        host = session.target.host
        return not isinstance(host, str) and host.version == self._version


class NetworkItem:
    """The session carries a stream (tcp) or datagrams (udp)."""

    __slots__ = ("_networks",)

    def __init__(self, networks: Iterable[str]) -> None:
        self._networks = frozenset(networks)

    def match(self, session: Session) -> bool:
        return session.network in self._networks


class AuthUserItem:
    """The client has proved to be one of these users."""

    __slots__ = ("_names",)

    def __init__(self, names: Iterable[str]) -> None:
        self._names = frozenset(names)

    def match(self, session: Session) -> bool:
        return session.user in self._names


class ProtocolItem:
    """A sniff has found one of these protocols."""

    __slots__ = ("_protocols",)

    def __init__(self, protocols: Iterable[str]) -> None:
        self._protocols = frozenset(protocols)

    def match(self, session: Session) -> bool:
        sniffed = session.sniffed
        return sniffed is not None and sniffed.protocol in self._protocols


class ClientItem:
    """A sniff has found that the client is one of these programs."""

    __slots__ = ("_clients",)

    def __init__(self, clients: Iterable[str]) -> None:
        self._clients = frozenset(clients)

    def match(self, session: Session) -> bool:
        sniffed = session.sniffed
        return sniffed is not None and sniffed.client in self._clients


def domain_of(session: Session) -> str:
    """The domain that the session is about: what was sniffed, or else the target's name; empty if it has none."""
    sniffed = session.sniffed
    if sniffed is not None and sniffed.domain:
        return sniffed.domain.lower()
    host = session.target.host
    return host if isinstance(host, str) else ""


class DomainItem:
    """The domain is one of these, or below one of these suffixes."""

    __slots__ = ("_domains",)

    def __init__(self, domains: DomainSet | DomainTrie) -> None:
        self._domains = domains

    def match(self, session: Session) -> bool:
        name = domain_of(session)
        return name != "" and name in self._domains


class DomainKeywordItem:
    """The domain contains one of these texts."""

    __slots__ = ("_keywords",)

    def __init__(self, keywords: Iterable[str]) -> None:
        self._keywords = tuple(keywords)

    def match(self, session: Session) -> bool:
        name = domain_of(session)
        if name:
            for keyword in self._keywords:
                if keyword in name:
                    return True
        return False


class DomainRegexItem:
    """One of these expressions finds something in the domain."""

    __slots__ = ("_searches",)

    def __init__(self, expressions: Sequence[str]) -> None:
        self._searches = compile_any(expressions)

    def match(self, session: Session) -> bool:
        name = domain_of(session).encode()
        if name:
            for search in self._searches:
                if search(name) is not None:
                    return True
        return False


class SourceIpItem:
    """The client's address is in one of these prefixes."""

    __slots__ = ("_cidrs",)

    def __init__(self, cidrs: CidrSet) -> None:
        self._cidrs = cidrs

    def match(self, session: Session) -> bool:
        host = session.source.host
        return not isinstance(host, str) and host in self._cidrs


class TargetIpItem:
    """The target, or any address that its domain was resolved to, is in one of these prefixes."""

    __slots__ = ("_cidrs",)

    def __init__(self, cidrs: CidrSet) -> None:
        self._cidrs = cidrs

    def match(self, session: Session) -> bool:
        host = session.target.host
        if not isinstance(host, str):
            return host in self._cidrs
        for address in session.addresses:
            if address in self._cidrs:
                return True
        return False


class SourcePortItem:
    """The client's port is in one of these ranges."""

    __slots__ = ("_ports",)

    def __init__(self, ranges: Iterable[Bounds]) -> None:
        self._ports = Ranges(ranges)

    def match(self, session: Session) -> bool:
        return session.source.port in self._ports


class TargetPortItem:
    """The target's port is in one of these ranges."""

    __slots__ = ("_ports",)

    def __init__(self, ranges: Iterable[Bounds]) -> None:
        self._ports = Ranges(ranges)

    def match(self, session: Session) -> bool:
        return session.target.port in self._ports
