"""`gproxy ban`: the master reads the bans in the memory that it hands to everybody, and changes them there.

So nobody has to be asked, and all workers know at once. Standard library only.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from ipaddress import ip_network
from typing import Any, Final

from gproxy.limit.bans import Ban, BanTable, Network, shown
from gproxy.limit.memory import Memory
from gproxy.proc.admin import Request

NO_BANS: Final = "nobody is banned: the configuration has no table `bans`, or it is off"

_AT_ONCE: Final = 500  # bans of one answer
_LONGEST: Final = 10 * 365 * 86400.0


class BanDesk:
    """Answers the questions. `say` tells the log what was done."""

    def __init__(self, memory: Callable[[], Memory], say: Callable[[str, str], None]) -> None:
        self._memory = memory
        self._say = say
        self._opened: BanTable | None = None

    def _table(self) -> BanTable:
        if self._opened is None:
            self._opened = BanTable(self._memory())
        return self._opened

    def answer(self, request: Request, allow: Sequence[str] | None) -> None:
        """Do what is asked. `allow` are the prefixes that are never banned; None: nobody is, by the configuration."""
        if allow is None:
            request.answer(ok=False, error=NO_BANS)
            return
        try:
            answer = self._do(request.values, [ip_network(each) for each in allow])
        except ValueError as error:
            answer = {"ok": False, "error": str(error)}
        except OSError as error:
            answer = {"ok": False, "error": f"no shared memory: {error.strerror}"}
        request.answer(**answer)

    def _do(self, values: dict[str, Any], allow: list[Network]) -> dict[str, Any]:
        what = values.get("do")
        if what == "list":
            return self._list(values.get("first", 0))
        if what == "add":
            return self._add(_network(values.get("network")), values.get("seconds"), allow)
        if what == "remove":
            network = _network(values.get("network"))
            removed = self._table().remove(network)
            if removed:
                self._say("info", f"{shown(network)} is let in again: {_counted(len(removed))} removed by `gproxy ban`")
            return {"ok": True, "removed": [shown(each) for each in removed]}
        raise ValueError("do one of list, add, remove")

    def _list(self, first: object) -> dict[str, Any]:
        """Some of those in force, and from which row on there may be more; None: there are none."""
        if not isinstance(first, int) or first < 0:
            raise ValueError("a list begins at a row")
        bans: list[dict[str, Any]] = []
        row = first
        for row, ban in self._table().bans(first):
            if len(bans) == _AT_ONCE:
                return {"ok": True, "bans": bans, "next": row, "total": self._table().total}
            bans.append(_told(ban))
        return {"ok": True, "bans": bans, "next": None, "total": self._table().total}

    def _add(self, network: Network, seconds: object, allow: list[Network]) -> dict[str, Any]:
        if not isinstance(seconds, int | float) or not math.isfinite(seconds) or not 1 <= seconds <= _LONGEST:
            raise ValueError("a ban lasts a second at least, and ten years at most")
        for each in allow:
            if each.version == network.version and network.subnet_of(each):  # type: ignore[arg-type]
                raise ValueError(f"{shown(network)} is never banned: `bans.allow` has {shown(each)}")
        ban = self._table().add(network, float(seconds))
        self._say("info", f"{shown(network)} is banned for {seconds:.0f} s by `gproxy ban`")
        return {"ok": True, "ban": _told(ban)}


def numbers_of(table: BanTable) -> dict[str, int]:
    """How many are banned now, and how many bans there have been."""
    return {"banned": sum(1 for _ in table.bans()), "total": table.total}


def _network(text: object) -> Network:
    """Raises ValueError."""
    if isinstance(text, str):
        try:
            network = ip_network(text, strict=False)
        except ValueError:
            pass
        else:
            mapped = network.network_address.ipv4_mapped if network.version == 6 else None
            return ip_network(f"{mapped}/{network.prefixlen - 96}") if mapped is not None else network
    raise ValueError("expected an IP address, or a prefix such as 192.0.2.0/24")


def _told(ban: Ban) -> dict[str, Any]:
    return {
        "network": shown(ban.network), "left": round(ban.left, 1), "length": ban.length, "times": ban.times,
        "reason": ban.reason,
    }  # fmt: skip


def _counted(number: int) -> str:
    return "1 ban was" if number == 1 else f"{number} bans were"
