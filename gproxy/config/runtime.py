"""The `runtime` table: how gproxy uses the machine."""

from __future__ import annotations

import contextlib
import math
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any

from gproxy.schema.fields import ByteSize, Duration
from gproxy.schema.model import Options, doc, read_integer
from gproxy.schema.problem import BadValue, near_miss

# More processes than this are a mistyped number.
MAX_WORKERS = 512


class Workers(int):
    """A number of worker processes, or `auto`: one for each processor that this one may use. 0: none, all in one."""

    __slots__ = ()

    @classmethod
    def parse(cls, value: object) -> Workers:
        """Read it. Raises BadValue."""
        what = f'"auto" or a number of processes, 0 to {MAX_WORKERS}'
        if isinstance(value, str) and not value.isdigit():
            if value != "auto":
                raise BadValue(f"expected {what}", near_miss(value, ["auto"]))
            return cls(processors())
        number = read_integer(value, what)
        if not 0 <= number <= MAX_WORKERS:
            raise BadValue(f"expected {what}")
        return cls(number)

    @classmethod
    def json_schema(cls) -> dict[str, Any]:
        """`auto` or an integer in the range."""
        return {"anyOf": [{"const": "auto"}, {"type": "integer", "minimum": 0, "maximum": MAX_WORKERS}]}


class Count(int):
    """A number of things, 0 or more."""

    __slots__ = ()

    @classmethod
    def parse(cls, value: object) -> Count:
        """Read it. Raises BadValue."""
        what = "a number, 0 or more"
        number = read_integer(value, what)
        if number < 0:
            raise BadValue(f"expected {what}")
        return cls(number)

    @classmethod
    def json_schema(cls) -> dict[str, Any]:
        """An integer in the range."""
        return {"type": "integer", "minimum": 0}


class RuntimeOptions(Options):
    """How gproxy uses the machine."""

    workers: Annotated[
        Workers, doc("Worker processes: a number, or `auto` for one a processor; 0 serves everything from one process.")
    ] = Workers(0)
    grace: Annotated[
        Duration, doc("How long open sessions may go on after a reload, served by the workers that had them.")
    ] = Duration(3600)
    stop_grace: Annotated[Duration, doc("How long open sessions may go on when gproxy is told to stop.")] = Duration(5)
    control: Annotated[
        str,
        doc(
            "Unix socket for `gproxy status`, `debug`, `reload` and others. Empty: the usual place for this user; "
            "without workers, none."
        ),
    ] = ""
    max_connections: Annotated[
        Count, doc("Clients served at once, UDP sessions included, divided among the workers; 0: no limit of its own.")
    ] = Count(0)
    memory_limit: Annotated[
        ByteSize, doc("Memory that all workers may use together; 0: what the cgroup grants, if it has a limit.")
    ] = ByteSize(0)

    def check(self) -> Iterator[tuple[str, str]]:
        """The control socket's path fits into a socket's name."""
        if len(self.control.encode()) > 107:
            yield "control", "a unix socket's path has at most 107 bytes"


def processors() -> int:
    """How many processors this process may use: its affinity mask, cut by its cgroup's quota; at least 1."""
    count = len(os.sched_getaffinity(0))
    quota = _cgroup_quota()
    return max(1, min(count, math.ceil(quota)) if quota else count)


def _cgroup_quota() -> float:
    """Processors that the cgroup grants (version 2, then 1), 0 for no limit."""
    with contextlib.suppress(OSError, ValueError, IndexError):
        group = Path("/proc/self/cgroup").read_text().split("::", 1)[1].strip()
        limit, period = Path(f"/sys/fs/cgroup{group}/cpu.max").read_text().split()
        return 0.0 if limit == "max" else int(limit) / int(period)
    with contextlib.suppress(OSError, ValueError):
        limit = Path("/sys/fs/cgroup/cpu/cpu.cfs_quota_us").read_text()
        period = Path("/sys/fs/cgroup/cpu/cpu.cfs_period_us").read_text()
        return max(0.0, int(limit) / int(period))
    return 0.0
