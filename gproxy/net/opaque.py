"""A stream that is no descriptor, and no records on one: a base for those that make their bytes themselves."""

from __future__ import annotations

from gproxy.base.iface import Record


class Opaque:
    """The part of Stream that offers shortcuts, of which there are none here."""

    __slots__ = ()

    def bare(self) -> int | None:
        """See Stream: never."""
        return None

    def record(self) -> Record | None:
        """See Stream: never."""
        return None

    def held(self) -> bool:
        """See Stream: nothing waits to be sent with the first payload."""
        return False
