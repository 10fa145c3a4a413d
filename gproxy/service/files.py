"""Where files are kept that outlive a process, and how they are replaced: as a whole."""

from __future__ import annotations

import contextlib
import os
import tempfile
from pathlib import Path


def state_folder() -> Path:
    """Where this gproxy keeps what outlives it: systemd's, root's, or the user's."""
    if given := os.environ.get("STATE_DIRECTORY"):
        return Path(given.split(":", 1)[0])
    if os.geteuid() == 0:
        return Path("/var/lib/gproxy")
    if given := os.environ.get("XDG_STATE_HOME"):
        return Path(given) / "gproxy"
    return Path.home() / ".local/state/gproxy"


def write(path: Path, data: bytes) -> None:
    """Replace the file as a whole, readable for its owner alone. Raises OSError, and leaves the old one then."""
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    fd, name = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent)  # of mode 0600
    try:
        with os.fdopen(fd, "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(fd)
        Path(name).replace(path)
    except BaseException:
        with contextlib.suppress(OSError):
            Path(name).unlink()
        raise
