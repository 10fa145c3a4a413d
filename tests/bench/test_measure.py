"""Reading the kernel's accounts of a tree of processes."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator

import pytest

from tests.bench import measure
from tests.bench.worker import WorkFailed
from tests.bench.workers import largest_share

_BURN = "import time\nwhile time.process_time() < %s: pass\n"
_TREE = f"""
import subprocess, sys
subprocess.run([sys.executable, "-S", "-c", {_BURN % 0.2!r}])
waiting = "print(flush=True)\\ntry: input()\\nexcept EOFError: pass"
child = subprocess.Popen([sys.executable, "-S", "-c", waiting], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
child.stdout.readline()  # it has started, and opens nothing more
print(child.pid, flush=True)
input()
child.communicate()
"""

SMAPS = """\
55d0a0000000-55d0a0100000 r-xp 00001000 fe:00 77                         /usr/bin/thing (deleted)
Size:               1024 kB
Rss:                 100 kB
Anonymous:             0 kB
VmFlags: rd ex mr mw me
55d0a0100000-55d0a0200000 rw-p 00101000 fe:00 77                         /usr/bin/thing (deleted)
Rss:                  40 kB
Anonymous:            30 kB
7f0000000000-7f0000100000 rw-p 00000000 00:00 0                          [heap]
Rss:                 500 kB
Anonymous:           500 kB
7f0000200000-7f0000300000 rw-s 00000000 00:01 1024                       /dev/zero (deleted)
Rss:                  20 kB
Anonymous:             0 kB
7f0000400000-7f0000500000 rw-p 00000000 00:00 0
Rss:                   8 kB
Anonymous:             8 kB
"""


@pytest.fixture
def tree() -> Iterator[tuple[int, int]]:
    """A process and its child; another child of it has burnt CPU and is gone."""
    command = [sys.executable, "-S", "-c", _TREE]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as parent:
        assert parent.stdout is not None
        child = int(parent.stdout.readline())
        yield parent.pid, child
        parent.communicate("\n")


def test_the_dead_of_a_family_still_count(tree: tuple[int, int]) -> None:
    parent, child = tree
    assert measure.family(parent) == [parent, child]
    assert measure.cpu_seconds(parent) > 0.2 - 0.02
    assert measure.cpu_seconds(child) < 0.2


def test_memory_of_a_family(tree: tuple[int, int]) -> None:
    """Two that share an interpreter: less than the sum of what each has resident, and alone no less than with us."""
    parent, child = tree
    # In this order: they may still be growing, and what is read later must not be the smaller figure.
    pss, alone, rss = measure.pss_bytes(parent), measure.alone_bytes(parent), measure.rss_bytes(parent)
    assert 0 < measure.rss_bytes(child) < rss
    assert pss <= alone < rss


def test_descriptors_are_counted_for_each(tree: tuple[int, int]) -> None:
    each = measure.descriptors_each(tree[0])
    assert set(each) == set(tree)
    assert measure.descriptors(tree[0]) == sum(each.values()) > 0


def test_a_process_that_is_gone_has_nothing() -> None:
    gone = subprocess.Popen([sys.executable, "-S", "-c", ""])
    gone.wait()
    assert measure.cpu_seconds(gone.pid) == measure.pss_bytes(gone.pid) == measure.alone_bytes(gone.pid) == 0


@pytest.mark.parametrize("name", ["python", "a b", "a) R 1 (b"])
def test_the_time_of_the_reaped_is_found_behind_any_name(name: str) -> None:
    times = "0 0 0 0 3 4 50 6"  # minflt, cminflt, majflt, cmajflt, utime, stime, cutime, cstime
    assert measure.reaped_ticks(f"17 ({name}) S 1 17 17 0 -1 4194304 {times} 20 0 1") == 56


def test_no_stat_no_time() -> None:
    assert measure.reaped_ticks("") == 0


def test_own_stat_has_these_fields() -> None:
    with open(f"/proc/{os.getpid()}/stat", encoding="ascii") as stat:
        assert measure.reaped_ticks(stat.read()) >= 0


def test_a_field_is_not_taken_for_another() -> None:
    rollup = "Rss:  100 kB\nPss:   60 kB\nPss_Anon:   50 kB\n"
    assert measure.field_bytes(rollup, "Pss") == 60 * 1024
    assert measure.field_bytes(rollup, "Pss_Anon") == 50 * 1024
    assert measure.field_bytes(rollup, "Pss_File") == 0


def test_what_is_still_a_files_own() -> None:
    assert measure.file_bytes(SMAPS) == {
        "00001000 fe:00 77 /usr/bin/thing (deleted)": 100 * 1024,
        "00101000 fe:00 77 /usr/bin/thing (deleted)": 10 * 1024,
    }


def test_the_largest_share_is_of_what_came_since() -> None:
    assert largest_share({1: 10, 2: 10, 3: 50}, {1: 10, 2: 16, 3: 54}) == pytest.approx(0.6)
    assert largest_share({1: 10}, {1: 10, 2: 5}) == 1  # a process that was not there before


def test_connections_that_nobody_holds() -> None:
    with pytest.raises(WorkFailed):
        largest_share({1: 10}, {1: 10})


def test_what_is_shared_is_counted_and_what_is_private_is_not() -> None:
    assert measure.shared_bytes(SMAPS) == 20 * 1024
    assert measure.shared_bytes("") == 0
