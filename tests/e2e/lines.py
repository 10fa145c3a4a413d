"""Logs in files of their own, with all that was moved away."""

from __future__ import annotations

import gzip
import json
from contextlib import suppress
from pathlib import Path
from typing import Any


def files(path: Path) -> list[Path]:
    """A log and all that was moved away; what is being compressed is there as it was, until that is done."""
    return sorted(each for each in path.parent.glob(path.name + "*") if each.suffix != ".part")


def lines(path: Path) -> list[dict[str, Any]]:
    """All of them, of old files too."""
    found = []
    for each in files(path):
        with suppress(FileNotFoundError):  # compressed at this moment
            data = gzip.decompress(each.read_bytes()) if each.suffix == ".gz" else each.read_bytes()
            found += [json.loads(line) for line in data.splitlines()]
    return found
