"""A rule set that is replaced while rules ask it."""

from __future__ import annotations

import os

from gproxy.base.session import Session
from gproxy.route.context import Context
from gproxy.route.sets.contents import Contents
from gproxy.route.sets.packed import Packed, in_memory, pack

_NOTHING = pack([])


class LiveSet:
    """See RuleSet. Until anything is known of it, it says nothing: no rule of it matches."""

    def __init__(self, tag: str, context: Context) -> None:
        """`context` is what its rules may look at."""
        self.tag = tag
        self.contents = _nothing(context)
        self._context = context

    @property
    def digest(self) -> str:
        """What it was made from; empty if nothing has been known of it."""
        return self.contents.digest

    @property
    def addresses(self) -> bool:
        """See RuleSet."""
        return self.contents.addresses

    def match(self, session: Session, /, *, by_source: bool = False) -> bool:
        """See RuleSet."""
        return self.contents.match(by_source=by_source)(session)

    def take(self, descriptor: int, digest: str) -> None:
        """Say this from now on: a set made ready. The descriptor stays the caller's. Raises BadPacked and OSError."""
        contents = Contents(Packed(descriptor), self._context, digest)
        contents.match(by_source=False)  # here, and not while a session waits
        self.contents = contents


def _nothing(context: Context) -> Contents:
    descriptor = in_memory(_NOTHING)
    try:
        return Contents(Packed(descriptor), context)
    finally:
        os.close(descriptor)
