"""The types of values that only rules have."""

from __future__ import annotations

from collections.abc import Mapping
from ipaddress import IPv4Address, IPv6Address
from typing import Annotated, Any, ClassVar, Self

from gproxy.base.address import Host, parse_host
from gproxy.route.regex import RegexError, compile_regex
from gproxy.route.sniff import NAMES as SNIFFERS
from gproxy.schema.fields import Parsed
from gproxy.schema.problem import BadValue, expected, near_miss


class Word(str):
    """One of a few words; some others are known, and refused by that name."""

    __slots__ = ()

    words: ClassVar[tuple[str, ...]] = ()
    not_yet: ClassVar[tuple[str, ...]] = ()

    @classmethod
    def parse(cls, value: object) -> Self:
        """Read one of the words. Raises BadValue."""
        if not isinstance(value, str):
            raise expected("text", value)
        if value in cls.not_yet:
            raise BadValue(f"`{value}` is not supported yet")
        if value not in cls.words:
            listed = ", ".join(f"`{word}`" for word in cls.words)
            raise BadValue(f"expected one of {listed}", near_miss(value, cls.words))
        return cls(value)

    @classmethod
    def json_schema(cls) -> dict[str, Any]:
        """One of the words."""
        return {"enum": list(cls.words)}


class NetworkName(Word):
    """What a session carries: a stream or datagrams."""

    __slots__ = ()
    words = ("tcp", "udp")
    not_yet = ("icmp",)


class ActionName(Word):
    """What a matching rule does."""

    __slots__ = ()
    words = ("route", "reject", "route-options", "hijack-dns", "resolve", "sniff", "bypass")


class SnifferName(Word):
    """A sniffer, and the protocol that it finds."""

    __slots__ = ()
    words = SNIFFERS


class MethodName(Word):
    """How a session is refused."""

    __slots__ = ()
    words = ("default", "drop")
    not_yet = ("reply",)


_TEXT: Mapping[str, Any] = {"type": "string"}


class DomainName(str):
    """A domain as sessions have it: lower-case, in ASCII, without the final dot."""

    __slots__ = ()

    @classmethod
    def parse(cls, value: object) -> Self:
        """Read a domain. Raises BadValue."""
        return cls(_domain(value, "a domain such as `example.org`"))

    @classmethod
    def json_schema(cls) -> dict[str, Any]:
        """Text."""
        return dict(_TEXT)


class DomainSuffix(str):
    """A domain that stands for itself and all below it, or with a leading dot only for those below."""

    __slots__ = ()

    @classmethod
    def parse(cls, value: object) -> Self:
        """Read a suffix. Raises BadValue."""
        what = "a domain suffix such as `example.org` or `.example.org`"
        if isinstance(value, str) and value[:1] == ".":
            return cls("." + _domain(value[1:], what))
        return cls(_domain(value, what))

    @classmethod
    def json_schema(cls) -> dict[str, Any]:
        """Text."""
        return dict(_TEXT)


def _domain(value: object, what: str) -> str:
    if not isinstance(value, str):
        raise expected(what, value)
    try:
        host = parse_host(value)
    except ValueError:
        raise BadValue(f"expected {what}") from None
    if not isinstance(host, str):
        raise BadValue(f"expected {what}, got an IP address", "`ip_cidr` is for addresses")
    return host


class DomainKeyword(str):
    """Text that a domain contains, in lower case."""

    __slots__ = ()

    @classmethod
    def parse(cls, value: object) -> Self:
        """Read a keyword. Raises BadValue: domains are compared in ASCII, so others could never match."""
        if not isinstance(value, str):
            raise expected("text", value)
        if not value or not value.isascii():
            raise BadValue("expected a part of a domain, in ASCII")
        return cls(value.lower())

    @classmethod
    def json_schema(cls) -> dict[str, Any]:
        """Text that is not empty."""
        return {"type": "string", "minLength": 1}


class DomainRegex(str):
    """A regular expression in the syntax of RE2."""

    __slots__ = ()

    @classmethod
    def parse(cls, value: object) -> Self:
        """Read an expression. Raises BadValue with what RE2 says about it."""
        if not isinstance(value, str):
            raise expected("a regular expression", value)
        try:
            compile_regex(value)
        except RegexError as error:
            raise BadValue(f"expected a regular expression of RE2: {error}") from None
        return cls(value)

    @classmethod
    def json_schema(cls) -> dict[str, Any]:
        """Text; the dialect is RE2's, so JSON schema's `regex` format would be wrong."""
        return dict(_TEXT)


def _parse_host(value: object) -> Host:
    if not isinstance(value, str):
        raise expected("an IP address or a domain", value)
    try:
        return parse_host(value)
    except ValueError:
        raise BadValue("expected an IP address or a domain") from None


HostText = Annotated[IPv4Address | IPv6Address | str, Parsed(_parse_host, _TEXT)]
"""An IP address or a domain."""
