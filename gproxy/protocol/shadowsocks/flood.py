"""Floods of garbage: to find out that a packet is garbage takes as long as to open a good one.

Of a host that has sent much garbage within this second, only some packets are tried. That holds for those that would
begin a session; clients that are served are heard as ever. Who forges the addresses of others can make it harder for
them to begin, one second long, and has to go on with it.
"""

from __future__ import annotations

from typing import Final

from gproxy.base.clock import now
from gproxy.base.errors import Overloaded
from gproxy.base.iface import Admit
from gproxy.protocol.shadowsocks.packets import Dropped

# So many bad packets of one host are tried in a second, some hundredths of the CPU; behind them one of so many.
_ENOUGH: Final = 1000
_ONE_OF: Final = 8

# So many hosts are remembered, each for the rest of its second. A flood from more of them is tried as it comes.
_HOSTS: Final = 4096

_NOT_TRIED: Final = Overloaded("too much garbage from there to try each packet")


class Sieve:
    """Stands before an entrance's `admit`."""

    __slots__ = ("_admit", "_bad", "_dropped", "_second")

    def __init__(self, admit: Admit, dropped: Dropped) -> None:
        self._admit = admit
        self._dropped = dropped
        self._second = 0
        self._bad: dict[str, int] = {}  # packets of this second, by host

    def admit(self, packet: bytes, host: str) -> bool:
        """Whether the packet may begin a session (see PacketEntrance)."""
        second = int(now())
        if second != self._second:
            self._second = second
            self._bad.clear()
        bad = self._bad.get(host, 0)
        if bad >= _ENOUGH and bad % _ONE_OF:
            self._bad[host] = bad + 1
            self._dropped.note(host, _NOT_TRIED)
            return False
        if self._admit(packet, host):
            return True
        if bad or len(self._bad) < _HOSTS:
            self._bad[host] = bad + 1
        return False
