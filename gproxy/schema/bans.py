"""What can be configured about bans: after how many failures an address has to stay outside, and for how long."""

from __future__ import annotations

import re
from collections.abc import Iterator
from ipaddress import IPv4Network, IPv6Network
from typing import Annotated, Final, Literal

from gproxy.schema.fields import Cidr, Duration
from gproxy.schema.model import Options, doc

# What nft takes for a name without quotes.
_NAME: Final = re.compile(r"[A-Za-z_][A-Za-z0-9_.-]{0,63}", re.ASCII)

_LONGEST: Final = 10 * 365 * 86400.0


class WeightOptions(Options):
    """How much of a try each kind of failure is; 0 for none at all."""

    auth: Annotated[float, doc("A wrong password.", minimum=0, maximum=1000)] = 1.0
    replay: Annotated[float, doc("A handshake that was seen before.", minimum=0, maximum=1000)] = 1.0
    malformed: Annotated[float, doc("A handshake that is none of the inbound's protocol.", minimum=0, maximum=1000)] = (
        0.2
    )


class NftablesOptions(Options):
    """Sets of nftables that have the banned prefixes, so that the kernel drops their packets. `nft` must be there."""

    family: Annotated[Literal["inet", "ip", "ip6", "netdev"], doc("The family of the table.")] = "inet"
    table: Annotated[str, doc("The table.")]
    set_ipv4: Annotated[
        str, doc("The set for IPv4 prefixes, of the flags `interval` and `timeout`; none if empty.")
    ] = ""
    set_ipv6: Annotated[
        str, doc("The set for IPv6 prefixes, of the flags `interval` and `timeout`; none if empty.")
    ] = ""

    def check(self) -> Iterator[tuple[str, str]]:
        """There is a set, and all names are such."""
        yield from super().check()
        if not self.set_ipv4 and not self.set_ipv6:
            yield "", "expected a set: one of `set_ipv4`, `set_ipv6`"
        for key in ("table", "set_ipv4", "set_ipv6"):
            name = getattr(self, key)
            if (name or key == "table") and not _NAME.fullmatch(name):
                yield key, "expected a name of nftables: letters, digits, `_`, `.` and `-`"


class BanOptions(Options):
    """Addresses that fail again and again are shut out for a while, by all inbounds."""

    enabled: Annotated[bool, doc("Whether anybody is banned.")] = True
    tries: Annotated[float, doc("So many failures, by weight, within the window are a ban.", minimum=0.01)] = 5.0
    window: Annotated[Duration, doc("How long a failure counts.")] = Duration(600)
    duration: Annotated[Duration, doc("How long the first ban lasts.")] = Duration(60)
    growth: Annotated[
        float, doc("Each further ban is so many times as long as the one before.", minimum=1, maximum=1000)
    ] = 4.0
    max_duration: Annotated[
        Duration, doc("No ban lasts longer; who has been good for so long begins anew with the first one.")
    ] = Duration(86400)
    source_prefix_ipv4: Annotated[
        int, doc("IPv4 addresses with so many bits in common are banned together.", minimum=8, maximum=32)
    ] = 32
    source_prefix_ipv6: Annotated[
        int, doc("IPv6 addresses with so many bits in common are banned together.", minimum=16, maximum=128)
    ] = 64
    weights: Annotated[WeightOptions, doc("How much of a try each kind of failure is.")] = WeightOptions()
    allow: Annotated[tuple[Cidr, ...], doc("Addresses of these prefixes are never banned.")] = (
        IPv4Network("127.0.0.0/8"),
        IPv6Network("::1/128"),
    )
    path: Annotated[
        str, doc("The file that keeps bans over restarts; `bans.json` in the folder of gproxy's state if empty.")
    ] = ""
    nftables: Annotated[NftablesOptions | None, doc("Let the kernel drop packets of those who are banned.")] = None

    def check(self) -> Iterator[tuple[str, str]]:
        """Times that mean something."""
        yield from super().check()
        for key in ("window", "duration", "max_duration"):
            if not 1.0 <= getattr(self, key) <= _LONGEST:
                yield key, "expected a second at least, and ten years at most"
        if self.max_duration < self.duration:
            yield "max_duration", "is shorter than `duration`"
        if not any((self.weights.auth, self.weights.replay, self.weights.malformed)):
            yield "weights", "nothing counts: `enabled = false` bans nobody"
