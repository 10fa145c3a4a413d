from __future__ import annotations

import pytest

from gproxy.base.address import Address
from gproxy.base.errors import DialError, GproxyError, Unsupported
from gproxy.base.iface import Stream
from gproxy.base.session import Session
from gproxy.engine.detour import DetourDispatcher
from gproxy.wire.uot import TARGETS
from tests.support.packets import MemoryPackets
from tests.support.pipe import pipe
from tests.support.playbook import new_session


class Note:
    """A Reply that keeps what it was told."""

    awaited = True

    def __init__(self) -> None:
        self.said: list[str] = []

    def accept(self, bound: Address | None = None) -> None:
        self.said.append("accept")

    def reject(self, why: GproxyError) -> None:
        self.said.append("reject")


def test_the_stream_goes_to_the_other_inbound_after_a_yes() -> None:
    reply, (near, _) = Note(), pipe()
    served: list[tuple[Stream, Session, list[str]]] = []
    detour = DetourDispatcher("other")
    detour.connect(lambda stream, session: served.append((stream, session, list(reply.said))))
    session = new_session()
    detour.stream(session, near, reply)
    assert served == [(near, session, ["accept"])]
    assert session.inbound == "other"


def test_what_the_other_inbound_raises_comes_out() -> None:
    def accept(stream: Stream, session: Session) -> None:
        raise Unsupported("no")

    detour = DetourDispatcher("other")
    detour.connect(accept)
    with pytest.raises(Unsupported):
        detour.stream(new_session(), pipe()[0], Note())


def test_datagrams_take_none() -> None:
    with pytest.raises(Unsupported, match="other"):
        DetourDispatcher("other").packets(new_session(), MemoryPackets())


def test_datagrams_on_a_stream_take_none_either() -> None:
    reply = Note()
    served: list[Stream] = []
    detour = DetourDispatcher("other")
    detour.connect(lambda stream, session: served.append(stream))
    for target in TARGETS.values():
        session = new_session()
        session.target = target
        with pytest.raises(DialError, match="other"):
            detour.stream(session, pipe()[0], reply)
    assert reply.said == ["reject", "reject"]
    assert served == []
