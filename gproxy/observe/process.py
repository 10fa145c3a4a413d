"""What this process takes of the machine (proc(5))."""

from __future__ import annotations

import os
import time
from pathlib import Path
from typing import Final

_PAGE: Final = os.sysconf("SC_PAGE_SIZE")


def resident() -> int:
    """Bytes of memory, those of files included."""
    with open("/proc/self/statm", "rb") as file:
        return int(file.read().split()[1]) * _PAGE


def processor_seconds() -> float:
    """Of the processor, in user and in kernel mode."""
    return time.process_time()


def descriptors() -> int:
    """How many are open. Where the kernel does not keep count (before 6.2) they are listed."""
    known = Path("/proc/self/fd").stat().st_size
    return known or len(os.listdir("/proc/self/fd"))
