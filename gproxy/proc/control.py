"""The control process of a generation: what is not a client's bytes.

It sums up what the workers count, and keeps the plugins running that are programs of their own.
"""

from __future__ import annotations

import contextlib
from collections import Counter
from collections.abc import Sequence
from typing import Any

from gproxy.app.messages import Reopen, Serve, Yield
from gproxy.config.root import Root
from gproxy.layers.plugin.external import Plugin
from gproxy.layers.plugin.keeper import Keeper
from gproxy.observe.log import setup
from gproxy.proc.orders import KINDS, AskStatus, Counted, Status
from gproxy.proc.place import Place
from gproxy.proc.post import Post, PostClosed
from gproxy.rt.patch import begin_anew
from gproxy.rt.sockets import READ, WRITE, Readiness


class Ledger:
    """The counters of all workers, dead ones included, so that totals never fall."""

    def __init__(self) -> None:
        self._latest: dict[tuple[int, int], dict[str, Any]] = {}
        self._life: dict[int, int] = {}

    def note(self, counted: Counted) -> None:
        """The newest snapshot of a worker in one of its lives."""
        self._latest[counted.worker, counted.life] = counted.counters
        self._life[counted.worker] = max(counted.life, self._life.get(counted.worker, 0))

    def totals(self) -> dict[str, Any]:
        """Sums over all lives; `active` over the present ones."""
        statuses: Counter[str] = Counter()
        sums = {"opened": 0, "active": 0, "up": 0, "down": 0}
        for (worker, life), counters in self._latest.items():
            statuses.update(counters["statuses"])
            for name in sums:
                if name != "active" or life == self._life[worker]:
                    sums[name] += counters[name]
        return {**sums, "statuses": dict(statuses)}


def main(place: Place, root: Root, plugins: Sequence[Plugin]) -> None:
    """Answer the template until it says no more; the last word are the final counters."""
    begin_anew()
    sink = setup(root.log)
    sink.start()
    readable, writable = Readiness(place.channel.fileno(), READ), Readiness(place.channel.fileno(), WRITE)
    post = Post(place.channel, KINDS, lambda _: readable.wait(), lambda _: writable.wait())
    ledger = Ledger()
    try:
        with Keeper(plugins) as keeper:
            while True:
                message, _ = post.receive()
                if isinstance(message, Counted):
                    ledger.note(message)
                elif isinstance(message, AskStatus):
                    post.send(Status(message.request, ledger.totals()))
                elif isinstance(message, Serve):
                    keeper.start()
                elif isinstance(message, Yield):
                    keeper.make_room()
                elif isinstance(message, Reopen):
                    with contextlib.suppress(OSError):  # the workers say so
                        sink.reopen()
    except PostClosed:
        with contextlib.suppress(PostClosed):  # it may have ended without waiting for the last word
            post.send(Status(0, ledger.totals()))
    sink.close()
