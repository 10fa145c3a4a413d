"""The garbage collector's part: little, since a session that ends leaves no cycles behind (a test holds that)."""

from __future__ import annotations

import gc

# Allocations that stay, between two looks at the youngest objects. Python's 700 is for programs that make cycles; here
# each look only goes over the sessions that are open.
_THRESHOLDS = (50_000, 20, 50)


def settle() -> None:
    """Everything is loaded: take it out of the collector's sight, and let it look less often from now on."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(*_THRESHOLDS)
