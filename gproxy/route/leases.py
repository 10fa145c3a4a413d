"""What DHCP servers have written down about whom they gave an address: names of clients, and their MAC addresses.

Four programs' files are read, whatever they are called: dnsmasq's, odhcpd's, ISC dhcpd's and Kea's memory files. They
are other programs' files: a line that can't be read is left out.
"""

from __future__ import annotations

import contextlib
import os
import re
import stat
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from gproxy.base.address import IP, MAX_DOMAIN, parse_ip
from gproxy.base.clock import now, wall
from gproxy.rt.offload import offload

USUAL: tuple[str, ...] = (
    "/tmp/dhcp.leases", "/tmp/hosts/odhcpd",  # noqa: S108 - of routers that keep them in memory
    "/var/lib/misc/dnsmasq.leases", "/var/lib/dnsmasq/dnsmasq.leases",
    "/var/lib/dhcp/dhcpd.leases", "/var/lib/dhcp/dhcpd6.leases", "/var/lib/dhcpd/dhcpd.leases",
    "/var/lib/kea/kea-leases4.csv", "/var/lib/kea/kea-leases6.csv",
    "/var/lib/kea/dhcp4.leases", "/var/lib/kea/dhcp6.leases",
)  # fmt: skip
"""Where those programs keep them, if nobody says otherwise."""

_LARGEST = 8 * 2**20
_MOST = 65_536
_LOOK = 1.0  # seconds between looks whether a file has changed

_ISC_BLOCK = re.compile(r"(?m)^[ \t]*(?:lease[ \t]+[0-9.]{7,15}|iaaddr[ \t]+[0-9a-fA-F:]{2,45})[ \t]*\{")
_ODHCPD_LINE = re.compile(r"(?m)^# \S+ [0-9a-fA-F]+ \S+ \S+ -?[0-9]+ [0-9a-fA-F]+ [0-9]+ ")
_MAC = re.compile(r"(?:[0-9a-f]{2}:){5}[0-9a-f]{2}")
_ISC = re.compile(
    r"""(?m)^[ \t]*(?P<open>lease[ \t]+(?P<ip>[0-9.]{7,15})|iaaddr[ \t]+(?P<ip6>[0-9a-fA-F:]{2,45}))[ \t]*\{"""
    r"""|\bhardware[ \t]+ethernet[ \t]+(?P<mac>[0-9a-fA-F:]{11,17})[ \t]*;"""
    r"""|\bclient-hostname[ \t]+"(?P<name>[^"\n]{1,255})"[ \t]*;"""
    r"""|^[ \t]*binding[ \t]+state[ \t]+(?P<state>[a-z]{1,20})[ \t]*;"""
    r"""|^[ \t]*(?P<close>\})"""
)


@dataclass(frozen=True, slots=True)
class Lease:
    """One client's. What is not told is empty."""

    ip: IP
    mac: str = ""  # lower-case with colons
    hostname: str = ""  # lower-case
    until: float = 0.0  # in seconds since the epoch; 0: for ever


@dataclass(slots=True)
class _Known:
    by_ip: dict[IP, Lease] = field(default_factory=dict)
    names: dict[str, str] = field(default_factory=dict)  # by MAC address


class Leases:
    """The leases of some files, read again when one of them has changed."""

    def __init__(self, paths: Sequence[str] = USUAL) -> None:
        self._paths = tuple(paths)
        self._known = _Known()
        self._seen: tuple[object, ...] = ()
        self._look = 0.0

    def refresh(self) -> None:
        """Look whether the files have changed, once a second at most. It waits while they are read."""
        if now() < self._look:
            return
        self._look = now() + _LOOK
        seen = tuple(_state(path) for path in self._paths)
        if seen != self._seen:
            self._seen = seen
            self._known = offload(_read_all, self._paths)

    def mac(self, ip: IP) -> str:
        """Of the client with this address; empty if no lease tells."""
        lease = self._lease(ip)
        return "" if lease is None else lease.mac

    def hostname(self, ip: IP, mac: str) -> str:
        """Of the client with this address, or else with this MAC address; empty if no lease tells."""
        lease = self._lease(ip)
        if lease is not None and lease.hostname:
            return lease.hostname
        return self._known.names.get(mac, "") if mac else ""

    def _lease(self, ip: IP) -> Lease | None:
        lease = self._known.by_ip.get(ip)
        return None if lease is None or (lease.until and lease.until < wall()) else lease


def _state(path: str) -> object:
    try:
        found = os.stat(path)  # noqa: PTH116 - once a second, for a list of names
    except OSError:
        return None
    return found.st_ino, found.st_size, found.st_mtime_ns


def _read_all(paths: Iterable[str]) -> _Known:
    known = _Known()
    for path in paths:
        try:
            text = _read(path)
        except OSError:
            continue
        for lease in read_leases(text):
            if len(known.by_ip) >= _MOST:
                return known
            known.by_ip[lease.ip] = lease
            if lease.mac and lease.hostname and (not lease.until or lease.until >= wall()):
                known.names[lease.mac] = lease.hostname
    return known


def _read(path: str) -> str:
    """What the file says; of a very large one the end, where the newest stands. Raises OSError.

    In a directory where everybody may make files, only what root or this user has made is a DHCP server's.
    """
    descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    with open(descriptor, "rb") as file:
        found = os.fstat(descriptor)
        if not stat.S_ISREG(found.st_mode) or (_open_to_all(path) and found.st_uid not in {0, os.geteuid()}):
            return ""
        file.seek(max(0, found.st_size - _LARGEST))
        return file.read(_LARGEST).decode("utf-8", "replace")


def _open_to_all(path: str) -> bool:
    return bool(Path(path).parent.stat().st_mode & stat.S_IWOTH)


def read_leases(text: str) -> Iterator[Lease]:
    """The leases of a file of any of the four programs, in its order; what comes later counts."""
    if text.startswith("address,"):
        yield from _kea(text)
    elif _ISC_BLOCK.search(text):
        yield from _isc(text)
    elif _ODHCPD_LINE.search(text):
        yield from _odhcpd(text)
    else:
        yield from _dnsmasq(text)


def _dnsmasq(text: str) -> Iterator[Lease]:
    """`expiry mac ip name client-id`; for IPv6, below a line `duid …`, an IAID stands in the place of the MAC."""
    for line in text.splitlines():
        parts = line.split()
        if len(parts) >= 4 and parts[0].isascii() and parts[0].isdigit() and len(parts[0]) < 20:
            mac = parts[1].lower().removeprefix("01-")
            yield from _lease(parts[2], mac if _MAC.fullmatch(mac) else "", parts[3], float(parts[0]))


def _odhcpd(text: str) -> Iterator[Lease]:
    """`# interface duid iaid name expiry assigned length address/bits …`; `-` and `-1` stand for none and for ever.

    For IPv4 the client's MAC address stands in the place of the DUID, without colons.
    """
    for line in text.splitlines():
        parts = line.split()
        if len(parts) < 9 or parts[0] != "#":
            continue
        until = float(parts[5]) if re.fullmatch("[0-9]{1,19}", parts[5]) else 0.0
        mac = ":".join(re.findall("..", parts[2].lower())) if parts[3] == "ipv4" else ""
        for address in parts[8:72]:  # nobody has more
            yield from _lease(address.partition("/")[0], mac if _MAC.fullmatch(mac) else "", parts[4], until)


def _isc(text: str) -> Iterator[Lease]:
    """`lease ADDRESS { hardware ethernet MAC; client-hostname "NAME"; binding state active; … }`: dhcpd.leases(5)."""
    ip, mac, name, state = "", "", "", ""
    for match in _ISC.finditer(text):
        if match["open"]:
            ip, mac, name, state = match["ip"] or match["ip6"] or "", "", "", ""
        elif match["mac"]:
            mac = match["mac"].lower()
        elif match["name"]:
            name = match["name"]
        elif match["state"]:
            state = match["state"]
        elif ip:
            # A lease that is over is kept, so that it replaces the one before, but tells nothing.
            over = state not in {"", "active", "static"}
            yield from _lease(ip, "" if over or not _MAC.fullmatch(mac) else mac, "" if over else name, 0.0)
            ip = ""


def _kea(text: str) -> Iterator[Lease]:
    """Comma-separated, with a first line that names the columns; the state 0 is a lease that holds."""
    import csv

    rows = csv.DictReader(text.splitlines(), strict=False)
    with contextlib.suppress(csv.Error):
        for row in rows:
            holds = row.get("state") in {"0", "", None} and (row.get("valid_lifetime") or "") != "0"
            mac = (row.get("hwaddr") or "").lower()
            expire = row.get("expire") or ""
            until = float(expire) if re.fullmatch("[0-9]{1,19}", expire) else 0.0
            name = row.get("hostname") or ""
            good = _MAC.fullmatch(mac) is not None
            yield from _lease(row.get("address") or "", mac if holds and good else "", name if holds else "", until)


def _lease(ip: str, mac: str, name: str, until: float) -> Iterator[Lease]:
    name = name.lower().rstrip(".")
    if name in {"*", "-"} or len(name) > MAX_DOMAIN or not name.isprintable():
        name = ""
    try:
        yield Lease(parse_ip(ip), mac, name, until)
    except ValueError:
        return
