"""Who may ask by datagrams, and how often he is answered.

The source of a datagram is whatever its sender wrote there. So a server that answers all of them sends somebody else
what others ask for: the more, the longer its answers are. Public sources are answered at a rate for each prefix. Beyond
it every other datagram gets an answer that is no longer than the question and tells who really asked to come back by
TCP, and the rest gets none.
"""

from __future__ import annotations

from typing import Final, Literal, Protocol

from gproxy.base.address import IP, parse_ip
from gproxy.base.clock import now

Verdict = Literal["answer", "shorten", "refuse", "drop"]
"""What becomes of a datagram: its answer; one that sends the client to TCP; a refusal; nothing."""


class Prefixes(Protocol):
    """A set of addresses."""

    def __contains__(self, ip: IP, /) -> bool: ...


_MOST_HOSTS: Final = 8192
_MOST_PREFIXES: Final = 8192

# A prefix that belongs to one customer, as response-rate limits of name servers have it.
_BITS: Final = {4: 32 - 24, 6: 128 - 56}


class Sources:
    """Judges datagrams by where they say that they come from, in bounded memory.

    When there are more prefixes than are remembered, the one that was seen first is forgotten: it begins anew.
    """

    __slots__ = ("_allowed", "_budgets", "_exempt", "_rate", "free")

    def __init__(self, allowed: Prefixes, exempt: Prefixes, rate: float) -> None:
        """`rate`: answers a second for each prefix, /24 or /56, that is not exempt; 0: as many as are asked for."""
        self._allowed = allowed
        self._exempt = exempt
        self._rate = rate
        self._budgets: dict[tuple[int, int], _Budget] = {}
        self.free: set[str] = set()
        """Hosts of which is known that each datagram gets its answer: whoever looks here first need not ask."""

    def allows(self, ip: IP) -> bool:
        """Whether this source may ask at all."""
        return ip in self._allowed

    def judge(self, host: str) -> Verdict:
        """What becomes of one datagram of this host, named as the kernel does. It counts."""
        if host in self.free:
            return "answer"
        ip = parse_ip(host)
        allowed = ip in self._allowed
        if not self._rate or ip in self._exempt:
            if allowed:
                self._remember(host)
            return "answer" if allowed else "refuse"
        budget = self._budget(ip)
        if budget.take(self._rate):
            return "answer" if allowed else "refuse"
        budget.slip = not budget.slip
        return "shorten" if allowed and budget.slip else "drop"

    def _remember(self, host: str) -> None:
        if len(self.free) >= _MOST_HOSTS:
            self.free.clear()
        self.free.add(host)

    def _budget(self, ip: IP) -> _Budget:
        key = ip.version, int(ip) >> _BITS[ip.version]
        budget = self._budgets.get(key)
        if budget is None:
            if len(self._budgets) >= _MOST_PREFIXES:
                del self._budgets[next(iter(self._budgets))]
            budget = self._budgets[key] = _Budget(self._rate)
        return budget


class _Budget:
    """What a prefix has left: a second's worth at most."""

    __slots__ = ("_left", "_when", "slip")

    def __init__(self, rate: float) -> None:
        self._left = rate
        self._when = now()
        self.slip = False

    def take(self, rate: float) -> bool:
        at = now()
        self._left = min(rate, self._left + (at - self._when) * rate)
        self._when = at
        if self._left < 1:
            return False
        self._left -= 1
        return True
