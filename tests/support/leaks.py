"""Fixtures that fail a test which leaves descriptors or greenlets behind. Ends are asynchronous, so they wait for them.

pytestmark = pytest.mark.usefixtures("no_leaks")
"""

from __future__ import annotations

import gc
import os
from collections.abc import Callable, Iterator
from functools import cache

import pytest
from greenlet import getcurrent, greenlet

from gproxy.rt import crew
from gproxy.rt.offload import offload
from gproxy.rt.sync import sleep
from tests.support.wait import wait_until

PATIENCE = 30.0


def descriptors() -> set[tuple[int, str]]:
    """The open descriptors of this process, each with what it refers to."""
    found = set()
    for name in os.listdir("/proc/self/fd"):
        try:
            found.add((int(name), os.readlink(f"/proc/self/fd/{name}")))
        except FileNotFoundError:  # the one that lists
            continue
    return found


def live_greenlets() -> list[greenlet]:
    """The greenlets of this thread that have started and are not over, without those that wait to be used again.

    Nor are those among them that were taken out of the collector's sight.
    """
    crew.dismiss()
    ours = _root(getcurrent())
    return [thing for thing in gc.get_objects() if isinstance(thing, greenlet) and bool(thing) and _root(thing) is ours]


def _root(thing: greenlet) -> greenlet:
    """The main greenlet of its thread: those of a pool's threads stay, to be used again."""
    while thing.parent is not None:
        thing = thing.parent
    return thing


@cache
def _set_aside() -> None:
    """Take what was there before the first test out of the collector's sight, which is nearly all that there is."""
    gc.collect()
    gc.freeze()


def _warm_up() -> None:
    """Let the hub make what it makes once: its loop, its thread pool."""
    sleep(0)
    offload(int)
    _set_aside()


@pytest.fixture
def no_leaked_descriptors() -> Iterator[None]:
    """Fails the test if it leaves a descriptor open."""
    _warm_up()
    before = descriptors()
    yield
    _settle(lambda: descriptors() - before, "descriptors left open")


@pytest.fixture
def no_leaked_greenlets() -> Iterator[None]:
    """Fails the test if it leaves a greenlet alive."""
    _warm_up()
    gc.freeze()  # so that only what the test makes is looked through: half of a short test's time otherwise
    yield
    _settle(live_greenlets, "greenlets left alive")


@pytest.fixture
def no_leaks(no_leaked_descriptors: None, no_leaked_greenlets: None) -> None:
    """Fails the test if it leaves descriptors or greenlets behind."""


def _settle(left: Callable[[], object], what: str, seconds: float = PATIENCE) -> None:
    if not left():
        return
    gc.collect()
    wait_until(lambda: not left(), lambda: f"{what}: {left()}", seconds)
