from __future__ import annotations

import mmap
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from gproxy.limit.memory import PAGE, Memory, started

pytestmark = pytest.mark.usefixtures("no_leaked_descriptors")


def test_sections_lie_beside_each_other() -> None:
    memory = Memory()
    one, other = memory.section("one", 100), memory.section("other", PAGE + 1)
    assert (len(one.mapped), len(other.mapped)) == (100, PAGE + 1)
    one.mapped[:] = b"1" * 100
    other.mapped[:] = b"2" * (PAGE + 1)
    assert set(memory.section("one", 100).mapped[:]) == {ord("1")}
    assert set(memory.section("other", PAGE + 1).mapped[:]) == {ord("2")}


def test_whoever_has_the_descriptor_has_the_sections() -> None:
    memory = Memory()
    memory.section("one", 8).mapped[:] = b"remember"
    assert Memory.adopt(os.dup(memory.fd)).section("one", 8).mapped[:] == b"remember"


def test_another_layout_is_another_section() -> None:
    memory = Memory()
    memory.section("one 1", 8).mapped[:] = b"remember"
    assert memory.section("one 2", 8).mapped[:] == bytes(8)
    assert memory.section("one 1", 9).mapped[:] == bytes(9)


def test_a_section_begins_once() -> None:
    memory = Memory()
    begun: list[int] = []

    def begin(mapped: mmap.mmap) -> None:
        begun.append(len(mapped))
        mapped[:2] = b"ok"

    for _ in range(3):
        assert memory.section("one", 10, begin).mapped[:2] == b"ok"
    assert begun == [10]


def test_one_that_did_not_begin_is_not_there() -> None:
    memory = Memory()

    class Killed(BaseException):
        pass

    def begin(mapped: mmap.mmap) -> None:
        mapped[:4] = b"half"
        raise Killed

    with pytest.raises(Killed):
        memory.section("one", 10, begin)
    assert memory.section("one", 10).mapped[:] == bytes(10)


def test_there_is_an_end_to_it() -> None:
    memory = Memory()
    with pytest.raises(OSError, match="no room"):
        for number in range(2000):
            memory.section(f"{number}", 1).mapped.close()
    assert memory.section("7", 1).mapped[:] == b"\0", "those that are there stay"


def test_what_was_never_used_takes_no_room() -> None:
    memory = Memory()
    large = memory.section("large", 1 << 30)
    large.mapped[:1] = b"x"
    assert large.read(0, 4) == b"x\0\0\0"
    assert not any(large.read(1, 1 << 24)), "who looks takes none either"
    assert os.fstat(memory.fd).st_blocks * 512 <= 4 * PAGE


def test_it_is_closed_with_the_last_who_uses_it() -> None:
    section = Memory().section("one", 8)
    section.mapped[:] = b"remember"
    assert section.mapped[:] == b"remember"


@pytest.mark.parametrize("content", [b"", b"gproxy memory 0\n" + bytes(PAGE), bytes(PAGE)])
def test_what_is_no_memory(content: bytes) -> None:
    plain = os.memfd_create("plain", 0)
    os.write(plain, content)
    with pytest.raises(ValueError, match="version"):
        Memory.adopt(plain)
    os.close(plain)
    with pytest.raises(ValueError, match="version"):
        Memory.adopt(plain)


ADDER = """
import sys
from pathlib import Path
from gproxy.limit.memory import Memory
section = Memory.adopt(int(sys.argv[1])).section("number", 8)
print("ready", flush=True)
sys.stdin.readline()
for _ in range(20000):
    section.lock(3)
    section.mapped[:8] = (int.from_bytes(section.mapped[:8], "big") + 1).to_bytes(8, "big")
    section.unlock(3)
"""


def test_a_lock_holds_other_processes_off() -> None:
    memory = Memory()
    adders = [
        subprocess.Popen(
            [sys.executable, "-c", ADDER, str(memory.fd)], pass_fds=[memory.fd], stdin=-1, stdout=-1, text=True
        )
        for _ in range(2)
    ]
    for each in adders:
        assert each.stdout is not None
        assert each.stdout.readline() == "ready\n"
    for each in adders:
        assert each.stdin is not None
        each.stdin.write("go\n")
        each.stdin.flush()
    for each in adders:
        each.communicate(timeout=50)
    assert [each.returncode for each in adders] == [0, 0]
    assert int.from_bytes(memory.section("number", 8).mapped[:8], "big") == 40000


def test_one_in_a_file_is_known_again(tmp_path: Path) -> None:
    path = tmp_path / "cache.db"
    Memory.at(path).section("one", 8).mapped[:] = b"remember"
    again = Memory.at(path)
    assert again.section("one", 8).mapped[:] == b"remember"
    assert path.stat().st_mode & 0o777 == 0o600


@pytest.mark.parametrize("cut", [0, 10, PAGE - 1, PAGE + 1])
def test_a_broken_file_is_set_aside(cut: int, tmp_path: Path) -> None:
    path = tmp_path / "cache.db"
    Memory.at(path).section("one", 8).mapped[:] = b"remember"
    os.truncate(path, cut)
    fresh = Memory.at(path)
    assert fresh.section("one", 8).mapped[:] == bytes(8)
    assert (tmp_path / "cache.db.broken").exists() is (cut > 0)


def test_a_foreign_file_is_set_aside(tmp_path: Path) -> None:
    path = tmp_path / "cache.db"
    path.write_bytes(b"somebody's" * 100_000)
    Memory.at(path)
    assert (tmp_path / "cache.db.broken").read_bytes().startswith(b"somebody's")


def test_a_lock_that_somebody_holds_may_be_asked_for_without_waiting() -> None:
    section = Memory().section("number", 8)
    ready, tell = os.pipe()
    pid = os.fork()
    if pid == 0:
        section.lock(3)
        os.write(tell, b"x")
        signal.pause()
    os.read(ready, 1)
    os.close(ready)
    os.close(tell)
    assert not section.try_lock(3)
    assert section.try_lock(2), "that is another byte"
    os.kill(pid, signal.SIGKILL)
    os.waitpid(pid, 0)
    assert section.try_lock(3)


def test_a_process_is_told_from_others_of_its_number() -> None:
    assert started(os.getpid()) > 0
    assert started(os.getpid()) >= started(os.getppid())
    assert started(2**22 + 1) == 0, "beyond all numbers"
