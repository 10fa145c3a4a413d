from __future__ import annotations

import subprocess
import sys

PROGRAM = """
import gc
from gproxy.proc.heap import settle
before = gc.get_freeze_count(), gc.get_threshold()[0]
settle()
assert gc.isenabled()
assert gc.get_freeze_count() > before[0], before
assert gc.get_threshold()[0] > before[1], before
"""


def test_what_is_there_is_looked_at_no_more() -> None:
    """In a process of its own: it is for the rest of a life."""
    done = subprocess.run([sys.executable, "-c", PROGRAM], check=False, capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (0, "")
