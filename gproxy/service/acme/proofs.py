"""What answers an authority's challenges on port 80 and in handshakes."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Final

from gproxy.rt.sync import sleep
from gproxy.service.acme.certificates import asked_name, proving
from gproxy.service.http import Answer, Request

_PATH: Final = [".well-known", "acme-challenge"]

# Workers take a moment to hear of a certificate; nobody tells when the last one has. In seconds.
SETTLE: Final = 1.0


class Pages:
    """What is to be read on port 80, for all orders at once (RFC 8555 section 8.3)."""

    def __init__(self) -> None:
        self.answers: dict[str, str] = {}  # by token

    def answer(self, request: Request) -> Answer:
        """An authority's question; there is nothing else here."""
        found = self.answers.get(request.parts[-1], "") if request.parts[:-1] == _PATH else ""
        if not found:
            return Answer.of_text(404, "there is nothing here")
        if request.method != "GET":
            return Answer(405, allow="GET")
        return Answer(200, found.encode(), "application/octet-stream")


class OnPort80:
    """Shows answers as pages (see Prover)."""

    kind = "http-01"

    def __init__(self, pages: Pages) -> None:
        self._pages = pages
        self._mine: list[str] = []

    def show(self, name: str, token: str, answer: str) -> None:
        """See Prover."""
        self._pages.answers[token] = answer
        self._mine.append(token)

    def wait(self) -> None:
        """See Prover: they can be read at once."""

    def hide(self, *, hurry: bool = False) -> None:
        """See Prover."""
        while self._mine:
            self._pages.answers.pop(self._mine.pop(), None)


class InHandshakes:
    """Shows answers as certificates that workers serve to who asks for `acme-tls/1` (RFC 8737; see Prover)."""

    kind = "tls-alpn-01"

    def __init__(self, tell: Callable[[Mapping[str, str]], None]) -> None:
        """`tell` hands certificates, with their keys in PEM, to all workers: by the name that is asked for."""
        self._tell = tell
        self._mine: dict[str, str] = {}

    def show(self, name: str, token: str, answer: str) -> None:
        """See Prover."""
        self._mine[asked_name(name)] = proving(name, answer).decode("ascii")

    def wait(self) -> None:
        """See Prover."""
        self._tell(self._mine)
        sleep(SETTLE)

    def hide(self, *, hurry: bool = False) -> None:
        """See Prover."""
        if self._mine:
            self._mine = {}
            self._tell(self._mine)
