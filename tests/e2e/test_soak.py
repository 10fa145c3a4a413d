"""A minute of `make soak`: nothing fails, nothing grows, and a wave is over when it is over."""

from __future__ import annotations

import sys

import pytest

from tests.support.procs import run

STEADY = ("--minutes", "0.6", "--rate", "25", "--hold", "300", "--life", "15")
WAVE = ("--wave", "1000")
MOST_MEMORY = ("--memory", "4")  # MB: others test on the machine meanwhile, so that more is in flight at times


@pytest.mark.slow
@pytest.mark.timeout(240)
@pytest.mark.usefixtures("own_network")
def test_a_minute() -> None:
    done = run(sys.executable, "-m", "tests.bench.soak", *STEADY, *WAVE, *MOST_MEMORY, seconds=200)
    said = done.stdout.decode() + done.stderr.decode()
    assert done.returncode == 0, said
    assert said.count("pass  ") == 12, said
