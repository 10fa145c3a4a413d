"""The match items about clients, this machine, places and times; see `gproxy.route.options` for all others."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from typing import Annotated

from gproxy.route.fields import DomainRegex
from gproxy.route.moment import DayRange, TimeZone
from gproxy.route.values import AsNumber, Code, CodePoint, Mac, NetworkType, UserId, Weekday
from gproxy.route.wildcard import DomainWildcard
from gproxy.schema.fields import Cidr
from gproxy.schema.model import Options, doc

MEANINGLESS: tuple[str, ...] = (
    "package_name", "package_name_regex", "network_type", "network_is_expensive", "network_is_constrained",
    "network_interface_address",
)  # fmt: skip
"""Items that ask for what only Android, Apple's systems and graphical clients tell: they never match here."""

DATABASES = {"geoip": "geoip", "source_geoip": "geoip", "ip_asn": "asn", "source_ip_asn": "asn", "geosite": "geosite"}
"""The items that ask a database, and the table of `route` that says where it is."""

_NEVER = "Never matches on Linux; "


class FurtherConditions(Options):
    """Match items about clients, this machine, places and times."""

    domain_wildcard: Annotated[
        tuple[DomainWildcard, ...],
        doc("The target is a domain of this kind: `*` is any text, `?` any character. Not in sing-box."),
    ] = ()
    geosite: Annotated[
        tuple[Code, ...], doc("The target is a domain in this list of `route.geosite`. Not in sing-box since 1.12.")
    ] = ()
    source_geoip: Annotated[
        tuple[Code, ...],
        doc("The client's address is in this country, by `route.geoip`, or `private`. Not in sing-box since 1.12."),
    ] = ()
    geoip: Annotated[
        tuple[Code, ...],
        doc(
            "The target, or an address that it was resolved to, is in this country, by `route.geoip`, or `private`. "
            "Not in sing-box since 1.12."
        ),
    ] = ()
    source_ip_asn: Annotated[
        tuple[AsNumber, ...],
        doc("The client's address is in this autonomous system, by `route.asn`. Not in sing-box."),
    ] = ()
    ip_asn: Annotated[
        tuple[AsNumber, ...],
        doc("The target, or an address that it was resolved to, is in this autonomous system. Not in sing-box."),
    ] = ()
    process_name: Annotated[
        tuple[str, ...], doc("The client is a process of this machine whose executable has this name.")
    ] = ()
    process_path: Annotated[tuple[str, ...], doc("The same with the executable's full path.")] = ()
    process_path_regex: Annotated[
        tuple[DomainRegex, ...], doc("The same: this regular expression (RE2) finds something in the path.")
    ] = ()
    process_unit: Annotated[
        tuple[str, ...],
        doc("The client is a process of this systemd unit, such as `nginx.service`. Not in sing-box."),
    ] = ()
    package_name: Annotated[tuple[str, ...], doc(f"{_NEVER}Android's packages.")] = ()
    package_name_regex: Annotated[tuple[DomainRegex, ...], doc(f"{_NEVER}Android's packages.")] = ()
    user: Annotated[tuple[str, ...], doc("The client is a process of this user of this machine.")] = ()
    user_id: Annotated[tuple[UserId, ...], doc("The same by the user's number.")] = ()
    user_group: Annotated[
        tuple[str, ...], doc("The client is a process of a user of this machine who is in this group. Not in sing-box.")
    ] = ()
    clash_mode: Annotated[str, doc("This is the mode now, in whatever case: see `route.default_mode`.")] = ""
    network_type: Annotated[tuple[NetworkType, ...], doc(f"{_NEVER}graphical clients tell it.")] = ()
    network_is_expensive: Annotated[bool, doc(f"{_NEVER}graphical clients tell it.")] = False
    network_is_constrained: Annotated[bool, doc(f"{_NEVER}Apple's systems tell it.")] = False
    wifi_ssid: Annotated[tuple[str, ...], doc("This machine is in the Wi-Fi network of this name.")] = ()
    wifi_bssid: Annotated[tuple[Mac, ...], doc("This machine is connected to this Wi-Fi access point.")] = ()
    interface_address: Annotated[
        dict[str, tuple[Cidr, ...]],
        doc("By interface: each of these has an address whose network touches one of its prefixes."),
    ] = dataclasses.field(default_factory=dict)
    network_interface_address: Annotated[dict[str, tuple[Cidr, ...]], doc(f"{_NEVER}graphical clients tell it.")] = (
        dataclasses.field(default_factory=dict)
    )
    default_interface_address: Annotated[
        tuple[Cidr, ...],
        doc("Each of these prefixes touches the network of an address of the interface of the default route."),
    ] = ()
    source_mac_address: Annotated[
        tuple[Mac, ...], doc("The client has this MAC address, by the kernel's neighbours or a DHCP lease.")
    ] = ()
    source_hostname: Annotated[tuple[str, ...], doc("The client has this name in a DHCP lease.")] = ()
    dscp: Annotated[
        tuple[CodePoint, ...],
        doc(
            "The client's packets carry this code point: 0 to 63, or `ef`, `af41`, `cs1` and the like. Not in sing-box."
        ),
    ] = ()
    time_of_day: Annotated[
        tuple[DayRange, ...], doc("It is this late: `08:00-17:30`, or over midnight `22:00-06:00`. Not in sing-box.")
    ] = ()
    weekday: Annotated[
        tuple[Weekday, ...], doc("It is this day: `mon`, `tue`, `wed`, `thu`, `fri`, `sat`, `sun`. Not in sing-box.")
    ] = ()
    time_zone: Annotated[
        TimeZone, doc("Where it is that late and that day, such as `Europe/Berlin`; this machine's zone if empty.")
    ] = TimeZone()

    def check(self) -> Iterator[tuple[str, str]]:
        """What is said about something has that something."""
        yield from super().check()
        if self.time_zone and not (self.time_of_day or self.weekday):
            yield "time_zone", "expected `time_of_day` or `weekday` beside it"
        for kind in self.network_interface_address:
            if kind not in NetworkType.words:
                yield "network_interface_address", f"`{kind}` is no kind of network"


class Database(Options):
    """A file that is asked about addresses or domains."""

    not_yet = ("download_url", "download_detour")

    path: Annotated[str, doc("The file.")] = ""
