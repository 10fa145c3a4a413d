from __future__ import annotations

from collections.abc import Iterator
from typing import get_args

import pytest

from gproxy.base.errors import (
    ASKED,
    AuthError,
    Blame,
    CloseReason,
    ConfigError,
    DialError,
    GproxyError,
    Overloaded,
    ProtocolError,
    Rejected,
    ReplayError,
    StreamClosed,
    TooLarge,
    Unsupported,
)


def every_class(of: type[GproxyError] = GproxyError) -> Iterator[type[GproxyError]]:
    yield of
    for child in of.__subclasses__():
        yield from every_class(child)


HOUSE = [one for one in every_class() if one.__module__ == "gproxy.base.errors"]


@pytest.mark.parametrize("kind", HOUSE)
def test_each_has_a_status_word_and_somebody_to_blame(kind: type[GproxyError]) -> None:
    assert kind.status.isidentifier()
    assert kind.blame in get_args(Blame)
    assert str(kind()) == kind().word


def test_status_words_are_not_shared() -> None:
    words = [kind.status for kind in HOUSE]
    assert len(words) == len(set(words))


def test_a_reason_refines_the_word() -> None:
    assert ProtocolError("x", reason="empty").word == "protocol-empty"
    assert ProtocolError("x").word == "protocol"
    assert DialError("x").word == "dial-failed"
    assert DialError("x", reason="refused").word == "dial-refused"
    assert StreamClosed("x").word == "closed-reset"
    assert StreamClosed("x", reason="eof").word == "closed-eof"


def test_the_message_is_the_text() -> None:
    assert str(AuthError("wrong password")) == "wrong password"
    assert str(AuthError()) == "auth"


def test_who_breaks_the_protocol_is_caught_together() -> None:
    for kind in (AuthError, ReplayError, TooLarge, Unsupported):
        assert issubclass(kind, ProtocolError)
    for kind in (ConfigError, DialError, Overloaded, Rejected, StreamClosed):
        assert not issubclass(kind, ProtocolError)


def test_a_drop_is_silent() -> None:
    assert Rejected("x", drop=True).drop
    assert not Rejected("x").drop


def test_what_comes_from_outside_is_a_reason_to_close() -> None:
    assert set(get_args(CloseReason)) >= ASKED
    assert "reset" not in ASKED
    assert "local" not in ASKED
