from __future__ import annotations

import logging
from pathlib import Path
from typing import cast

import pytest

from gproxy.observe import rotor as room
from gproxy.observe.rotation import Rotation
from gproxy.observe.rotor import Rotor
from tests.support.wait import wait_until

pytestmark = pytest.mark.usefixtures("no_leaks")


class Fake:
    """A rotation whose disk does what the test wants."""

    path = Path("/var/log/access.log")

    def __init__(self) -> None:
        self.due = False
        self.error: OSError | None = None
        self.looks = self.tidied = 0

    def rotate(self) -> bool:
        self.looks += 1
        if self.error is not None:
            raise self.error
        due, self.due = self.due, False
        return due

    def tidy(self) -> None:
        self.tidied += 1


@pytest.fixture
def fake(monkeypatch: pytest.MonkeyPatch) -> Fake:
    monkeypatch.setattr(room, "_LOOK", 0.001)
    return Fake()


def test_it_says_when_files_were_moved_away(fake: Fake) -> None:
    moved: list[int] = []
    rotor = Rotor([cast(Rotation, fake)], lambda: moved.append(1))
    rotor.start()
    rotor.start()
    wait_until(lambda: fake.tidied >= 2, "it does not tidy up")
    assert not moved
    fake.due = True
    wait_until(lambda: moved, "it does not say so")
    looks = fake.looks
    wait_until(lambda: fake.looks > looks + 2, "it stops")
    assert moved == [1]
    rotor.stop()
    rotor.start()
    looks = fake.looks
    wait_until(lambda: fake.looks > looks, "it does not begin again")
    rotor.stop()


def test_a_disk_that_is_full_is_told_once(fake: Fake, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, "gproxy.log")
    fake.error = OSError(28, "No space left on device")
    rotor = Rotor([cast(Rotation, fake)], lambda: None)
    rotor.start()
    wait_until(lambda: fake.looks >= 4, "it gave up")
    assert [each.getMessage() for each in caplog.records] == [
        "/var/log/access.log can't be rotated: No space left on device"
    ]
    fake.error = OSError(13, "Permission denied")
    wait_until(lambda: len(caplog.records) == 2, "another reason is not told")
    rotor.stop()


def test_nothing_to_rotate_needs_nobody() -> None:
    rotor = Rotor([], lambda: None)
    rotor.start()
    assert not rotor._running
