"""What limits, bans and metrics cost a new connection, measured inside a process that does nothing else."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from ipaddress import IPv4Address, IPv4Network
from math import inf

from gproxy.base.address import Address
from gproxy.base.clock import now
from gproxy.base.session import Session
from gproxy.engine.admission import Access, Admission
from gproxy.limit.bans import Bans, BanTable, Policy
from gproxy.limit.ledger import Ledger
from gproxy.limit.limits import KNOWN, ROUTED, Limit, Limits
from gproxy.limit.memory import Memory
from gproxy.observe.meter import Meter
from gproxy.route.cidrs import CidrSet
from tests.bench.apart import sample_of
from tests.bench.sampling import MICRO, Figures, Measure, Row

_ADDRESSES = 1_000
_BANNED = 1_000
_ROUNDS = 100  # of all of them in turn
_BATCH = 50  # connections that are timed together
_LIMIT = 60.0  # seconds for all of it

_ROWS = (
    Row("limits-none", "nothing configured: the same loop without it", "µs"),
    Row("limits-rate", "a rate of connections for each address", "µs", limit=3),
    Row("limits-ceiling", "a ceiling of connections for each address, given back", "µs", limit=3),
    Row("limits-bytes", "rates of bytes for each address", "µs", limit=3),
    Row("limits-life", "a rate of connections and rates of bytes, and a message each way", "µs", limit=8),
    Row("limits-access", "an access list of 100 prefixes", "µs", limit=3),
    Row("metrics-each", "metrics: what is counted for each connection", "µs", limit=3),
    Row("bans-nobody", "bans, and nobody is banned", "µs", limit=1),
    Row("bans-some", f"bans, and {_BANNED:,} others are banned", "µs", limit=5),
)


MEASURES = (Measure("limits", _ROWS, (sample_of("tests.bench.limits", _LIMIT),), group="limits"),)


def measured() -> Figures:
    """Microseconds for one connection, beyond those of the loop around it."""
    sessions = [
        Session(1, "tcp", "in", Address(IPv4Address(0x0A000000 + number), 9), Address("x.test", 80))
        for number in range(_ADDRESSES)
    ]
    clients = {name: _client_of(admission) for name, admission in _admissions().items()}
    both = Limit("x", each=("source",), connections_rate=1e6, connections_burst=1e6, up=1e9, down=1e9, burst=1e9)
    clients["limits-life"] = _life_of(_limited(both))
    least = dict.fromkeys(("limits-none", *clients), inf)
    for _ in range(_ROUNDS):
        for name in least:
            least[name] = min(least[name], _time(clients.get(name, _arrive), sessions))
    counted = [
        min(_time(_counted_by(Meter(detailed=detailed)), sessions) for _ in range(_ROUNDS))
        for detailed in (False, True)
    ]
    least["metrics-each"] = least["limits-none"] + counted[1] - counted[0]
    loop = least["limits-none"]
    return {name: seconds if name == "limits-none" else seconds - loop for name, seconds in least.items()}


def _life_of(admission: Admission) -> Callable[[Session], None]:
    """All that a session asks of limits, from its arrival to its end."""

    def live(session: Session) -> None:
        session.began = now()
        admission.admit(session)
        held = session.held
        assert held is not None
        part = held.part()
        held.settled()
        part.look(session, KNOWN)
        part.look(session, ROUTED)
        for toll in part.tolls():
            toll.pay(100)
        part.close()
        held.close()

    return live


def _admissions() -> dict[str, Admission]:
    prefixes = [IPv4Network((0xC0000200 + number, 32)) for number in range(100)]
    nobody, some = (Bans(BanTable(Memory()), Policy(), CidrSet(())) for _ in range(2))
    for number in range(_BANNED):
        some.table.add(IPv4Network((0xC6336400 + number, 32)), 3600)
    return {
        "limits-rate": _limited(Limit("x", each=("source",), connections_rate=1e6, connections_burst=1e6)),
        "limits-ceiling": _limited(Limit("x", each=("source",), max_connections=1000)),
        "limits-bytes": _limited(Limit("x", each=("source",), up=1e6, down=1e6)),
        "limits-access": Admission(Access(None, CidrSet(prefixes)), None),
        "bans-nobody": Admission(Access(None, None, nobody), None, nobody),
        "bans-some": Admission(Access(None, None, some), None, some),
    }


def _limited(limit: Limit) -> Admission:
    memory = Memory()
    Ledger(memory).join()  # another worker's
    limits = Limits([limit], Ledger(memory))
    limits.join()
    return Admission(None, limits)


def _arrive(session: Session) -> None:
    """What is done without limits too."""
    session.began = now()


def _client_of(admission: Admission) -> Callable[[Session], None]:
    def come(session: Session) -> None:
        session.began = now()
        admission.admit(session)
        if session.held is not None:
            session.held.close()

    return come


def _counted_by(meter: Meter) -> Callable[[Session], None]:
    """What boundary and dispatcher tell the meter about one session."""
    door = meter.door("in")

    def come(session: Session) -> None:
        began = session.began = now()
        meter.begin()
        door.opened += 1
        door.active += 1
        meter.shook_hands(session)
        account = meter.account(session, "tcp")
        meter.dialled("out", began)
        if account is not None:
            account.way("out").up += 1
        meter.answered("out", 0.001)
        meter.record("ok", 1, 1, session)
        if account is not None:
            account.leave()
        meter.leave()
        door.active -= 1

    return come


def _time(come: Callable[[Session], None], sessions: list[Session]) -> float:
    """Microseconds for one, in the best batch: they are small, so that some come when nobody takes the caches away."""
    times = []
    for first in range(0, len(sessions), _BATCH):
        batch = sessions[first : first + _BATCH]
        began = time.perf_counter()
        for session in batch:
            come(session)
        times.append((time.perf_counter() - began) / len(batch))
    return min(times) * MICRO


if __name__ == "__main__":
    print(json.dumps(measured()))
