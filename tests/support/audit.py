"""An audit log of a test's own."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from gproxy.observe import audit
from gproxy.observe.lines import Clients


@dataclass
class Settings:
    """A `log.audit` table."""

    output: str
    format: str = "json"
    rate: int = 20


class AuditFile:
    """Kept while `open` is entered."""

    def __init__(self, folder: Path) -> None:
        self.path = folder / "audit.log"

    @contextmanager
    def open(self, form: str = "json", rate: int = 20, clients: Clients = "whole") -> Iterator[None]:
        """What is told in here is written, each line at once."""
        audit.setup(Settings(str(self.path), form, rate), clients)
        book = audit._kept.book
        assert book is not None
        sink = book.file._sink
        assert sink is not None
        try:
            yield
        finally:
            audit.close()
            os.close(sink.fileno())  # a process leaves that to its end

    def events(self) -> list[dict[str, Any]]:
        """All lines, without the time and who has written them."""
        found = [json.loads(line) for line in self.path.read_text("utf-8").splitlines()]
        return [{key: value for key, value in each.items() if key not in {"time", "pid"}} for each in found]
