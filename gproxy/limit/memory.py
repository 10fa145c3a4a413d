"""Memory that all processes of this gproxy share: the workers, and the generations after them.

    0            64 KiB
    +------------+-------------+-------------+---
    | directory  | a section   | a section   | …     a section begins at a multiple of 64 KiB
    +------------+-------------+-------------+---
    mark, then for each section: its name, where it begins, its size

The master makes the file, and hands its descriptor to every generation and through every upgrade; it knows no section.
Whoever needs one asks for it by a name that changes with its layout, so that old and new code, which may run at the
same time, never read each other's. Pages that were never written to take no memory.
"""

from __future__ import annotations

import fcntl
import os
import struct
from collections.abc import Callable
from hashlib import blake2b
from mmap import mmap
from pathlib import Path
from typing import Final

PAGE: Final = 1 << 16
"""What sections are made of, in bytes: the largest page of any machine, since memory is given back in whole ones."""

_MARK: Final = b"gproxy memory 1\n"
_ENTRY = struct.Struct("=48sQQ")
_ENTRIES: Final = (PAGE - len(_MARK)) // _ENTRY.size
_LOCK: Final = 0  # the byte that is locked while the directory is read or changed


class Memory:
    """The file. It is closed with the last who use it here."""

    __slots__ = ("fd",)

    def __init__(self) -> None:
        """A new one, without sections. Raises OSError."""
        self.fd = -1
        self.fd = os.memfd_create("gproxy-shared", os.MFD_CLOEXEC)
        os.ftruncate(self.fd, PAGE)
        os.pwrite(self.fd, _MARK, 0)

    @classmethod
    def adopt(cls, fd: int) -> Memory:
        """Take over the descriptor of one. Raises ValueError when it is none, or of another version."""
        try:
            known = os.pread(fd, len(_MARK), 0) == _MARK
        except OSError:
            known = False
        if not known:
            raise ValueError("not a memory of this version")
        os.set_inheritable(fd, False)
        memory = cls.__new__(cls)
        memory.fd = fd
        return memory

    @classmethod
    def at(cls, path: Path) -> Memory:
        """The one in a file, which outlives gproxy too: made if there is none, and a broken one is set aside.

        Raises OSError.
        """
        for _ in range(2):
            memory = cls.__new__(cls)
            memory.fd = -1
            memory.fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
            if os.fstat(memory.fd).st_size == 0:
                os.ftruncate(memory.fd, PAGE)
                os.pwrite(memory.fd, _MARK, 0)
            if memory._is_whole():
                return memory
            path.replace(f"{path}.broken")
        raise OSError(f"{path} is not what gproxy has written")

    def _is_whole(self) -> bool:
        """Whether every section is all there: a file may have been cut off."""
        size = os.fstat(self.fd).st_size
        if os.pread(self.fd, len(_MARK), 0) != _MARK or size < PAGE:
            return False
        entries = _ENTRY.iter_unpack(os.pread(self.fd, _ENTRIES * _ENTRY.size, len(_MARK)))
        return all(not at or (at % PAGE == 0 and has and at + has <= size) for _, at, has in entries)

    def section(self, name: str, size: int, begin: Callable[[mmap], None] = lambda mapped: None) -> Section:
        """The section of that name and size, which is made if there is none.

        `begin` is called once in its life, while nobody else can get it, with what is all zeros. Raises OSError.
        """
        wanted = name.encode()
        assert 0 < len(wanted) <= 48, "a name of the code's own"
        fcntl.lockf(self.fd, fcntl.LOCK_EX, 1, _LOCK)
        try:
            for index in range(_ENTRIES):
                where = len(_MARK) + index * _ENTRY.size
                known, at, has = _ENTRY.unpack(os.pread(self.fd, _ENTRY.size, where))
                if not at:
                    return self._add(wanted, size, where, begin)
                if known.rstrip(b"\0") == wanted and has == size:
                    return Section(self, at, size)
        finally:
            fcntl.lockf(self.fd, fcntl.LOCK_UN, 1, _LOCK)
        raise OSError("no room for another section of shared memory")

    def _add(self, name: bytes, size: int, where: int, begin: Callable[[mmap], None]) -> Section:
        at = os.fstat(self.fd).st_size
        os.ftruncate(self.fd, at + (size + PAGE - 1) // PAGE * PAGE)
        section = Section(self, at, size)
        begin(section.mapped)
        os.pwrite(self.fd, _ENTRY.pack(name, at, size), where)  # last: who is killed before that has made nothing
        return section

    def __del__(self) -> None:
        if self.fd >= 0:
            os.close(self.fd)


KEY: Final = 32
"""Bytes of a key that rows are placed by, so that nobody outside can tell whose rows collide."""


def draw_key(mapped: mmap) -> None:
    """Begin a section with a key of its own."""
    mapped[:KEY] = os.urandom(KEY)


def tag_of(data: bytes, key: bytes) -> int:
    """A row's tag, which says whose the row is; never 0, which is nobody's."""
    return int.from_bytes(blake2b(data, digest_size=8, key=key).digest(), "little") or 1


def started(pid: int) -> int:
    """When a process was started, in ticks since the system was; 0: there is none.

    With it, who has written something is told from a later process of that number.
    """
    try:
        with open(f"/proc/{pid}/stat", "rb") as file:
            return int(file.read().rpartition(b")")[2].split()[19])
    except (OSError, IndexError, ValueError):
        return 0


class Section:
    """A part of the memory, which its owner lays out."""

    __slots__ = ("_at", "_memory", "mapped")

    def __init__(self, memory: Memory, at: int, size: int) -> None:
        self._memory = memory
        self._at = at
        self.mapped = mmap(memory.fd, size, offset=at)

    def read(self, at: int, size: int) -> bytes:
        """A part of it. Unlike a look into `mapped`, that takes no memory for pages that were never written to."""
        return os.pread(self._memory.fd, size, self._at + at)

    def lock(self, byte: int = 0) -> None:
        """Hold one byte of it against other processes, until `unlock`; the kernel lets it go if this process dies.

        Such locks are between processes: within one, only the main thread may ask.
        """
        fcntl.lockf(self._memory.fd, fcntl.LOCK_EX, 1, self._at + byte)

    def try_lock(self, byte: int = 0) -> bool:
        """The same, without waiting: whether it is held now."""
        try:
            fcntl.lockf(self._memory.fd, fcntl.LOCK_EX | fcntl.LOCK_NB, 1, self._at + byte)
        except (BlockingIOError, PermissionError):  # fcntl(2): either, on some systems
            return False
        return True

    def unlock(self, byte: int = 0) -> None:
        """Let it go."""
        fcntl.lockf(self._memory.fd, fcntl.LOCK_UN, 1, self._at + byte)

    def held(self, byte: int = 0) -> Held:
        """The same for a `with` block."""
        return Held(self, byte)


class Held:
    """A byte of a section that is held."""

    __slots__ = ("_byte", "_section")

    def __init__(self, section: Section, byte: int) -> None:
        self._section = section
        self._byte = byte

    def __enter__(self) -> None:
        self._section.lock(self._byte)

    def __exit__(self, *_: object) -> None:
        self._section.unlock(self._byte)
