from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]

CODE = """
import os, signal
from gproxy.rt.signals import on_signal
from gproxy.rt.sync import Event
from gproxy.rt.deadline import deadline

got = Event()
count = []
def note():
    count.append(1)
    got.set()
on_signal(signal.SIGUSR1, note)
for _ in range(2):
    got.clear()
    os.kill(os.getpid(), signal.SIGUSR1)
    with deadline(30, TimeoutError()):
        got.wait()
print(len(count))
"""


def test_a_signal_becomes_a_call_each_time() -> None:
    """In a process of its own: the runner's signals are its."""
    done = subprocess.run([sys.executable, "-c", CODE], cwd=ROOT, check=False, capture_output=True, text=True)
    assert (done.stdout.strip(), done.stderr) == ("2", ""), os.fspath(ROOT)
