from __future__ import annotations

import resource
import subprocess
import sys
from pathlib import Path

import pytest

from gproxy.proc import limits
from gproxy.proc.limits import Limits

ROOT = Path(__file__).resolve().parents[2]

CODE = """
import resource
from gproxy.proc.limits import raise_descriptor_limit
resource.setrlimit(resource.RLIMIT_NOFILE, ({soft}, 200))
print(raise_descriptor_limit(), *resource.getrlimit(resource.RLIMIT_NOFILE))
"""


@pytest.mark.parametrize("soft", [50, 200])
def test_the_soft_limit_becomes_the_hard_one(soft: int) -> None:
    """In a process of its own: the runner needs its descriptors."""
    done = subprocess.run(
        [sys.executable, "-c", CODE.format(soft=soft)], cwd=ROOT, check=False, capture_output=True, text=True
    )
    assert done.stdout.split() == ["200", "200", "200"], done.stderr


MIB = 1 << 20


def test_what_the_descriptors_allow() -> None:
    assert Limits(1128, 0, 0, "", 1).relayed() == 500
    assert Limits(1128, 0, 0, "", 3).relayed() == 1500
    assert Limits(64, 0, 0, "", 1).relayed() == 1


def test_memory_is_divided_among_the_workers() -> None:
    assert Limits(1024, 0, 64 * MIB, "", 4).memory_each() == 16 * MIB
    assert Limits(1024, 0, 0, "", 4).memory_each() == 0


def test_what_the_log_tells() -> None:
    assert str(Limits(1128, 0, 0, "", 1)) == (
        "1128 descriptors, for 500 relayed connections; no max_connections; no memory limit"
    )
    assert str(Limits(1128, 70, 64 * MIB, "runtime.memory_limit", 2)) == (
        "1128 descriptors in each of 2 workers, for 1000 relayed connections; max_connections 70; "
        "64 MiB of memory by runtime.memory_limit"
    )


def test_what_is_configured_counts_and_not_the_cgroup(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "_cgroup_limits", lambda: iter([(1000, "the cgroup's memory.max"), (800, "above")]))
    found = Limits.find(5, 3 * MIB, 2)
    assert (found.connections, found.memory, found.source, found.workers) == (5, 3 * MIB, "runtime.memory_limit", 2)
    assert found.descriptors == resource.getrlimit(resource.RLIMIT_NOFILE)[0]
    found = Limits.find(0, 0)
    assert (found.memory, found.source) == (600, "above")  # the kernel needs some of it


def test_no_limit_anywhere(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "_cgroup_limits", lambda: iter([]))
    assert Limits.find(0, 0).memory == 0


@pytest.mark.parametrize(
    ("group", "files", "found"),
    [
        ("0::/a/b\n", {"a/b/memory.max": "max\n", "a/memory.high": "300\n", "a/memory.max": "500\n"},
         [(300, "the cgroup's memory.high"), (500, "the cgroup's memory.max")]),
        ("0::/\n", {"memory.max": "700\n"}, [(700, "the cgroup's memory.max")]),
        ("4:memory,x:/a\n0::/\n", {"memory/a/memory.limit_in_bytes": "400\n",
                                   "memory/memory.limit_in_bytes": "9223372036854771712\n"},
         [(400, "the cgroup's memory.limit_in_bytes")]),
        ("3:cpu:/a\n", {"memory/a/memory.limit_in_bytes": "400\n"}, []),
        ("0::/gone\n", {}, []),
        ("0::/../..\n", {}, []),
    ],
)  # fmt: skip
def test_the_limits_of_a_cgroup_and_those_above_it(
    tmp_path: Path, group: str, files: dict[str, str], found: list[tuple[int, str]]
) -> None:
    own, root = tmp_path / "own", tmp_path / "root"
    own.write_text(group)
    for name, text in files.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    assert sorted(limits._cgroup_limits(own, root)) == found


def test_a_system_without_cgroups(tmp_path: Path) -> None:
    assert list(limits._cgroup_limits(tmp_path / "none", tmp_path)) == []
