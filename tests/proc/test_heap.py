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


FAULTS = """
import resource, sys
from gproxy.proc.heap import settle
if sys.argv[1:]:
    settle()
for _ in range(1000):
    kept = [bytearray(300_000), bytes(200_000)]
print(resource.getrusage(resource.RUSAGE_SELF).ru_minflt)
"""


def test_buffers_that_come_and_go_keep_their_pages() -> None:
    faults = [
        int(subprocess.run([sys.executable, "-c", FAULTS, *more], check=True, capture_output=True).stdout)
        for more in ((), ("settle",))
    ]
    assert faults[1] + 20_000 < faults[0]
