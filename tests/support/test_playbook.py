from __future__ import annotations

import re

import pytest

from gproxy.base.errors import AuthError, ProtocolError
from gproxy.base.iface import Stream
from gproxy.base.session import Session
from tests.support import playbook
from tests.support.dispatch import RecordingDispatcher
from tests.support.pipe import PipeEnd
from tests.support.playbook import Mismatch, converse, new_session, play

pytestmark = pytest.mark.usefixtures("no_leaks")


def polite(stream: Stream, session: Session) -> None:
    """Answers hello with its name, then echoes once."""
    if stream.recv() != b"hello":
        raise ProtocolError("no manners")
    stream.sendall(b"I am " + session.inbound.encode())
    stream.sendall(stream.recv().upper())


def test_a_conversation_that_keeps_to_its_script() -> None:
    (play(polite, new_session(inbound="you")) >> b"hello" << b"I am you" >> b"x" << b"X").closed()


def test_patterns_match_from_the_start() -> None:
    talk = play(polite) >> b"hello" << re.compile(rb"I am \w+")
    (talk >> b"y" << b"Y").closed()


def test_a_mismatch_shows_both_scripts() -> None:
    talk = play(polite) >> b"hello"
    with pytest.raises(Mismatch) as caught:
        talk << b"I am he"
    text = str(caught.value)
    assert "  >> b'hello'" in text
    assert "- << b'I am he'" in text
    assert "+ << b'I am in'" in text
    talk.stop()


def test_what_was_said_beyond_the_script_is_noticed() -> None:
    with pytest.raises(Mismatch, match="end"):
        (play(polite) >> b"hello" << b"I am in" >> b"x" << b"").closed()


def test_an_expected_error() -> None:
    (play(polite) >> b"what").closed(raising=ProtocolError)


def test_another_error_than_expected() -> None:
    with pytest.raises(Mismatch, match="AuthError expected"):
        (play(polite) >> b"what").closed(raising=AuthError)


def test_an_error_that_nobody_expected_comes_out() -> None:
    with pytest.raises(ProtocolError, match="no manners"):
        (play(polite) >> b"what").closed()


def test_silence_is_a_mismatch(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(playbook, "PATIENCE", 0.02)
    talk = play(polite)
    with pytest.raises(Mismatch):
        talk << b"anything"
    talk.stop()


def test_the_client_direction_gives_a_result() -> None:
    def ask(stream: PipeEnd) -> bytes:
        stream.sendall(b"who?")
        return stream.recv()

    assert (converse(ask) << b"who?" >> b"me").result() == b"me"


def test_half_close_is_heard() -> None:
    dispatcher = RecordingDispatcher()
    seen: list[bytes] = []

    def accept(stream: Stream, session: Session) -> None:
        dispatcher.stream(session, stream, Quiet())
        seen.append(bytes(dispatcher.received))

    (play(accept) >> b"abc" << b"abc").end().closed()
    assert seen == [b"abc"]
    assert dispatcher.session.inbound == "in"


class Quiet:
    awaited = False

    def accept(self, bound: object = None) -> None: ...

    def reject(self, why: object) -> None: ...
