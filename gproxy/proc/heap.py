"""The heap of a process that serves for long.

The garbage collector's part is little, since a session that ends leaves no cycles behind (a test holds that). The C
library's is to keep what is free at the end of its heap: buffers of a few hundred KiB come and go with each read, and
to get the same pages from the kernel each time, zeroed, took a third of the CPU of streams within streams. Floods give
theirs back (gproxy.app.ebb).
"""

from __future__ import annotations

import ctypes
import gc
from typing import Final

# Allocations that stay, between two looks at the youngest objects. Python's 700 is for programs that make cycles; here
# each look only goes over the sessions that are open.
_THRESHOLDS = (50_000, 20, 50)


# Numbers of mallopt(3), and bytes: how much may be free at the end before some is given back, how much more than wanted
# is asked for, and from which size on a block is no part of the heap.
_KEEPING: Final = ((-1, 8 << 20), (-2, 256 << 10), (-3, 2 << 20))


def settle() -> None:
    """Everything is loaded: the collector looks at it no more, and less often at the rest; what is free is kept."""
    keep = getattr(ctypes.CDLL(None), "mallopt", None)  # glibc's; others have one that does nothing, or none
    if keep is not None:
        for what, size in _KEEPING:
            keep(what, size)
    gc.collect()
    gc.freeze()
    gc.set_threshold(*_THRESHOLDS)
