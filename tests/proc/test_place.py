from __future__ import annotations

import dataclasses
import socket

import pytest

from gproxy.proc.beat import Beats
from gproxy.proc.place import Place


def test_a_place_is_for_life() -> None:
    one, other = socket.socketpair()
    place = Place(1, 2, one, Beats(2))
    assert (place.worker, place.workers, place.channel) == (1, 2, one)
    with pytest.raises(dataclasses.FrozenInstanceError):
        place.worker = 0  # type: ignore[misc]
    one.close()
    other.close()
