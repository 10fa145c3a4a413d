from __future__ import annotations

import errno
import fcntl
import gzip
import os
import shutil
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from gproxy.observe.rotation import Rotation, rotations
from gproxy.observe.sink import Sink

START = 1_800_000_000.0  # 2027-01-15T08:00:00Z


@dataclass
class Settings:
    output: str
    rotate_size: int = 0
    rotate_every: float = 0.0
    keep: int = 0
    keep_for: float = 0.0
    compress: bool = True


class World:
    """A folder, a clock, and a rotation."""

    def __init__(self, folder: Path) -> None:
        self.path = folder / "access.log"
        self.at = START

    def rotation(self, **more: Any) -> Rotation:
        return Rotation(Settings(str(self.path), **more), lambda: self.at)

    def names(self) -> list[str]:
        return sorted(each.name.removeprefix("access.log") for each in self.path.parent.iterdir())


@pytest.fixture
def world(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    monkeypatch.setenv("TZ", "UTC")
    time.tzset()
    yield World(tmp_path)
    monkeypatch.undo()
    time.tzset()


def test_a_file_that_stays_missing(world: World) -> None:
    """Those who write to it could not make it: they are to try again, now and then."""
    rotation = world.rotation(rotate_size=1000)
    told = []
    for _ in range(100):
        told += [world.at - START] if rotation.rotate() else []
        world.at += 1
    assert told == [30, 60, 90]


def test_by_size(world: World) -> None:
    rotation = world.rotation(rotate_size=1000)
    assert not rotation.rotate(), "there is none"
    world.path.write_bytes(b"x" * 999)
    assert not rotation.rotate()
    world.path.write_bytes(b"x" * 1000)
    assert rotation.rotate()
    assert world.names() == [".20270115T080000Z"]


def test_twice_in_a_second_waits_for_the_next_one(world: World) -> None:
    rotation = world.rotation(rotate_size=1000)
    for _ in range(2):
        world.path.write_bytes(b"x" * 1000)
        rotation.rotate()
    assert world.names() == ["", ".20270115T080000Z"]
    world.at += 1
    assert rotation.rotate()
    assert world.names() == [".20270115T080000Z", ".20270115T080001Z"]


def test_at_the_full_hour(world: World) -> None:
    world.at += 600
    world.path.write_bytes(b"x")
    os.utime(world.path, (world.at, world.at))
    rotation = world.rotation(rotate_every=3600.0)
    world.at = START + 3599
    assert not rotation.rotate()
    world.at = START + 3600
    assert rotation.rotate()
    assert not rotation.rotate()


def test_a_day_ends_at_local_midnight(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TZ", "EAST-3")  # three hours east of Greenwich
    time.tzset()
    world.path.write_bytes(b"x")
    os.utime(world.path, (world.at, world.at))
    rotation = world.rotation(rotate_every=86400.0)
    world.at = START + 13 * 3600 - 1
    assert not rotation.rotate()
    world.at = START + 13 * 3600
    assert rotation.rotate()


def test_what_was_due_while_nothing_ran(world: World) -> None:
    world.path.write_bytes(b"x")
    os.utime(world.path, (START - 7200, START - 7200))
    assert world.rotation(rotate_every=3600.0).rotate()


def test_the_last_one_that_was_moved_away_tells_when_this_one_began(world: World) -> None:
    """However lately it was written to."""
    (world.path.parent / "access.log.20270115T060000Z.gz").write_bytes(b"")
    world.path.write_bytes(b"x")
    os.utime(world.path, (START, START))
    assert world.rotation(rotate_every=3600.0).rotate()


def test_an_empty_file_is_not_moved_away(world: World) -> None:
    world.path.write_bytes(b"")
    rotation = world.rotation(rotate_every=3600.0)
    world.at += 7200
    assert not rotation.rotate()
    assert world.names() == [""]
    world.path.write_bytes(b"x")
    assert not rotation.rotate(), "it belongs to this hour"


def test_what_is_no_file_is_left_alone(world: World) -> None:
    assert not Rotation(Settings("/dev/full", rotate_every=60.0), lambda: world.at).rotate()


def test_what_was_moved_away_is_compressed(world: World) -> None:
    rotation = world.rotation(rotate_size=1000)
    world.path.write_bytes(b"line\n" * 1000)
    rotation.rotate()
    rotation.tidy()
    assert world.names() == [".20270115T080000Z.gz"]
    packed = world.path.with_name("access.log.20270115T080000Z.gz")
    assert gzip.decompress(packed.read_bytes()) == b"line\n" * 1000
    assert packed.stat().st_mode & 0o007 == 0


def test_not_while_somebody_writes_to_it(world: World) -> None:
    rotation = world.rotation(rotate_size=1000)
    sink = Sink(str(world.path), held=True)
    sink.write("x" * 2000)
    assert rotation.rotate()
    rotation.tidy()
    assert world.names() == [".20270115T080000Z"]
    sink.write("late")
    sink.reopen()
    rotation.tidy()
    assert world.names() == ["", ".20270115T080000Z.gz"]
    packed = world.path.with_name("access.log.20270115T080000Z.gz")
    assert gzip.decompress(packed.read_bytes()) == b"x" * 2000 + b"\nlate\n"
    sink.close()
    os.close(sink.fileno())


def test_or_not_at_all(world: World) -> None:
    rotation = world.rotation(rotate_size=1000, compress=False)
    world.path.write_bytes(b"x" * 1000)
    rotation.rotate()
    rotation.tidy()
    assert world.names() == [".20270115T080000Z"]


def test_the_newest_are_kept(world: World) -> None:
    for hour in range(5):
        world.path.with_name(f"access.log.20270115T0{hour}0000Z.gz").write_bytes(b"")
    world.rotation(keep=2).tidy()
    assert world.names() == [".20270115T030000Z.gz", ".20270115T040000Z.gz"]


def test_for_so_long(world: World) -> None:
    for hour in range(5):
        world.path.with_name(f"access.log.20270115T0{hour}0000Z.gz").write_bytes(b"")
    world.rotation(keep_for=5 * 3600.0).tidy()
    assert world.names() == [".20270115T030000Z.gz", ".20270115T040000Z.gz"]


def test_other_files_are_nobody_s_business(world: World) -> None:
    names = [".1", ".20270115T080000Z.bak", ".99999999T999999Z", "-20270115T080000Z", "er.20270115T080000Z"]
    for name in names:
        world.path.with_name("access.log" + name).write_bytes(b"")
    world.path.with_name("other.20270115T080000Z").write_bytes(b"")
    world.at += 1_000_000
    world.rotation(keep=1, keep_for=1.0).tidy()
    assert world.names() == sorted([*names, "other.20270115T080000Z"])


def test_what_a_crash_has_left_half_done(world: World) -> None:
    world.path.with_name("access.log.20270115T070000Z").write_bytes(b"whole")
    world.path.with_name("access.log.20270115T070000Z.gz.part").write_bytes(b"ha")
    world.rotation().tidy()
    assert world.names() == [".20270115T070000Z.gz"]


def test_a_full_disk_leaves_the_file_as_it_was(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, "no space left on device")

    world.path.with_name("access.log.20270115T070000Z").write_bytes(b"whole")
    rotation = world.rotation()
    monkeypatch.setattr(shutil, "copyfileobj", full)
    with pytest.raises(OSError, match="no space"):
        rotation.tidy()
    assert world.names() == [".20270115T070000Z"]


def test_without_locks_it_waits_a_while(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    def flock(*_: object) -> None:
        raise OSError(errno.ENOLCK, "no locks available")

    monkeypatch.setattr(fcntl, "flock", flock)
    world.path.with_name("access.log.20270115T080000Z").write_bytes(b"whole")
    rotation = world.rotation()
    world.at = START + 5
    rotation.tidy()
    assert world.names() == [".20270115T080000Z"]
    world.at = START + 11
    rotation.tidy()
    assert world.names() == [".20270115T080000Z.gz"]


def test_which_files_are_rotated_here(world: World) -> None:
    by_size, left = Settings(str(world.path), rotate_size=1000), Settings(str(world.path))
    assert [each.path for each in rotations([None, by_size, left])] == [world.path]
