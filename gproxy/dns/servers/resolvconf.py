"""What the system says about whom to ask (resolv.conf(5)), read again when the file changes.

nameserver 192.0.2.1            up to three count
search example.com lan          what is put behind short names; `domain` is an older word for one
options ndots:1 timeout:5 attempts:2 rotate use-vc
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from gproxy.base.address import IP, parse_host, parse_ip
from gproxy.base.clock import now

ETC_RESOLV: Final = "/etc/resolv.conf"

_THIS_MACHINE: Final = (parse_ip("127.0.0.1"),)
_LOOK_EVERY: Final = 1.0  # seconds
_MOST: Final = 64 * 1024
_MOST_SERVERS: Final = 3
_MOST_SEARCH: Final = 6
_MOST_NDOTS: Final = 15
_MOST_TIMEOUT: Final = 30
_MOST_ATTEMPTS: Final = 5
_NUMBERED: Final = re.compile(r"(ndots|timeout|attempts):([0-9]{1,9})")


@dataclass(frozen=True, slots=True)
class Resolv:
    """What a file says. `timeout` is in seconds, for one server; limits are those of the system's own resolver."""

    servers: tuple[IP, ...] = _THIS_MACHINE
    search: tuple[str, ...] = ()
    ndots: int = 1
    timeout: int = 5
    attempts: int = 2
    rotate: bool = False
    tcp: bool = False

    def names_for(self, name: str) -> Iterator[str]:
        """The names to try for one that was asked for, in their order: all of them with enough dots as they are."""
        enough = name.count(".") >= self.ndots
        if enough:
            yield name
        if name:
            for domain in self.search:
                yield f"{name}.{domain}"
        if not enough:
            yield name


def read_resolv(text: str) -> Resolv:
    """Read a file's text; what can't be read is passed over."""
    servers: list[IP] = []
    search: tuple[str, ...] = ()
    numbers = {"ndots": 1, "timeout": 5, "attempts": 2}
    words: set[str] = set()
    for line in text.splitlines():
        if line[:1] in "#;":
            continue
        key, *values = line.split() or [""]
        if key == "nameserver" and values and "%" not in values[0]:  # an address of a link alone can't be dialled
            servers += _ips(values[0])
        elif key == "domain" and values:
            search = tuple(_domains(values[:1]))
        elif key == "search":
            search = tuple(_domains(values))
        elif key == "options":
            words.update(values)
            numbers |= {found[1]: int(found[2]) for value in values if (found := _NUMBERED.fullmatch(value))}
    return Resolv(
        tuple(servers[:_MOST_SERVERS]) or _THIS_MACHINE,
        search[:_MOST_SEARCH],
        min(numbers["ndots"], _MOST_NDOTS),
        max(1, min(numbers["timeout"], _MOST_TIMEOUT)),
        max(1, min(numbers["attempts"], _MOST_ATTEMPTS)),
        "rotate" in words,
        "use-vc" in words,
    )


def _ips(text: str) -> list[IP]:
    try:
        return [parse_ip(text)]
    except ValueError:
        return []


def _domains(texts: list[str]) -> Iterator[str]:
    for text in texts:
        try:
            host = parse_host(text)
        except ValueError:
            continue
        if isinstance(host, str):
            yield host


class ResolvConf:
    """The file. Without one, this machine itself is asked, as by the system's own resolver."""

    def __init__(self, path: str = ETC_RESOLV) -> None:
        self._path = Path(path)
        self._look_at = 0.0
        self._seen: tuple[int, int, int] | None = None
        self._says = Resolv()

    def read(self) -> Resolv:
        """What it says by now. The same object as long as it says the same."""
        if now() >= self._look_at:
            self._look_at = now() + _LOOK_EVERY
            self._look()
        return self._says

    def _look(self) -> None:
        try:
            found = self._path.stat()
            seen = (found.st_mtime_ns, found.st_size, found.st_ino)
            if seen != self._seen:
                with self._path.open(encoding="utf-8", errors="replace") as file:
                    says = read_resolv(file.read(_MOST))
                self._seen = seen
                self._says = says if says != self._says else self._says
        except OSError:
            self._seen, self._says = None, Resolv()
