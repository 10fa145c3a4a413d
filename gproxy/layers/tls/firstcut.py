"""A client's own ClientHello in pieces: what is relayed first towards a target is cut (see fragment.py)."""

from __future__ import annotations

from gproxy.base.iface import Buffer, Record, Stream
from gproxy.layers.tls.fragment import Cutter
from gproxy.net.around import Around


class FirstCut(Around):
    """A stream towards the target. It holds back nothing but itself from the pumps, until the first bytes have left."""

    __slots__ = ("_cutter",)

    def __init__(self, inner: Stream, cutter: Cutter) -> None:
        super().__init__(inner)
        self._cutter: Cutter | None = cutter

    def sendall(self, data: Buffer, /) -> None:
        """See Stream."""
        cutter, self._cutter = self._cutter, None
        if cutter is None or not data or self._inner.held():
            self._inner.sendall(data)
        else:
            cutter.send(self._inner, data)

    def bare(self) -> int | None:
        """See Stream."""
        return None if self._cutter is not None else self._inner.bare()

    def record(self) -> Record | None:
        """See Stream."""
        return None if self._cutter is not None else self._inner.record()

    def held(self) -> bool:
        """See Stream: the first bytes are waited for, to be cut."""
        return self._cutter is not None or self._inner.held()
