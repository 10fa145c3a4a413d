"""Hosts files (hosts(5)): names and addresses that somebody has written down, read again when the file changes.

address  name  [ name … ]  [ # comment ]
"""

from __future__ import annotations

import logging
import os
from pathlib import Path
from typing import Final

from gproxy.base.address import IP, parse_ip
from gproxy.base.clock import now
from gproxy.rt.crew import launch
from gproxy.rt.offload import offload

_LOOK_EVERY: Final = 1.0
"""Seconds between two looks at the file's time: a look costs a system call."""

_SMALL: Final = 256 * 1024
"""Bytes that are read at once, in a few milliseconds; larger files are read in a thread, and the old ones serve on."""

_MOST: Final = 64 * 1024 * 1024

_log = logging.getLogger("gproxy.dns")

Names = dict[str, tuple[IP, ...]]
Addresses = dict[str, tuple[str, ...]]


def read_hosts(text: str) -> tuple[Names, Addresses]:
    """The addresses of each name, and the names of each address (as its text); what is no such line is passed over."""
    names: dict[str, list[IP]] = {}
    addresses: dict[str, list[str]] = {}
    for line in text.splitlines():
        words = line.partition("#")[0].split()
        if len(words) < 2:
            continue
        try:
            ip = parse_ip(words[0])
        except ValueError:
            continue
        for word in words[1:]:
            name = word.lower().removesuffix(".")
            if not name or not name.isascii():
                continue
            known = names.setdefault(name, [])
            if ip not in known:
                known.append(ip)
            addresses.setdefault(str(ip), []).append(name)
    return {name: tuple(ips) for name, ips in names.items()}, {ip: tuple(all_) for ip, all_ in addresses.items()}


class HostsFile:
    """One file. One that is missing or can't be read has no names; that is logged once."""

    def __init__(self, path: str) -> None:
        self._path = Path(os.path.expandvars(path))
        self._names: Names = {}
        self._addresses: Addresses = {}
        self._seen: tuple[int, int, int] | None = None
        self._look_at = 0.0
        self._reading = False
        self._told = False

    def addresses(self, name: str) -> tuple[IP, ...]:
        """Those of a name in lower case."""
        self._look()
        return self._names.get(name, ())

    def names(self, ip: IP) -> tuple[str, ...]:
        """Those of an address, the first one first."""
        self._look()
        return self._addresses.get(str(ip), ())

    def _look(self) -> None:
        if now() < self._look_at:
            return
        self._look_at = now() + _LOOK_EVERY
        try:
            found = self._path.stat()
        except OSError as error:
            self._complain(error)
            self._seen, self._names, self._addresses = None, {}, {}
            return
        seen = (found.st_mtime_ns, found.st_size, found.st_ino)
        if seen == self._seen or self._reading:
            return
        first, self._seen = self._seen is None, seen
        if first or found.st_size <= _SMALL:
            self._keep(self._read())
        else:
            self._reading = True
            launch(self._read_aside)

    def _read_aside(self) -> None:
        try:
            self._keep(offload(self._read))
        finally:
            self._reading = False

    def _read(self) -> tuple[Names, Addresses]:
        """In any thread."""
        try:
            with self._path.open(encoding="utf-8", errors="replace") as file:
                return read_hosts(file.read(_MOST))
        except OSError as error:
            self._complain(error)
            return {}, {}

    def _keep(self, read: tuple[Names, Addresses]) -> None:
        self._names, self._addresses = read
        self._told = self._told and not self._names

    def _complain(self, error: OSError) -> None:
        if not self._told:
            self._told = True
            _log.warning("%s: %s", self._path, error.strerror or error)
