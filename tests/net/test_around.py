"""gproxy.net.around."""

from __future__ import annotations

import inspect

import pytest

from gproxy.base.iface import Stream
from gproxy.net.around import Around

PROMISES = [name for name, _ in inspect.getmembers(Stream, inspect.isfunction) if not name.startswith("_")]


class Recorder:
    """Remembers what it was asked, and answers with something of its own."""

    def __init__(self):
        self.asked = []

    def __getattr__(self, name):
        def ask(*args):
            self.asked.append((name, *args))
            return (name, "answer")

        return ask


@pytest.mark.parametrize("name", PROMISES)
def test_every_promise_is_passed_on_with_its_answer(name):
    inner = Recorder()
    given = (b"data",) if name == "sendall" else ()
    answer = getattr(Around(inner), name)(*given)
    assert inner.asked == [(name, *given)]
    silent = name in ("sendall", "close_write", "close", "abort")
    assert answer == (None if silent else (name, "answer"))
