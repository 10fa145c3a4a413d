"""Reads requirements.lock for one Python: which distributions it is to have, in which versions, by which hashes.

pip asks a line's marker of the Python that runs pip, not of the one that it fetches for; so markers are read here.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

LINE = re.compile(r"([a-zA-Z0-9._-]+)==([^ ;]+)(?: ; (.+?))?(?= --hash=|$)")
CLAUSE = re.compile(r"([a-z_]+) (==|!=|<|>=) '([^']+)'")
# In this all targets are alike.
TARGET = {"sys_platform": "linux", "platform_python_implementation": "CPython", "implementation_name": "cpython"}
VERSIONS = {"python_version", "python_full_version"}


@dataclass(frozen=True)
class Locked:
    """A line of the lock: a distribution and the SHA-256 of each file that may stand for it."""

    name: str
    version: str
    hashes: frozenset[str]

    @property
    def requirement(self) -> str:
        """As pip reads it, with no condition left."""
        return " ".join([f"{self.name}=={self.version}", *(f"--hash=sha256:{each}" for each in sorted(self.hashes))])


def read_lock(path: Path, python: str) -> Iterator[Locked]:
    """What a Python of that version (`3.11`) is to have. Exits with a message at a marker that can't be read."""
    for line in path.read_text("utf-8").replace("\\\n", " ").splitlines():
        match = LINE.match(re.sub(" +", " ", line))
        if match and holds(match[3] or "", python):
            yield Locked(match[1], match[2], frozenset(re.findall(r"--hash=sha256:([0-9a-f]{64})", line)))


def holds(marker: str, python: str) -> bool:
    """Whether a marker is true of the target. It is read as far as `make lock` writes it: clauses joined by `and`."""
    return all(_is_true(clause, python) for clause in marker.split(" and ") if clause)


def _is_true(clause: str, python: str) -> bool:
    match = CLAUSE.fullmatch(clause)
    name, sign, value = match.groups() if match else ("", "", "")
    if name in TARGET and sign in {"==", "!="}:
        return (TARGET[name] == value) is (sign == "==")
    # Nothing that would need the third number of the target's version, which nobody knows here.
    if name in VERSIONS and sign in {"<", ">="} and re.fullmatch(r"\d+\.\d+", value):
        return (_numbers(python) < _numbers(value)) is (sign == "<")
    sys.exit(f"scripts/locked.py can't read the lock's marker `{clause}`")


def _numbers(version: str) -> tuple[int, ...]:
    return tuple(int(each) for each in version.split("."))
