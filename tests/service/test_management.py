from __future__ import annotations

from collections.abc import Mapping

import pytest

from gproxy.observe.books import NOTHING, Books, Row, Traffic
from gproxy.service.management import Management


class Heard:
    """An Outlet that keeps what it was told, and books that follow it."""

    def __init__(self) -> None:
        self.users: list[tuple[str, dict[str, str]]] = []
        self.books = Books()

    def tell_users(self, inbound: str, users: Mapping[str, str]) -> None:
        self.users.append((inbound, dict(users)))

    def tell_traffic(self, rows: list[Row]) -> None:
        self.books.add(rows)


@pytest.fixture
def heard() -> Heard:
    return Heard()


@pytest.fixture
def management(heard: Heard) -> Management:
    management = Management({"in": lambda password: "" if password else "expected a password", "other": lambda _: ""})
    management.attach(heard)
    return management


def worked(management: Management, heard: Heard, *rows: Row) -> None:
    """A worker has told this, and so everybody knows it."""
    management.books.add(rows)
    heard.books.add(rows)


def test_users_are_told_on(management: Management, heard: Heard) -> None:
    assert management.inbounds() == ["in", "other"]
    assert not management.known("in")
    assert management.users("in") == {}
    management.replace("in", {"ada": "x"})
    assert heard.users == [("in", {"ada": "x"})]
    assert management.known("in")
    assert management.users("in") == {"ada": "x"}
    assert not management.known("other")
    assert management.problem("in", "") == "expected a password"


def test_what_others_have_said_is_not_said_again(management: Management, heard: Heard) -> None:
    management.inherit("in", {"ada": "x"})
    assert management.users("in") == {"ada": "x"}
    assert heard.users == []


def test_the_traffic_of_past_users_stays_in_the_total(management: Management, heard: Heard) -> None:
    management.replace("in", {"ada": "x", "bob": "y"})
    worked(management, heard, ["in", "ada", 1, 2, 3, 4, 5, 6], ["in", "bob", 10, 0, 0, 0, 1, 0])
    management.replace("in", {"bob": "y"})
    for books in (management.books, heard.books):
        assert books.of("in", "ada") == NOTHING
        assert books.of("in", "bob") == Traffic(up=10, tcp=1)
        assert books.total("in") == Traffic(11, 2, 3, 4, 6, 6)
        assert books.rows() == [["in", "bob", 10, 0, 0, 0, 1, 0], ["in", "", 1, 2, 3, 4, 5, 6]]
    management.replace("in", {"bob": "y", "ada": "z"})
    assert management.books.of("in", "ada") == NOTHING, "a new one of that name begins with nothing"


def test_another_password_changes_no_traffic(management: Management, heard: Heard) -> None:
    management.replace("in", {"ada": "x"})
    worked(management, heard, ["in", "ada", 1, 2, 3, 4, 5, 6])
    management.replace("in", {"ada": "y"})
    assert management.books.of("in", "ada") == Traffic(1, 2, 3, 4, 5, 6)


def test_counting_from_nothing(management: Management, heard: Heard) -> None:
    others = ["other", "x", 1, 0, 0, 0, 0, 0]
    worked(management, heard, ["in", "ada", 1, 2, 3, 4, 5, 6], ["in", "", 1, 0, 0, 0, 0, 0], others)
    management.clear("in")
    assert management.books.rows() == heard.books.rows() == [others]


def test_without_an_outlet_nobody_is_told() -> None:
    management = Management({"in": lambda _: ""})
    management.replace("in", {"ada": "x"})
    management.correct([["in", "ada", 1, 0, 0, 0, 0, 0]])
    assert management.books.of("in", "ada") == Traffic(up=1)
