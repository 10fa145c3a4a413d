"""What every measure works with: the origin, the load process, and the running peers."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Hashable
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import TypeVar, cast

from tests.bench.load import Client
from tests.bench.origin import Origin
from tests.bench.peers import PROGRAMS, Peer, Running
from tests.bench.worker import Worker

R = TypeVar("R", bound=Running)


@dataclass(frozen=True, slots=True)
class Work:
    """How much one sample does. A tick of noise must be small beside it."""

    bulk_bytes: int
    connections: int
    requests: int
    first_bytes: int
    idle: tuple[int, int]  # connections held at the first and at the second reading of memory
    datagrams: int
    many: int
    quiet_seconds: float


FULL = Work(
    bulk_bytes=1_000_000_000,
    connections=4000,
    requests=30_000,
    first_bytes=1000,
    idle=(500, 2000),
    datagrams=40_000,
    many=5000,
    quiet_seconds=5.0,
)
QUICK = Work(
    bulk_bytes=400_000_000,
    connections=1500,
    requests=10_000,
    first_bytes=300,
    idle=(200, 1000),
    datagrams=10_000,
    many=5000,
    quiet_seconds=1.0,
)


class Bench:
    """A context that stops whatever it started, in reverse order, whatever happens."""

    def __init__(self, commands: dict[str, list[str]], work: Work) -> None:
        self.names = list(commands)
        self._commands = commands
        self.work = work
        self._stack = ExitStack()
        self._shared: dict[tuple[str, str, int], Peer] = {}
        self._kept: dict[Hashable, Running] = {}
        self._crowd: list[Worker[Client]] = []
        self._made = 0

    def __enter__(self) -> Bench:
        with self._stack as stack:  # undone here if a later step fails
            self._home = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="gproxy-bench-")))
            self.origin = Origin()
            stack.callback(self.origin.stop)
            self.client = Worker(Client)
            stack.callback(self._stop_client)
            self._stack = stack.pop_all()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stack.close()

    def new_client(self) -> None:
        """Replace the load processes, and with them all the connections that they hold."""
        self._stop_client()
        self.client = Worker(Client)

    def crowd(self, size: int) -> list[Worker[Client]]:
        """So many more load processes, forked when first asked for."""
        while len(self._crowd) < size:
            self._crowd.append(Worker(Client))
        return self._crowd[:size]

    def shared(self, name: str, level: str = "warn", cpus: int = 0) -> Peer:
        """A peer that is started when first asked for, and serves all samples. For `cpus` see Peer."""
        key = (name, level, cpus)
        if key not in self._shared or not self._shared[key].alive():
            self._shared[key] = peer = self._start(name, level, cpus)
            self._stack.callback(peer.stop)
        return self._shared[key]

    def fresh(self, name: str, cpus: int = 0) -> Peer:
        """A peer just started; the caller stops it. For `cpus` see Peer."""
        return self._start(name, "warn", cpus)

    def kept(self, key: Hashable, start: Callable[[], R]) -> R:
        """What `start` has started for this key, when first asked for; it serves all samples."""
        running = self._kept.get(key)
        if running is None or not running.alive():
            self._kept[key] = running = start()
            self._stack.callback(running.stop)
        return cast(R, running)

    def command(self, name: str) -> list[str]:
        """How a peer's program is run."""
        return self._commands[name]

    def home(self, name: str) -> Path:
        """A new name for a folder of a peer's own."""
        self._made += 1
        return self._home / f"{name}-{self._made}"

    def _stop_client(self) -> None:
        self.client.stop()
        while self._crowd:
            self._crowd.pop().stop()

    def _start(self, name: str, level: str, cpus: int) -> Peer:
        return Peer(PROGRAMS[name], self._commands[name], self.origin.ports, self.home(name), level, cpus)
