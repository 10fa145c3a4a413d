"""What the system and the configuration allow a process. Standard library only."""

from __future__ import annotations

import contextlib
import resource
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

# A relayed connection has a descriptor to the client and one to the target.
_EACH = 2

# For all that is not a connection: listeners, log, channels, the pipes of bulk transfers, name lookups.
_RESERVE = 128

# The part of a cgroup's limit that the workers may fill. The kernel's buffers for their sockets count there too, and so
# do gproxy's other processes.
_CGROUP_PART = 0.75

# Version 1 has no word for "no limit": it says the largest number of pages.
_NO_LIMIT = 1 << 60

_MIB = 1024 * 1024


def raise_descriptor_limit() -> int:
    """Raise the soft limit of open descriptors to the hard one; what it is then."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft != hard:
        with contextlib.suppress(OSError, ValueError):  # some systems report a hard limit that they don't grant
            resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
            return hard
    return soft


@dataclass(frozen=True, slots=True)
class Limits:
    """What a gproxy of so many worker processes may use; 0 is no limit. Its text is for the log."""

    descriptors: int  # for each process
    connections: int  # in all, as configured
    memory: int  # in all, in bytes
    source: str  # what limits the memory
    workers: int

    @classmethod
    def find(cls, connections: int, memory: int, workers: int = 1) -> Limits:
        """The limits of this process's gproxy, for what is configured."""
        source = "runtime.memory_limit"
        if not memory:
            found, source = min(_cgroup_limits(), default=(0, ""))
            memory = int(found * _CGROUP_PART)
        return cls(resource.getrlimit(resource.RLIMIT_NOFILE)[0], connections, memory, source, workers)

    def relayed(self) -> int:
        """The relayed connections that the descriptors allow, in all."""
        return max(1, (self.descriptors - _RESERVE) // _EACH) * self.workers

    def memory_each(self) -> int:
        """One worker's part, in bytes; 0 for no limit."""
        return self.memory // self.workers

    def __str__(self) -> str:
        many = f" in each of {self.workers} workers" if self.workers > 1 else ""
        parts = [f"{self.descriptors} descriptors{many}, for {self.relayed()} relayed connections"]
        parts.append(f"max_connections {self.connections}" if self.connections else "no max_connections")
        parts.append(f"{self.memory // _MIB} MiB of memory by {self.source}" if self.memory else "no memory limit")
        return "; ".join(parts)


def _cgroup_limits(
    own: Path = Path("/proc/self/cgroup"), root: Path = Path("/sys/fs/cgroup")
) -> Iterator[tuple[int, str]]:
    """Each memory limit of this process's cgroup and those above it, in bytes, with the file that sets it."""
    try:
        lines = own.read_text("ascii", "replace").splitlines()
    except OSError:
        return
    for line in lines:
        _, controllers, path = line.split(":", 2)
        if not controllers:
            yield from _limits_along(root, path, ("memory.max", "memory.high"))
        elif "memory" in controllers.split(","):
            yield from _limits_along(root / "memory", path, ("memory.limit_in_bytes",))


def _limits_along(root: Path, path: str, names: tuple[str, ...]) -> Iterator[tuple[int, str]]:
    """Those in the folder `path` of `root`, and in every one above it."""
    folder = root / path.strip("/")
    while folder.is_relative_to(root):
        for name in names:
            with contextlib.suppress(OSError, ValueError):  # not there, or "max"
                limit = int((folder / name).read_text("ascii"))
                if limit < _NO_LIMIT:
                    yield limit, f"the cgroup's {name}"
        if folder == root:
            return
        folder = folder.parent
