from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from gproxy.base.clock import now
from gproxy.rt.child import Child
from gproxy.rt.group import Group
from gproxy.rt.sync import sleep
from tests.support.wait import wait_until

pytestmark = pytest.mark.usefixtures("no_leaks")

ROOT = Path(__file__).resolve().parent.parent.parent


def sh(script: str, **environment: str) -> Child:
    return Child(["/bin/sh", "-c", script], {"PATH": os.environ["PATH"], **environment})


def runs(pid: int) -> bool:
    """Whether there is such a process, and not a dead one that nobody has waited for."""
    try:
        return Path(f"/proc/{pid}/stat").read_text("ascii").rpartition(")")[2].split()[0] != "Z"
    except (FileNotFoundError, ProcessLookupError):
        return False


def test_what_it_says_and_how_it_ends() -> None:
    child = sh('echo "$X"; echo y >&2; read z || echo no input; exit 3', X="x")
    said = b""
    while data := child.read():
        said += data
    assert said == b"x\ny\nno input\n"
    assert child.wait() == "exit status 3"
    child.close()


def test_others_run_while_it_is_waited_for() -> None:
    child = sh("sleep 0.2; kill -9 $$")
    turns = 0
    with Group("test") as group:

        def turn() -> None:
            nonlocal turns
            while True:
                turns += 1
                sleep(0.01)

        group.spawn(turn)
        assert child.wait() == "killed by SIGKILL"
    assert turns > 5
    child.close()


def test_a_program_that_is_none() -> None:
    before = set(os.listdir("/proc/self/fd"))
    with pytest.raises(FileNotFoundError):
        Child(["/nowhere/x"], {})
    assert not set(os.listdir("/proc/self/fd")) - before


def test_what_was_said_last_is_there_after_the_end() -> None:
    child = sh("echo last words")
    child.wait()
    assert child.read_now() == b"last words\n"
    assert child.read_now() == b""
    child.close()


def test_a_living_child_that_says_nothing_keeps_nobody_waiting() -> None:
    child = sh("sleep 60")
    assert child.read_now() == b""
    child.end(1.0)
    child.close()


def test_it_is_asked_to_end() -> None:
    child = sh("trap 'echo bye; exit 0' TERM; echo ready; while :; do :; done")
    assert child.read() == b"ready\n"
    child.end(5.0)
    assert child.read_now() == b"bye\n"
    child.close()


def test_and_made_to_if_it_does_not() -> None:
    child = sh("trap '' TERM; echo ready; while :; do sleep 0.01; done")
    assert child.read() == b"ready\n"
    began = now()
    child.end(0.1)
    assert 0.1 <= now() - began < 3
    assert not runs(child.pid)
    child.close()


def test_what_it_has_started_ends_with_it() -> None:
    child = sh("sleep 60 & echo $!; wait")
    grandchild = int(child.read())
    assert runs(grandchild)
    os.kill(child.pid, signal.SIGKILL)
    child.wait()
    wait_until(lambda: not runs(grandchild), "what it had started still runs")
    child.close()


def test_it_hears_the_signals_that_we_ignore() -> None:
    before = signal.signal(signal.SIGTERM, signal.SIG_IGN)
    try:
        child = sh("kill -TERM $$; echo deaf")
        assert child.wait() == "killed by SIGTERM"
    finally:
        signal.signal(signal.SIGTERM, before)
    child.close()


def test_it_has_none_of_our_descriptors_and_a_session_of_its_own() -> None:
    ours, other = os.pipe()
    os.set_inheritable(ours, True)
    child = sh("ls /proc/self/fd | wc -l; ps -o sid= -p $$")
    child.wait()
    count, session = child.read_now().split()
    assert int(count) == 4  # 0, 1, 2, and the one that ls has open
    assert int(session) == child.pid
    child.close()
    os.close(ours)
    os.close(other)


ORPHAN = """
from gproxy.rt.patch import patch
patch()
from gproxy.rt.child import Child
print(Child(["/bin/sleep", "60"], {}).pid, flush=True)
Child(["/bin/sleep", "60"], {}).wait()
"""


def test_it_does_not_outlive_us() -> None:
    """Also in a patched process, and when that is killed."""
    with subprocess.Popen([sys.executable, "-c", ORPHAN], stdout=subprocess.PIPE, cwd=ROOT) as parent:
        assert parent.stdout is not None
        pid = int(parent.stdout.readline())
        assert runs(pid)
        parent.kill()
    wait_until(lambda: not runs(pid), "it still runs")
