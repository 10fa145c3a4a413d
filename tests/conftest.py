"""What every test has: the kit's fixtures, and an end that comes before the runner's."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import settings

from gproxy.rt.deadline import deadline
from tests.support.clock import held_clock
from tests.support.leaks import no_leaked_descriptors, no_leaked_greenlets, no_leaks

__all__ = ["held_clock", "no_leaked_descriptors", "no_leaked_greenlets", "no_leaks"]

PATIENCE = 60.0

# Tests of real processes take longer on a busy machine, seconds: none of them may be late for that reason.
_REAL = {"e2e": 300, "interop": 600, "packaging": 1200}
_HERE = Path(__file__).parent

# The same examples in each run, and none that is too slow: how long one takes is the machine's.
settings.register_profile("gproxy", deadline=None, derandomize=True, database=None)
settings.load_profile("gproxy")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """What says nothing of its own has the time of its folder."""
    for item in items:
        folder = item.path.relative_to(_HERE).parts[0] if item.path.is_relative_to(_HERE) else ""
        if folder in _REAL and item.get_closest_marker("timeout") is None:
            item.add_marker(pytest.mark.timeout(_REAL[folder]))


@pytest.hookimpl(wrapper=True)
def pytest_runtest_call(item: pytest.Item) -> Iterator[None]:
    """End a test whose greenlets wait for each other, with a trace that says where the test itself stood."""
    asked = item.get_closest_marker("timeout")
    patience = PATIENCE if asked is None else asked.args[0] * 0.9
    with deadline(patience, TimeoutError(f"{item.name} took more than {patience:.0f} s")):
        return (yield)
