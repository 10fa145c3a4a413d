"""A ClientHello in pieces, so that who looks for a server's name in one packet, or in one record, finds none there.

Every label of the name is cut at some place inside, but for the last one, which says nothing. A piece leaves when the
one before has arrived, as far as the system can tell, or else after a delay: so do sing-box's.
"""

from __future__ import annotations

import random
from collections.abc import Iterable
from itertools import pairwise
from typing import Final

from gproxy.base.clock import now
from gproxy.base.errors import ProtocolError
from gproxy.base.iface import Buffer, Stream
from gproxy.net.sockopt import unacknowledged
from gproxy.rt.sync import sleep
from gproxy.wire.clienthello import RECORD_HEAD, decode_client_hello
from gproxy.wire.cursor import Cursor, Incomplete

_LOOK: Final = 0.01  # how often the system is asked whether a piece has arrived, in seconds

# What has arrived as soon as that has arrived at a proxy of this machine or of the next: it may not have been sent yet.
_NEAR: Final = 0.02

# In front of a second hello: RFC 8446 appendix D.4.
_CHANGE: Final = b"\x14\x03\x03\x00\x01\x01"

_choice = random.SystemRandom()


class Cutter:
    """Sends a client's flights. What is no ClientHello, or has no name, is sent as it is."""

    def __init__(self, *, packets: bool, records: bool, delay: float) -> None:
        """`packets`: a piece leaves by itself; `records`: it is a record of its own. `delay`: see the module."""
        self._packets = packets
        self._records = records
        self._delay = delay

    def send(self, stream: Stream, flight: Buffer) -> None:
        """Raises StreamClosed."""
        data = bytes(flight)
        before = len(_CHANGE) if data.startswith(_CHANGE) else 0
        hello = data[before:]
        places = cuts(hello)
        if not places:
            stream.sendall(data)
            return
        pieces = records_of(hello, places) if self._records else pieces_of(hello, places)
        pieces[0] = data[:before] + pieces[0]
        if not self._packets:
            stream.sendall(b"".join(pieces))
            return
        for piece in pieces[:-1]:
            stream.sendall(piece)
            self._wait(stream)
        stream.sendall(pieces[-1])

    def _wait(self, stream: Stream) -> None:
        """Until what was sent has arrived, or the delay is over where nobody can tell."""
        began = now()
        while _is_on_its_way(stream):
            sleep(_LOOK)
        if now() - began <= _NEAR:
            sleep(self._delay)


def _is_on_its_way(stream: Stream) -> bool:
    fd = stream.bare()
    return fd is not None and bool(unacknowledged(fd))


def cuts(hello: bytes) -> list[int]:
    """Places in a hello of one record, in order: one for each label of the server's name. None if there is no name."""
    try:
        cursor = Cursor(hello)
        found = decode_client_hello(cursor)
    except (ProtocolError, Incomplete):
        return []
    message = int.from_bytes(hello[3:RECORD_HEAD], "big")
    if not found.server_name or RECORD_HEAD + message != len(hello):
        return []
    at = found.name_at[0] + RECORD_HEAD
    labels = found.server_name.split(".")
    places = []
    for label in labels[:-1] or labels:
        places.append(at + _choice.randrange(min(1, len(label) - 1), len(label)) if label else at)
        at += len(label) + 1
    return places


def pieces_of(hello: bytes, places: Iterable[int]) -> list[bytes]:
    """The bytes between these places."""
    ends = [0, *places, len(hello)]
    return [hello[start:end] for start, end in pairwise(ends)]


def records_of(hello: bytes, places: Iterable[int]) -> list[bytes]:
    """The same as records."""
    kind = hello[: RECORD_HEAD - 2]
    fragments = pieces_of(hello[RECORD_HEAD:], [place - RECORD_HEAD for place in places])
    return [kind + len(each).to_bytes(2, "big") + each for each in fragments]
