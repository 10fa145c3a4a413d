"""Opening a file of lines that several processes write to, and that one of them moves away. Standard library only.

Whoever has such a file open holds a shared lock on it, so that nobody compresses what is still written to.
"""

from __future__ import annotations

import fcntl
import os
from pathlib import Path
from typing import Final

# A named pipe without a reader would hold up whoever opens it until one comes; so it is an error.
_FLAGS: Final = os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC | os.O_NONBLOCK

# A file that is moved away in the moment when it is opened, so many times in a row, is taken as it is.
_TRIES: Final = 10


def open_lines(path: str, *, held: bool = False) -> int:
    """A descriptor to append to the file, which does not block; `held`: with the lock. Raises OSError."""
    for _ in range(_TRIES):
        fd = os.open(path, _FLAGS, 0o640)
        if not held or _hold(fd, path):
            return fd
        os.close(fd)
    return os.open(path, _FLAGS, 0o640)


def _hold(fd: int, path: str) -> bool:
    """Lock the file; False if it has been moved away since it was opened, and may be compressed by now."""
    try:
        fcntl.flock(fd, fcntl.LOCK_SH | fcntl.LOCK_NB)
        return os.path.samestat(os.fstat(fd), Path(path).stat())
    except (BlockingIOError, FileNotFoundError):
        return False
    except OSError:  # a file system without locks: whoever rotates waits a while, too
        return True
