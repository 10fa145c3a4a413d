"""Which names led to which addresses: a client that connects to an address has mostly asked for its name before."""

from __future__ import annotations

from collections import OrderedDict
from typing import Final

from gproxy.base.address import IP, ip_from_packed
from gproxy.base.clock import now
from gproxy.wire.dns import types
from gproxy.wire.dns.message import Message

MOST: Final = 1024
"""Addresses that are remembered; as in sing-box."""

_LEAST: Final = 60.0
"""Seconds that an address is remembered at least: clients keep connections to it open, and open more of them."""


class Reverse:
    """Remembers for each address the name that was last asked for, about as long as the answer is good."""

    __slots__ = ("_names",)

    def __init__(self) -> None:
        self._names: OrderedDict[IP, tuple[str, float]] = OrderedDict()

    def note(self, answer: Message, ttl: int) -> None:
        """Remember what an answer says. `ttl` in seconds."""
        if answer.question is None or answer.rcode != types.NOERROR:
            return
        entry = answer.question.name, now() + max(ttl, _LEAST)
        for record in answer.answer:
            if (record.type, len(record.data)) in ((types.A, 4), (types.AAAA, 16)):
                ip = ip_from_packed(record.data)
                self._names[ip] = entry
                self._names.move_to_end(ip)
        while len(self._names) > MOST:
            self._names.popitem(last=False)

    def name_of(self, ip: IP) -> str:
        """The name that led to this address; empty if none is known."""
        entry = self._names.get(ip)
        if entry is None:
            return ""
        if now() >= entry[1]:
            del self._names[ip]
            return ""
        return entry[0]
