"""Bans that the kernel knows too: it drops the packets of those who are banned, and nobody here is woken by them.

The sets are the administrator's, who has made them and rules that look into them:

    table inet filter {
        set banned4 { type ipv4_addr; flags interval, timeout; }
        set banned6 { type ipv6_addr; flags interval, timeout; }
        chain input {
            type filter hook input priority filter; policy accept;
            ip saddr @banned4 drop
            ip6 saddr @banned6 drop
        }
    }

Elements have a time-out, so that they end by themselves, also without gproxy.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Callable, Iterable, Sequence
from itertools import islice
from typing import Final

from gproxy.base.clock import now
from gproxy.base.errors import GproxyError
from gproxy.limit.bans import Ban, Network, shown
from gproxy.rt.child import Child
from gproxy.rt.deadline import deadline
from gproxy.schema.bans import NftablesOptions

_log = logging.getLogger("gproxy.service.bans")

_LIMIT: Final = 10.0  # seconds for one call of nft
_FURTHER: Final = "/usr/sbin:/sbin"  # where nft is, which not everybody's path has
_AT_ONCE: Final = 500  # elements of one call: their text has to fit into an argument

# Of what nft complains, so much is told.
_SAID: Final = 300

# Times that differ by less are the same; what ends so soon ends by itself. In seconds.
_SAME: Final = 1.5


class _Late(GproxyError):
    """It does not end."""


Run = Callable[[Sequence[str]], str]
"""Runs a program; what it has complained of, empty if all went well. Raises OSError if there is none."""


def run_program(argv: Sequence[str]) -> str:
    """See Run."""
    child = Child(argv, {"PATH": f"{os.environ.get('PATH', os.defpath)}:{_FURTHER}"})
    try:
        with deadline(_LIMIT, _Late()):
            said = b""
            while data := child.read():
                said = (said + data)[: 4 * _SAID]
            ended = child.wait()
    except _Late:
        child.end(0.0)
        return f"it does not end within {_LIMIT:.0f} s"
    finally:
        child.close()
    return "" if ended == "exit status 0" else said.decode("utf-8", "replace").strip() or ended


class Nftables:
    """The sets of one configuration. At first they are emptied: others who were here before have filled them."""

    def __init__(self, options: NftablesOptions, run: Run = run_program) -> None:
        self._run = run
        self._sets = {
            version: f"{options.family} {options.table} {name}"
            for version, name in ((4, options.set_ipv4), (6, options.set_ipv6))
            if name
        }
        self._known: dict[Network, float] | None = None  # what the kernel has, and until when; None: nobody knows
        self._failing = False

    def show(self, bans: list[Ban], *, anew: bool = False) -> bool:
        """See Sets. Where the kernel has not what we believe, all is done anew; what goes wrong then is told once."""
        at = now()
        wanted = {ban.network: at + ban.left for ban in _widest(bans) if ban.network.version in self._sets}
        if anew or self._known is None or self._tell(self._changes(self._known, wanted, at)):
            all_of_it = [f"flush set {name}" for name in self._sets.values()]
            all_of_it += [self._add(network, until - at) for network, until in wanted.items()]
            problem = self._tell(all_of_it)
            self._note(problem)
            self._known = None if problem else wanted
        else:
            self._known = wanted
        return self._known is not None

    def _changes(self, known: dict[Network, float], wanted: dict[Network, float], at: float) -> list[str]:
        """First what is to go: what is there still may overlap with what is to come."""
        longer = {network for network, until in wanted.items() if abs(until - known.get(network, 0.0)) > _SAME}
        gone = (
            f"delete element {self._sets[network.version]} {{ {shown(network)} }}"
            for network, until in known.items()
            if until - at > _SAME and (network not in wanted or network in longer)
        )
        return [*gone, *(self._add(network, wanted[network] - at) for network in wanted if network in longer)]

    def _add(self, network: Network, seconds: float) -> str:
        timeout = max(1, round(seconds))
        return f"add element {self._sets[network.version]} {{ {shown(network)} timeout {timeout}s }}"

    def _tell(self, commands: Iterable[str]) -> str:
        """What nft complains of; empty if all went well."""
        rest = iter(commands)
        while batch := list(islice(rest, _AT_ONCE)):
            try:
                problem = self._run(["nft", "; ".join(batch)])
            except OSError as error:
                problem = f"nft: {error.strerror}"
            if problem:
                return problem
        return ""

    def _note(self, problem: str) -> None:
        if problem and not self._failing:
            _log.error("the kernel is not told about bans: %s", " ".join(problem.split())[:_SAID])
        elif self._failing and not problem:
            _log.info("the kernel is told about bans again")
        self._failing = bool(problem)


def _widest(bans: list[Ban]) -> list[Ban]:
    """Without those that lie within another one: intervals of a set don't overlap. The wide ones are few."""
    wide = [ban.network for ban in bans if ban.network.prefixlen < ban.network.max_prefixlen]
    return [ban for ban in bans if not any(_lies_within(ban.network, other) for other in wide)]


def _lies_within(network: Network, other: Network) -> bool:
    return (
        network.version == other.version
        and network.prefixlen > other.prefixlen
        and int(network.network_address) & int(other.netmask) == int(other.network_address)
    )
