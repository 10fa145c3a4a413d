"""The tests' own records, which other suites build on, keep the laws too."""

from __future__ import annotations

from tests.conformance.records import LARGEST, PlainOpener, PlainSealer
from tests.laws.registry import Framing

FRAMINGS = [
    Framing("plain-records", lambda: (PlainSealer(), PlainOpener()), LARGEST),
    Framing("plain-records-with-a-head", lambda: (PlainSealer(b"head"), PlainOpener()), LARGEST, before=b"head"),
]
