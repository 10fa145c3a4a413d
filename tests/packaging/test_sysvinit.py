"""The Debian package's life under sysvinit. The tests are one story: each finds the box as the one before left it."""

from __future__ import annotations

import time
from collections.abc import Iterator

import pytest

from gproxy import __version__
from tests.packaging.box import LONG, Box, wait_for
from tests.packaging.conftest import PREVIOUS
from tests.packaging.life import CONFIG, GREETING, edit, edited, fetch, leftovers, load, origin, second_port


@pytest.fixture(scope="module", autouse=True)
def _origin(sysvinit: Box) -> Iterator[None]:
    with origin(sysvinit):
        yield


def verdict(box: Box, verb: str) -> int:
    done = box.try_(f"service gproxy {verb}", LONG)
    print(verb, done.returncode, done.stdout)  # pytest shows it when a test fails
    return done.returncode


def pid(box: Box) -> str:
    return box.read("/run/gproxy.pid").strip()


def test_install_starts_it(sysvinit: Box) -> None:
    sysvinit.apt(f"install gproxy={PREVIOUS}")
    assert fetch(sysvinit) == GREETING
    assert verdict(sysvinit, "status") == 0
    assert sysvinit.run("ls /etc/rc2.d/S*gproxy /etc/rc0.d/K*gproxy").count("gproxy") == 2
    assert sysvinit.run(f"stat -c '%a %U:%G' {CONFIG}") == "640 root:gproxy\n"
    assert sysvinit.run("dpkg --verify gproxy") == ""


def test_it_has_one_capability(sysvinit: Box) -> None:
    status = sysvinit.run(f"cat /proc/{pid(sysvinit)}/status")
    assert "CapEff:\t0000000000000400\n" in status
    assert "CapBnd:\t0000000000000400\n" in status
    assert "NoNewPrivs:\t1\n" in status
    user = sysvinit.run("id -u gproxy").strip()
    assert f"Uid:\t{user}\t{user}\t{user}\t{user}\n" in status


def test_start_and_stop_are_right_twice(sysvinit: Box) -> None:
    running = pid(sysvinit)
    assert verdict(sysvinit, "start") == 0
    assert pid(sysvinit) == running
    assert verdict(sysvinit, "stop") == 0
    assert verdict(sysvinit, "stop") == 0
    assert sysvinit.try_("pgrep -u gproxy").stdout == ""
    assert verdict(sysvinit, "status") == 3
    assert verdict(sysvinit, "reload") != 0
    assert verdict(sysvinit, "try-restart") == 0
    assert fetch(sysvinit) == ""
    assert verdict(sysvinit, "start") == 0
    assert fetch(sysvinit) == GREETING


def test_a_stale_pid_is_nobody(sysvinit: Box) -> None:
    assert verdict(sysvinit, "stop") == 0
    sysvinit.write("/run/gproxy.pid", "1\n")
    assert verdict(sysvinit, "status") != 0
    assert verdict(sysvinit, "start") == 0
    assert fetch(sysvinit) == GREETING


def test_unknown_verb(sysvinit: Box) -> None:
    assert verdict(sysvinit, "dance") == 2


def test_reload_under_load(sysvinit: Box) -> None:
    running = pid(sysvinit)
    with edited(sysvinit, sysvinit.read(CONFIG) + second_port(80)), load(sysvinit, 20):
        assert verdict(sysvinit, "reload") == 0
        assert fetch(sysvinit, 80) == GREETING
    assert verdict(sysvinit, "force-reload") == 0
    assert fetch(sysvinit, 80) == ""
    assert pid(sysvinit) == running


@pytest.mark.parametrize("verb", ["reload", "restart"])
def test_a_broken_file_is_refused(sysvinit: Box, verb: str) -> None:
    running = pid(sysvinit)
    with edited(sysvinit, "[[inbounds]]\ntype = 'mixxed'\n"), load(sysvinit, 5):
        done = sysvinit.try_(f"service gproxy {verb}", 60)
        assert done.returncode != 0
        assert "mixxed" in done.stdout
    assert pid(sysvinit) == running


def test_one_that_dies_at_once_is_reported_at_once(sysvinit: Box) -> None:
    with edited(sysvinit, sysvinit.read(CONFIG) + second_port(8000)):  # where the origin is
        assert verdict(sysvinit, "stop") == 0
        began = time.monotonic()
        done = sysvinit.try_("service gproxy start", 60)
        assert done.returncode == 1
        assert "8000" in done.stdout
        assert time.monotonic() - began < 10
    assert verdict(sysvinit, "start") == 0


def test_upgrade_restarts_it(sysvinit: Box) -> None:
    edit(sysvinit, 'level = "info"', 'level = "debug"')
    running = pid(sysvinit)
    sysvinit.apt("install gproxy")
    assert sysvinit.run("gproxy version --name") == f"{__version__}\n"
    assert pid(sysvinit) != running
    assert 'level = "debug"' in sysvinit.read(CONFIG)
    assert fetch(sysvinit) == GREETING


def test_the_log_goes_on_after_rotation(sysvinit: Box) -> None:
    log = "/var/log/gproxy/gproxy.log"
    with edited(sysvinit, sysvinit.read(CONFIG).replace("[log]", f'[log]\noutput = "{log}"')):
        assert verdict(sysvinit, "restart") == 0
        assert fetch(sysvinit) == GREETING
        wait_for(lambda: "8000" in sysvinit.read(log), 30, "the session is in the log")
        sysvinit.run("logrotate --force /etc/logrotate.d/gproxy")
        assert "8000" in sysvinit.read(f"{log}.1")
        assert fetch(sysvinit) == GREETING
        wait_for(lambda: "8000" in sysvinit.read(log), 30, "the next one is in the new log")
    assert verdict(sysvinit, "restart") == 0


def test_remove_and_purge(sysvinit: Box) -> None:
    sysvinit.apt("remove gproxy")
    assert sysvinit.try_("pgrep -u gproxy").stdout == ""
    assert 'level = "debug"' in sysvinit.read(CONFIG)
    assert not (sysvinit.root / "usr/lib/gproxy").exists()
    sysvinit.apt("purge gproxy")
    assert leftovers(sysvinit) == []
