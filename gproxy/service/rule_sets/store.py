"""What outlives a process of rule sets.

    FOLDER/ready/DIGEST.set         a set made ready, by what it was made from
    FOLDER/remote/HASH.data         what was downloaded last, by its URL
    FOLDER/remote/HASH.json         {"url": …, "etag": …, "modified": …, "asked": 1700000000.0}: what was said of it

Each is replaced as a whole. That nothing can be kept is no reason to stop: then sets are made ready and downloaded anew
by whoever starts next.
"""

from __future__ import annotations

import contextlib
import json
import logging
import os
from dataclasses import asdict, dataclass, replace
from hashlib import sha256
from pathlib import Path
from typing import Final

from gproxy.base.clock import wall
from gproxy.route.sets.packed import BadPacked, Packed, from_file
from gproxy.service.files import state_folder, write

_log = logging.getLogger("gproxy.rule_sets")

_MOST_FACTS: Final = 1 << 16  # bytes
_STALE: Final = 30 * 24 * 3600.0  # seconds after which a set made ready is nobody's any more


@dataclass(frozen=True, slots=True)
class Facts:
    """What a server has said of a download, and when it was asked last, in seconds since the epoch."""

    url: str
    etag: str = ""
    modified: str = ""
    asked: float = 0.0


class Store:
    """The files."""

    def __init__(self, folder: Path | None = None) -> None:
        self._folder = folder or state_folder() / "rule-sets"
        self._complained = False

    def ready(self, digest: str) -> int | None:
        """The descriptor of a memory file with the set that was made of this; None if there is none of use."""
        path = self._ready(digest)
        try:
            descriptor = from_file(path)
        except OSError:
            return None
        try:
            Packed(descriptor)
        except (BadPacked, OSError, ValueError):
            os.close(descriptor)
            return None
        with contextlib.suppress(OSError):
            os.utime(path)  # it is of use
        return descriptor

    def keep_ready(self, digest: str, data: bytes) -> None:
        """Keep a set made ready, and forget those that nobody has used for a month."""
        self._write(self._ready(digest), data)
        with contextlib.suppress(OSError):
            for path in self._ready("").parent.iterdir():
                if path.stat().st_mtime < wall() - _STALE:
                    path.unlink()

    def downloaded(self, url: str, most: int) -> tuple[bytes, Facts] | None:
        """What was downloaded last, if that was kept."""
        path = self._remote(url)
        try:
            with path.with_suffix(".data").open("rb") as file:
                data = file.read(most + 1)
            table = json.loads(path.with_suffix(".json").read_bytes()[:_MOST_FACTS])
            facts = Facts(str(table["url"]), str(table["etag"]), str(table["modified"]), float(table["asked"]))
        except (OSError, ValueError, KeyError, TypeError):
            return None
        return (data, facts) if facts.url == url and len(data) <= most else None

    def keep_downloaded(self, data: bytes, facts: Facts) -> None:
        """Keep what was downloaded."""
        path = self._remote(facts.url)
        # Facts that belong to other bytes would have the server say that nothing is new.
        self.forget(facts.url)
        self._write(path.with_suffix(".data"), data)
        self.keep_facts(facts)

    def forget(self, url: str) -> None:
        """What was downloaded is of no use."""
        with contextlib.suppress(OSError):
            self._remote(url).with_suffix(".json").unlink()

    def keep_facts(self, facts: Facts) -> None:
        """Keep what was said of the same."""
        self._write(self._remote(facts.url).with_suffix(".json"), json.dumps(asdict(facts), indent=2).encode() + b"\n")

    def _ready(self, digest: str) -> Path:
        return self._folder / "ready" / f"{digest}.set"

    def _remote(self, url: str) -> Path:
        return self._folder / "remote" / sha256(url.encode()).hexdigest()[:32]

    def _write(self, path: Path, data: bytes) -> None:
        try:
            if self._somebody_else_s():
                return
            write(path, data)
        except OSError as error:
            if not self._complained:
                self._complained = True
                _log.warning("rule sets can't be kept in %s: %s", self._folder, (error.strerror or str(error)).lower())

    def _somebody_else_s(self) -> bool:
        """Whether the folder is another user's, who could not replace what root, on a visit, would leave there."""
        for folder in (self._folder, self._folder.parent):
            try:
                return folder.stat().st_uid != os.geteuid()
            except FileNotFoundError:
                continue
        return False


def asked_now(facts: Facts) -> Facts:
    """The same facts, of which the server has been asked now."""
    return replace(facts, asked=wall())
