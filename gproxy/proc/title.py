"""How a process is called by ps, top and pidof. Standard library only."""

from __future__ import annotations

from pathlib import Path

_LONGEST = 15  # TASK_COMM_LEN without its end (prctl(2), PR_SET_NAME)


def call_process(name: str) -> None:
    """Give this process a name. It has another one where /proc can't be written, which harms nobody."""
    try:
        Path("/proc/self/comm").write_text(name[:_LONGEST])
    except OSError:
        return
