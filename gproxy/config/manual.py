"""The manual's tables, made from the models: `python -m gproxy.config.manual docs/configuration.md` renews them."""

from __future__ import annotations

import sys
import types
from collections.abc import Iterator
from ipaddress import IPv4Address, IPv6Address
from pathlib import Path
from typing import Annotated, Any, Literal, Union, get_args, get_origin

from gproxy.config.bytype import DNS_SERVER, INBOUND, OUTBOUND, SERVICE, ByType
from gproxy.config.logs import AccessLogOptions, AuditLogOptions, LogOptions
from gproxy.config.root import DnsTable, Root
from gproxy.config.runtime import RuntimeOptions
from gproxy.dns.options import DnsRuleOptions, OptimisticOptions
from gproxy.route.options import RouteOptions, RuleOptions
from gproxy.schema.acme import Acme, CertificateProvider, DnsChallenge, ExternalAccount
from gproxy.schema.bans import BanOptions, NftablesOptions, WeightOptions
from gproxy.schema.fields import ByteSize, Cidr, Duration, IPAddress, Mark, Port, PortRange, RulePortRange, Secret
from gproxy.schema.groups import (
    AccessOptions,
    Bind,
    BreakerOptions,
    Dial,
    DomainResolver,
    Item,
    KeepAlive,
    Listen,
    Server,
    UdpOverTcp,
    User,
)
from gproxy.schema.limits import LimitOptions, Rate
from gproxy.schema.model import Field, Options, fields_of, not_yet_of
from gproxy.schema.transport import Transport

MARK = (
    "<!-- Below this line everything is made from the models: python -m gproxy.config.manual docs/configuration.md -->"
)

_GROUPS: dict[type[Options], str] = {
    Item: "Every entry", Server: "Server", Bind: "Listening", Listen: "Inbounds", Dial: "Dial", KeepAlive: "Keep-alive",
    DomainResolver: "`domain_resolver`, as a table", User: "Users",
    AccessOptions: "`access`", BreakerOptions: "`breaker`",
    Acme: "ACME", DnsChallenge: "DNS challenge", UdpOverTcp: "UDP over TCP, as a table",
}  # fmt: skip
_NAMES: dict[Any, str] = {
    str: "text", int: "integer", float: "number", bool: "boolean", Duration: "duration", ByteSize: "size", Port: "port",
    PortRange: "port range", RulePortRange: "port range", Mark: "mark", Secret: "secret text", IPAddress: "IP address",
    Cidr: "IP prefix", Rate: "rate", IPv4Address: "IP address", IPv6Address: "IP address",
}  # fmt: skip


def manual() -> str:
    """The generated part of docs/configuration.md."""
    return "\n".join([*_sections(), ""])


def renew(page: str) -> str:
    """The page with its generated part made anew."""
    return page[: page.index(MARK)] + MARK + "\n\n" + manual()


def _sections() -> Iterator[str]:
    yield from _section("Top level", Root)
    yield from _section("`log`", LogOptions)
    yield from _section("`log.access`", AccessLogOptions, level=3)
    yield from _section("`log.audit`", AuditLogOptions, level=3)
    yield from _section("`runtime`", RuntimeOptions)
    yield from _section("`limits[]`", LimitOptions)
    yield from _section("`bans`", BanOptions)
    yield from _section("`bans.weights`", WeightOptions, level=3)
    yield from _section("`bans.nftables`", NftablesOptions, level=3)
    yield from ("## Groups of keys", "", "Types of inbounds, outbounds and services share these.", "")
    for group, title in _GROUPS.items():
        yield from _section(title, group, level=3)
    for name, model in Transport.variants().items():
        yield from _section(f"`transport`, type `{name}`", model, level=3)
    yield from _types("inbounds", INBOUND)
    yield from _types("outbounds", OUTBOUND)
    yield from _types("services", SERVICE)
    yield from ("## `certificate_providers[]`", "")
    for name, model in CertificateProvider.variants().items():
        yield from _section(f"`{name}`", model, level=3)
    yield from _section("`external_account`", ExternalAccount, level=3)
    for name, model in DnsChallenge.variants().items():
        yield from _section(f"`dns01_challenge`, provider `{name}`", model, level=3)
    yield from _section("`dns`", DnsTable)
    for name, model in DnsRuleOptions.variants().items():
        yield from _section(f"`dns.rules[]`, type `{name}`", model, level=3)
    yield from _section("`optimistic`, as a table", OptimisticOptions, level=3)
    yield from _types("dns.servers", DNS_SERVER)
    yield from _section("`route`", RouteOptions)
    for name, model in RuleOptions.variants().items():
        yield from _section(f"`route.rules[]`, type `{name}`", model, level=3)


def _types(section: str, chooser: ByType) -> Iterator[str]:
    yield from (f"## `{section}[]`", "")
    for name, model in chooser.variants().items():
        yield from _section(f"`{name}`", model, level=3)


def _section(title: str, model: type[Options], level: int = 2) -> Iterator[str]:
    """A heading, what the model says of itself, its table, and what it does not do yet."""
    groups = [group for group in _GROUPS if issubclass(model, group) and model is not group]
    groups = [group for group in groups if not any(other is not group and issubclass(other, group) for other in groups)]
    shared = {key for group in groups for key in fields_of(group)}
    yield from (f"{'#' * level} {title}", "", (model.__doc__ or "").strip().split("\n")[0], "")
    names = [f"**{_GROUPS[group]}**" for group in groups]
    if names:
        yield from (f"With the keys of {' and '.join(names)}.", "")
    own = [field for key, field in fields_of(model).items() if key not in shared]
    if own:
        yield from ("| key | type | default | |", "|---|---|---|---|")
        yield from (_row(field) for field in own)
        yield ""
    later = sorted(not_yet_of(model).difference(*(not_yet_of(group) for group in groups)))
    if later:
        yield from ("Not supported yet: " + ", ".join(f"`{key}`" for key in later) + ".", "")


def _row(field: Field) -> str:
    default = "required" if field.required else _shown(field.default)
    return f"| `{field.name}` | {_kind(field.kind)} | {default} | {field.doc.text.replace('|', chr(92) + '|')} |"


def _shown(value: Any) -> str:
    if value is None or value in ("", (), {}) or isinstance(value, Options | Secret):
        return ""
    return f"`{str(value).lower() if isinstance(value, bool) else value!s}`"


def _kind(kind: Any) -> str:
    """A field's type in the words of the manual."""
    origin = get_origin(kind)
    if kind in _NAMES:
        return _NAMES[kind]
    if origin is tuple:
        return f"list of {_kind(get_args(kind)[0])}"
    if origin is dict:
        return f"table of {_kind(get_args(kind)[1])}"
    if origin is Literal:
        return " or ".join(f"`{choice}`" for choice in get_args(kind) if choice != "")
    if origin is Union or origin is types.UnionType:
        return " or ".join(dict.fromkeys(_kind(member) for member in get_args(kind) if member is not type(None)))
    if origin is Annotated:
        return _kind(kind.__origin__)
    if isinstance(kind, type) and issubclass(kind, Options):
        return "table"
    return "text" if issubclass(kind, str) else "integer or text"


if __name__ == "__main__":
    page = Path(sys.argv[1])
    page.write_text(renew(page.read_text("utf-8")), "utf-8")
