"""Figures of a module's own process: `python -m MODULE` measures, and prints them as JSON."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable

from tests.bench.bench import Bench
from tests.bench.sampling import Figures
from tests.bench.worker import WorkFailed


def sample_of(module: str, seconds: float) -> Callable[[Bench, str], Figures]:
    """A sample of gproxy alone; it fails after so many seconds."""

    def sample(bench: Bench, name: str) -> Figures:
        if name != "gproxy":
            return {}
        command = [sys.executable, "-m", module]
        done = subprocess.run(command, capture_output=True, text=True, timeout=seconds, check=False)
        if done.returncode:
            raise WorkFailed(done.stderr[-500:])
        figures: Figures = json.loads(done.stdout)
        return figures

    return sample
