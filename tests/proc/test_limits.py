from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]

CODE = """
import resource
from gproxy.proc.limits import raise_descriptor_limit
resource.setrlimit(resource.RLIMIT_NOFILE, ({soft}, 200))
print(raise_descriptor_limit(), *resource.getrlimit(resource.RLIMIT_NOFILE))
"""


@pytest.mark.parametrize("soft", [50, 200])
def test_the_soft_limit_becomes_the_hard_one(soft: int) -> None:
    """In a process of its own: the runner needs its descriptors."""
    done = subprocess.run(
        [sys.executable, "-c", CODE.format(soft=soft)], cwd=ROOT, check=False, capture_output=True, text=True
    )
    assert done.stdout.split() == ["200", "200", "200"], done.stderr
