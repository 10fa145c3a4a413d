"""What every test has: the kit's fixtures, and an end that comes before the runner's."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from hypothesis import settings

from gproxy.rt.deadline import deadline
from tests.support.clock import held_clock
from tests.support.leaks import no_leaked_descriptors, no_leaked_greenlets, no_leaks

__all__ = ["held_clock", "no_leaked_descriptors", "no_leaked_greenlets", "no_leaks"]

PATIENCE = 60.0

# The same examples in each run, and none that is too slow: how long one takes is the machine's.
settings.register_profile("gproxy", deadline=None, derandomize=True, database=None)
settings.load_profile("gproxy")


@pytest.hookimpl(wrapper=True)
def pytest_runtest_call(item: pytest.Item) -> Iterator[None]:
    """End a test whose greenlets wait for each other, with a trace that says where the test itself stood."""
    asked = item.get_closest_marker("timeout")
    patience = PATIENCE if asked is None else asked.args[0] * 0.9
    with deadline(patience, TimeoutError(f"{item.name} took more than {patience:.0f} s")):
        return (yield)
