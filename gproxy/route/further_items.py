"""The match items about clients, this machine, places and times: what they look at was collected before the walk.

`machine_parts` is for all who have such items, rule sets as well; the others are for route rules and DNS rules.
"""

# ruff: noqa: SIM110 - any() would make a generator for each session

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from ipaddress import IPv4Interface, IPv6Interface
from typing import TYPE_CHECKING

from gproxy.base.address import IP
from gproxy.base.session import Owner, Session
from gproxy.route.cidrs import NOT_PUBLIC, CidrSet
from gproxy.route.context import Context, Mode, Parts
from gproxy.route.further_options import MEANINGLESS, FurtherConditions
from gproxy.route.items import domain_of
from gproxy.route.moment import WEEKDAYS, Almanac, DayRange, minutes_of
from gproxy.route.regex import compile_any
from gproxy.route.surroundings import Prefix, Surroundings, Watch
from gproxy.route.wildcard import compile_wildcards

if TYPE_CHECKING:
    from gproxy.route.headless import HeadlessRule

Addresses = Callable[[Session], tuple[IP, ...]]


def never(session: Session) -> bool:
    """For items that ask for what nobody here can tell."""
    return False


def machine_parts(options: FurtherConditions | HeadlessRule, context: Context) -> Parts:
    """The items about the client's process and about this machine that rule sets have too. Each must match."""
    needs = context.facts.needs
    if options.process_name or options.process_path or options.process_path_regex:
        needs.ask("owner")
    if options.process_name:
        yield "process_name", OwnerItem(_name_of, options.process_name).match
    if options.process_path:
        yield "process_path", OwnerItem(_path_of, options.process_path).match
    if options.process_path_regex:
        yield "process_path_regex", ProcessRegexItem(options.process_path_regex).match
    for item in MEANINGLESS:
        if getattr(options, item):
            yield item, never
    if options.wifi_ssid or options.wifi_bssid:
        needs.ask("wifi")
    if options.wifi_ssid:
        yield "wifi_ssid", WifiSsidItem(context.facts.watch, options.wifi_ssid).match
    if options.wifi_bssid:
        yield "wifi_bssid", WifiBssidItem(context.facts.watch, options.wifi_bssid).match
    if options.default_interface_address:
        needs.ask("surroundings")
        prefixes = [
            each.network if isinstance(each, IPv4Interface | IPv6Interface) else each
            for each in options.default_interface_address
        ]
        yield "default_interface_address", DefaultInterfaceItem(context.facts.watch, prefixes).match


def single_parts(options: FurtherConditions, context: Context) -> Parts:
    """All items that stand by themselves. Each must match."""
    needs = context.facts.needs
    if options.clash_mode:
        yield "clash_mode", ModeItem(context.mode, options.clash_mode).match
    if options.weekday or options.time_of_day:
        yield from _times(options)
    if options.dscp:
        needs.ask("dscp")
        yield "dscp", DscpItem(options.dscp).match
    if options.user or options.user_id or options.user_group or options.process_unit:
        needs.ask("owner")
    if options.user_id:
        yield "user_id", OwnerItem(_user_id_of, options.user_id).match
    if options.user:
        yield "user", OwnerItem(_user_of, options.user).match
    if options.user_group:
        yield "user_group", GroupItem(options.user_group).match
    if options.process_unit:
        yield "process_unit", OwnerItem(_unit_of, options.process_unit).match
    if options.source_mac_address:
        needs.ask("mac")
        yield "source_mac_address", SourceMacItem(options.source_mac_address).match
    if options.source_hostname:
        needs.ask("hostname")
        yield "source_hostname", SourceHostnameItem(options.source_hostname).match
    yield from machine_parts(options, context)
    if options.interface_address:
        needs.ask("surroundings")
        yield "interface_address", InterfaceItem(context.facts.watch, options.interface_address).match


def _times(options: FurtherConditions) -> Parts:
    almanac = Almanac(options.time_zone)
    if options.weekday:
        yield "weekday", WeekdayItem(almanac, options.weekday).match
    if options.time_of_day:
        yield "time_of_day", TimeItem(almanac, options.time_of_day).match


def source_parts(options: FurtherConditions, context: Context) -> Parts:
    """The items about the client's address. Any must match, or any other such item."""
    yield from _places(options.source_geoip, options.source_ip_asn, context, source_of, "source_")


def target_parts(options: FurtherConditions, context: Context) -> Parts:
    """The items about the target's name and address. Any must match, or any other such item."""
    if options.domain_wildcard:
        yield "domain_wildcard", WildcardItem(options.domain_wildcard).match
    if options.geosite:
        yield from context.sites(options.geosite)
    yield from _places(options.geoip, options.ip_asn, context, targets_of, "")


def _places(codes: Sequence[str], numbers: Sequence[int], context: Context, of: Addresses, prefix: str) -> Parts:
    if "private" in codes:
        yield f"{prefix}geoip", PrivateItem(of).match
    countries = frozenset(codes) - {"private"}
    if countries:
        yield f"{prefix}geoip", CountryItem(of, context.countries(countries)).match
    if numbers:
        yield f"{prefix}ip_asn", AsnItem(of, context.asns(), numbers).match


def source_of(session: Session) -> tuple[IP, ...]:
    """The client's address, if it has one."""
    host = session.source.host
    return () if isinstance(host, str) else (host,)


def targets_of(session: Session) -> tuple[IP, ...]:
    """The target, or what a domain was resolved to."""
    host = session.target.host
    return session.addresses if isinstance(host, str) else (host,)


def _name_of(owner: Owner) -> str:
    return owner.path.rpartition("/")[2]


def _path_of(owner: Owner) -> str:
    return owner.path


def _user_of(owner: Owner) -> str:
    return owner.user


def _user_id_of(owner: Owner) -> int:
    return owner.user_id


def _unit_of(owner: Owner) -> str:
    return owner.unit


class OwnerItem:
    """One fact of the client's process is one of these."""

    __slots__ = ("_of", "_wanted")

    def __init__(self, of: Callable[[Owner], str | int], wanted: Iterable[str | int]) -> None:
        self._of = of
        self._wanted = frozenset(wanted)

    def match(self, session: Session) -> bool:
        owner = session.owner
        return owner is not None and self._of(owner) in self._wanted


class ProcessRegexItem:
    """One of these expressions finds something in the path of the client's executable."""

    __slots__ = ("_searches",)

    def __init__(self, expressions: Sequence[str]) -> None:
        self._searches = compile_any(expressions)

    def match(self, session: Session) -> bool:
        if session.owner is not None and session.owner.path:
            path = session.owner.path.encode(errors="surrogateescape")
            for search in self._searches:
                if search(path) is not None:
                    return True
        return False


class GroupItem:
    """The user of the client's process is in one of these groups."""

    __slots__ = ("_groups",)

    def __init__(self, groups: Iterable[str]) -> None:
        self._groups = frozenset(groups)

    def match(self, session: Session) -> bool:
        return session.owner is not None and not self._groups.isdisjoint(session.owner.groups)


class SourceMacItem:
    """The client has one of these MAC addresses."""

    __slots__ = ("_macs",)

    def __init__(self, macs: Iterable[str]) -> None:
        self._macs = frozenset(macs)

    def match(self, session: Session) -> bool:
        return session.source_mac in self._macs


class SourceHostnameItem:
    """The client has one of these names in a lease."""

    __slots__ = ("_names",)

    def __init__(self, names: Iterable[str]) -> None:
        self._names = frozenset(name.lower() for name in names)

    def match(self, session: Session) -> bool:
        return session.source_hostname in self._names


class DscpItem:
    """The client's packets carry one of these code points."""

    __slots__ = ("_points",)

    def __init__(self, points: Iterable[int]) -> None:
        self._points = frozenset(points)

    def match(self, session: Session) -> bool:
        return session.dscp in self._points


class ModeItem:
    """This is the mode now."""

    __slots__ = ("_mode", "_wanted")

    def __init__(self, mode: Mode, wanted: str) -> None:
        self._mode = mode
        self._wanted = wanted.lower()

    def match(self, session: Session) -> bool:
        return self._mode.name == self._wanted


class WeekdayItem:
    """It is one of these days."""

    __slots__ = ("_almanac", "_days")

    def __init__(self, almanac: Almanac, days: Iterable[str]) -> None:
        self._almanac = almanac
        self._days = frozenset(WEEKDAYS.index(day) for day in days)

    def match(self, session: Session) -> bool:
        return self._almanac.read()[0] in self._days


class TimeItem:
    """It is a time in one of these ranges."""

    __slots__ = ("_almanac", "_minutes")

    def __init__(self, almanac: Almanac, ranges: Iterable[DayRange]) -> None:
        self._almanac = almanac
        self._minutes = minutes_of(ranges)

    def match(self, session: Session) -> bool:
        return self._minutes[self._almanac.read()[1]] == 1


class WifiSsidItem:
    """This machine is in one of these Wi-Fi networks."""

    __slots__ = ("_names", "_watch")

    def __init__(self, watch: Watch, names: Iterable[str]) -> None:
        self._watch = watch
        self._names = frozenset(names)

    def match(self, session: Session) -> bool:
        for network in self._watch.now.wifi:
            if network.ssid in self._names:
                return True
        return False


class WifiBssidItem:
    """This machine is connected to one of these access points."""

    __slots__ = ("_macs", "_watch")

    def __init__(self, watch: Watch, macs: Iterable[str]) -> None:
        self._watch = watch
        self._macs = frozenset(mac.lower() for mac in macs)

    def match(self, session: Session) -> bool:
        for network in self._watch.now.wifi:
            if network.bssid in self._macs:
                return True
        return False


class InterfaceItem:
    """Each of these interfaces has an address whose network touches one of its prefixes."""

    __slots__ = ("_matches", "_seen", "_wanted", "_watch")

    def __init__(self, watch: Watch, wanted: Mapping[str, Sequence[Prefix]]) -> None:
        self._watch = watch
        self._wanted = tuple(wanted.items())
        self._seen: Surroundings | None = None
        self._matches = False

    def match(self, session: Session) -> bool:
        here = self._watch.now
        if here is not self._seen:
            self._seen = here
            self._matches = all(_touch(prefixes, here.addresses.get(name, ())) for name, prefixes in self._wanted)
        return self._matches


class DefaultInterfaceItem:
    """Each of these prefixes touches the network of an address of the interface of the default route."""

    __slots__ = ("_matches", "_seen", "_wanted", "_watch")

    def __init__(self, watch: Watch, wanted: Iterable[Prefix]) -> None:
        self._watch = watch
        self._wanted = tuple(wanted)
        self._seen: Surroundings | None = None
        self._matches = False

    def match(self, session: Session) -> bool:
        here = self._watch.now
        if here is not self._seen:
            self._seen = here
            networks = here.addresses.get(here.default, ()) if here.default else ()
            self._matches = all(_touch((prefix,), networks) for prefix in self._wanted)
        return self._matches


def _touch(prefixes: Sequence[Prefix], networks: Sequence[Prefix]) -> bool:
    return any(
        prefix.version == network.version and prefix.overlaps(network) for prefix in prefixes for network in networks
    )


class WildcardItem:
    """The domain is of one of these kinds."""

    __slots__ = ("_is_one",)

    def __init__(self, wildcards: Iterable[str]) -> None:
        self._is_one = compile_wildcards(wildcards)

    def match(self, session: Session) -> bool:
        name = domain_of(session)
        return name != "" and self._is_one(name) is not None


class PrivateItem:
    """An address is not a public one."""

    __slots__ = ("_cidrs", "_of")

    def __init__(self, of: Addresses) -> None:
        self._of = of
        self._cidrs = CidrSet(NOT_PUBLIC)

    def match(self, session: Session) -> bool:
        for ip in self._of(session):
            if ip in self._cidrs:
                return True
        return False


class CountryItem:
    """An address is in one of these countries."""

    __slots__ = ("_in_country", "_of")

    def __init__(self, of: Addresses, in_country: Callable[[IP], bool]) -> None:
        self._of = of
        self._in_country = in_country

    def match(self, session: Session) -> bool:
        for ip in self._of(session):
            if self._in_country(ip):
                return True
        return False


class AsnItem:
    """An address is in one of these autonomous systems."""

    __slots__ = ("_asn_of", "_numbers", "_of")

    def __init__(self, of: Addresses, asn_of: Callable[[IP], int], numbers: Iterable[int]) -> None:
        self._of = of
        self._asn_of = asn_of
        self._numbers = frozenset(numbers)

    def match(self, session: Session) -> bool:
        for ip in self._of(session):
            if self._asn_of(ip) in self._numbers:
                return True
        return False
