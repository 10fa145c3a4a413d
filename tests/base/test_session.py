from __future__ import annotations

from dataclasses import FrozenInstanceError, fields

import pytest

from gproxy.base.address import UNSPECIFIED
from gproxy.base.defaults import UDP_IDLE
from gproxy.base.session import DEFAULT_DIAL, Session, Sniffed, copy_of


def test_a_new_session_knows_nothing_but_where_it_came_in() -> None:
    session = Session(7, "tcp", "in", UNSPECIFIED, UNSPECIFIED)
    assert (session.asked, session.user, session.addresses, session.sniffed) == (None, None, (), None)
    assert (session.rule, session.outbound, session.udp_timeout) == ("", "", UDP_IDLE)
    assert session.dial is DEFAULT_DIAL


def test_shared_facts_are_replaced_and_never_edited() -> None:
    with pytest.raises(FrozenInstanceError):
        DEFAULT_DIAL.udp_connect = True  # type: ignore[misc]
    with pytest.raises(FrozenInstanceError):
        Sniffed("tls").domain = "x"  # type: ignore[misc]


def test_a_misspelt_fact_is_an_error() -> None:
    with pytest.raises(AttributeError):
        Session(7, "tcp", "in", UNSPECIFIED, UNSPECIFIED).usr = "x"  # type: ignore[attr-defined]


def test_a_copy_has_every_fact_and_is_another_one() -> None:
    session = Session(7, "tcp", "in", UNSPECIFIED, UNSPECIFIED)
    for number, field in enumerate(fields(Session)):
        setattr(session, field.name, number)
    copy = copy_of(session)
    assert copy == session
    copy.user = "x"
    assert session.user != "x"
