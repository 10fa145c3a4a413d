"""gproxy.layers.tls.watch: changes of files and of what is in directories, not seen more often than once a second."""

from __future__ import annotations

import os

from gproxy.layers.tls.watch import LOOK, Watch


def test_files_that_change_and_come_and_go(tmp_path, held_clock):
    path = tmp_path / "a"
    watch = Watch([str(path)])

    def changed():
        held_clock.advance(LOOK)
        return watch.changed()

    assert not changed()
    path.write_text("1")
    assert changed()
    assert not changed()
    path.write_text("22")
    assert changed()
    fresh = tmp_path / "b"
    fresh.write_text("33")
    os.utime(fresh, ns=(1, path.stat().st_mtime_ns))
    fresh.replace(path)
    assert changed(), "another file of the same age and size"
    path.unlink()
    assert changed()
    assert not changed()


def test_what_is_in_a_directory(tmp_path, held_clock):
    inside = tmp_path / "a"
    inside.write_text("1")
    watch = Watch([str(tmp_path)])
    stamp = tmp_path.stat().st_mtime_ns
    inside.write_text("22")
    assert tmp_path.stat().st_mtime_ns == stamp, "the directory itself has not changed"
    held_clock.advance(LOOK)
    assert watch.changed()
    (tmp_path / "b").write_text("1")
    held_clock.advance(LOOK)
    assert watch.changed()
    inside.unlink()
    held_clock.advance(LOOK)
    assert watch.changed()
    assert not watch.changed()


def test_not_more_often_than_once_a_second(tmp_path, held_clock):
    path = tmp_path / "a"
    watch = Watch([str(path)])
    path.write_text("1")
    held_clock.advance(LOOK / 2)
    assert not watch.changed()
    held_clock.advance(LOOK / 2)
    assert watch.changed()
    assert not Watch([]).changed()
