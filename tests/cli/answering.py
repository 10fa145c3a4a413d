"""A control socket that answers as the test wants."""

from __future__ import annotations

import json
import socket
import threading
from pathlib import Path
from typing import Any


class Answering:
    """Gives one answer, and keeps the question."""

    def __init__(self, folder: Path) -> None:
        self.path = str(folder / "control.sock")
        self.asked: dict[str, Any] = {}
        self._sock = socket.socket(socket.AF_UNIX)
        self._sock.bind(self.path)
        self._sock.listen()
        self._thread = threading.Thread(target=lambda: None)

    def says(self, **answer: Any) -> None:
        self._thread = threading.Thread(target=self._run, args=(answer,), daemon=True)
        self._thread.start()

    def _run(self, answer: dict[str, Any]) -> None:
        client, _ = self._sock.accept()
        with client:
            self.asked = json.loads(client.makefile().readline())
            client.sendall(json.dumps(answer).encode() + b"\n")

    def close(self) -> None:
        self._sock.close()
