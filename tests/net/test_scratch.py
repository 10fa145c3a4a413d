"""gproxy.net.scratch: buffers that have nothing to do with each other, and no memory before they are used."""

from __future__ import annotations

import os
import re
from pathlib import Path

from gproxy.net.scratch import scratches

MIB = 1024 * 1024


def resident() -> int:
    """Bytes of this process's own memory."""
    found = re.search(r"^RssAnon:\s+(\d+) kB", Path("/proc/self/status").read_text("ascii"), re.MULTILINE)
    assert found is not None
    return int(found[1]) * 1024


def test_each_has_its_size_and_none_shares_a_byte():
    first, second, third = scratches(10, 3 * MIB, 1)
    assert [len(one) for one in (first, second, third)] == [10, 3 * MIB, 1]
    for number, one in enumerate((first, second, third), start=1):
        one[:] = bytes([number]) * len(one)
    assert bytes(first) == b"\1" * 10
    assert bytes(second) == b"\2" * 3 * MIB
    assert bytes(third) == b"\3"


def test_what_is_not_used_takes_no_memory():
    before = resident()
    (one,) = scratches(64 * MIB)
    assert resident() - before < 8 * MIB
    one[0] = 1
    assert resident() - before < 8 * MIB
    one[:] = bytes(1) * len(one)
    assert resident() - before > 56 * MIB


def test_another_process_writes_into_its_own():
    (one,) = scratches(10)
    one[0] = 1
    child = os.fork()
    if not child:
        one[0] = 2
        os._exit(0)
    os.waitpid(child, 0)
    assert one[0] == 1
