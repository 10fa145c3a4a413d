from __future__ import annotations

import logging

import pytest

from gproxy.base.errors import DialError, StreamClosed
from gproxy.base.iface import Stream
from gproxy.base.session import Session
from gproxy.limit.breaker import Breaker
from gproxy.net.guarded import guarded
from gproxy.rt.deadline import deadline
from gproxy.rt.sync import sleep
from tests.support.clock import HeldClock, held_clock
from tests.support.pipe import pipe
from tests.support.playbook import new_session

__all__ = ["held_clock"]

LOG = logging.getLogger("gproxy.outbound.out")


class Server:
    def __init__(self) -> None:
        self.dialled = 0
        self.error: Exception | None = DialError("connection refused", reason="refused")
        self.breaker = Breaker(failures=2, window=10.0, pause=5.0, longest=60.0)
        self.connect = guarded(self._connect, self.breaker, LOG)

    def _connect(self, session: Session) -> Stream:
        self.dialled += 1
        if self.error is not None:
            raise self.error
        return pipe()[0]

    def word(self) -> str:
        try:
            self.connect(new_session()).close()
        except (DialError, StreamClosed) as why:
            return why.word
        return "ok"


def test_a_dead_server_is_left_alone(held_clock: HeldClock, caplog: pytest.LogCaptureFixture) -> None:
    server = Server()
    assert [server.word() for _ in range(5)] == ["dial-refused"] * 2 + ["dial-breaker"] * 3
    assert server.dialled == 2
    with pytest.raises(DialError, match="left alone for another 5 s"):
        server.connect(new_session())
    held_clock.advance(5)
    assert [server.word() for _ in range(3)] == ["dial-refused", "dial-breaker", "dial-breaker"]
    held_clock.advance(10)
    server.error = None
    assert [server.word() for _ in range(3)] == ["ok"] * 3
    assert caplog.messages == [
        "the server can't be reached (connection refused): it is left alone for 5 s",
        "the server can't be reached (connection refused): it is left alone for 10 s",
        "the server is reached again",
    ]


def test_who_is_ended_from_outside_says_nothing_of_the_server() -> None:
    server = Server()
    server.error = StreamClosed("killed", reason="killed")
    assert [server.word() for _ in range(5)] == ["closed-killed"] * 5


def test_a_deadline_is_the_asker_s_matter(held_clock: HeldClock) -> None:
    class Late(Exception):
        pass

    breaker = Breaker(failures=1, window=10.0, pause=5.0, longest=60.0)
    connect = guarded(lambda session: sleep(60), breaker, LOG)  # type: ignore[arg-type, return-value]
    for _ in range(3):
        with pytest.raises(Late), deadline(0.01, Late()):
            connect(new_session())
    assert breaker.state == "closed"
