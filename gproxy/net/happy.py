"""Happy eyeballs (RFC 8305 section 5, in the form that Go's dialer and sing-box have).

The first address's family is tried first, its addresses one after the other; when it has not succeeded after
`fallback_delay`, or has failed, the other family is tried beside it. The first open connection wins.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from gproxy.base.address import IP
from gproxy.base.errors import DialError
from gproxy.base.iface import Stream
from gproxy.rt.group import Group
from gproxy.rt.sync import Empty, Queue

ConnectTo = Callable[[IP], Stream]


def race(addresses: Sequence[IP], connect: ConnectTo, fallback_delay: float) -> Stream:
    """The first stream that opens. Raises the first family's last DialError when none does."""
    primary = [ip for ip in addresses if ip.version == addresses[0].version]
    fallback = [ip for ip in addresses if ip.version != addresses[0].version]
    if not fallback:
        return _in_turn(primary, connect)
    return _Race(connect).run(primary, fallback, fallback_delay)


def _in_turn(addresses: Sequence[IP], connect: ConnectTo) -> Stream:
    failure = DialError("no address to try", reason="dns")
    for ip in addresses:
        try:
            return connect(ip)
        except DialError as error:
            failure = error
    raise failure


class _Race:
    """Two families, each in a greenlet of its own. What opens beside the winner is closed."""

    def __init__(self, connect: ConnectTo) -> None:
        self._connect = connect
        self._finish: Queue[tuple[int, Stream | DialError]] = Queue()

    def run(self, primary: Sequence[IP], fallback: Sequence[IP], delay: float) -> Stream:
        try:
            with Group("happy eyeballs") as runners:
                return self._watch(runners, primary, fallback, delay)
        finally:  # the runners are over; what they left here came too late
            while not self._finish.empty():
                _, late = self._finish.get_nowait()
                if not isinstance(late, DialError):
                    late.close()

    def _watch(self, runners: Group, primary: Sequence[IP], fallback: Sequence[IP], delay: float) -> Stream:
        runners.spawn(self._try, 0, primary)
        failures: dict[int, DialError] = {}
        try:
            lane, result = self._finish.get(timeout=max(delay, 0.001))
        except Empty:
            pass
        else:
            if not isinstance(result, DialError):
                return result
            failures[lane] = result
        runners.spawn(self._try, 1, fallback)
        while len(failures) < 2:
            lane, result = self._finish.get()
            if not isinstance(result, DialError):
                return result
            failures[lane] = result
        raise failures[0]

    def _try(self, lane: int, addresses: Sequence[IP]) -> None:
        try:
            self._finish.put((lane, _in_turn(addresses, self._connect)))
        except DialError as error:
            self._finish.put((lane, error))
