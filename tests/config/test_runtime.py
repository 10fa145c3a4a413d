from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest

from gproxy.config import runtime as room
from gproxy.config.load import ConfigProblems, Source, load_sources
from gproxy.config.root import read_root
from gproxy.config.runtime import MAX_WORKERS, RuntimeOptions, processors


def runtime(text: str, **environment: str) -> RuntimeOptions:
    return read_root(load_sources([Source("c.toml", f"[runtime]\n{text}", "toml")], environment)).runtime


def test_without_a_word_it_serves_from_one_process_without_limits_of_its_own() -> None:
    options = runtime("")
    assert (options.workers, options.grace, options.stop_grace, options.control) == (0, 3600, 5, "")
    assert (options.max_connections, options.memory_limit) == (0, 0)


def test_everything_can_be_said() -> None:
    options = runtime(
        'workers = 3\ngrace = "0"\nstop_grace = "1m"\ncontrol = "/run/x.sock"\n'
        'max_connections = "${MOST}"\nmemory_limit = "64 MiB"',
        MOST="5000",
    )
    assert (options.workers, options.grace, options.stop_grace, options.control) == (3, 0, 60, "/run/x.sock")
    assert (options.max_connections, options.memory_limit) == (5000, 64 << 20)


def test_auto_is_one_for_each_processor() -> None:
    assert runtime('workers = "auto"').workers == processors() >= 1


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("workers = -1", f"0 to {MAX_WORKERS}"),
        (f"workers = {MAX_WORKERS + 1}", f"0 to {MAX_WORKERS}"),
        ('workers = "atuo"', "did you mean `auto`"),
        ("workers = true", "a number of processes"),
        ("max_connections = -1", "expected a number, 0 or more"),
        ('max_connections = "many"', "expected a number, 0 or more"),
        ("max_connections = 1.5", "expected a number, 0 or more"),
        ('memory_limit = "64 apples"', "expected a size"),
        ("memory_limit = -1", "negative"),
        (f'control = "/{"x" * 107}"', "at most 107 bytes"),
    ],
)
def test_what_is_refused(text: str, said: str) -> None:
    with pytest.raises(ConfigProblems, match=said):
        runtime(text)


@pytest.mark.parametrize(("quota", "count"), [(0.0, 4), (0.5, 1), (1.0, 1), (2.5, 3), (64.0, 4)])
def test_processors_are_those_of_the_mask_within_the_quota(
    quota: float, count: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(os, "sched_getaffinity", lambda pid: {0, 1, 2, 3})
    monkeypatch.setattr(room, "_cgroup_quota", lambda: quota)
    assert processors() == count


@pytest.mark.parametrize(
    ("files", "quota"),
    [
        ({"/proc/self/cgroup": "0::/a\n", "/sys/fs/cgroup/a/cpu.max": "150000 100000\n"}, 1.5),
        ({"/proc/self/cgroup": "0::/a\n", "/sys/fs/cgroup/a/cpu.max": "max 100000\n"}, 0.0),
        (
            {
                "/proc/self/cgroup": "1:cpu:/\n",
                "/sys/fs/cgroup/cpu/cpu.cfs_quota_us": "50000\n",
                "/sys/fs/cgroup/cpu/cpu.cfs_period_us": "100000\n",
            },
            0.5,
        ),
        (
            {"/sys/fs/cgroup/cpu/cpu.cfs_quota_us": "-1\n", "/sys/fs/cgroup/cpu/cpu.cfs_period_us": "100000\n"},
            0.0,
        ),
        ({}, 0.0),
    ],
)
def test_the_quota_of_the_cgroup(files: dict[str, str], quota: float, monkeypatch: pytest.MonkeyPatch) -> None:
    def read_text(path: Path, *_: Any) -> str:
        try:
            return files[str(path)]
        except KeyError:
            raise FileNotFoundError(path) from None

    monkeypatch.setattr(Path, "read_text", read_text)
    assert room._cgroup_quota() == quota
