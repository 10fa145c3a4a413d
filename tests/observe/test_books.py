from __future__ import annotations

from random import Random

import pytest

from gproxy.observe import books as module
from gproxy.observe.books import NOTHING, Books, Traffic


def test_rows_add_up() -> None:
    books = Books()
    books.add([["in", "ada", 1, 2, 3, 4, 5, 6], ["in", "bob", 10, 0, 0, 0, 1, 0]])
    books.add([["in", "ada", 1, 1, 1, 1, 1, 1], ["other", "ada", 7, 0, 0, 0, 0, 0]])
    assert books.of("in", "ada") == Traffic(2, 3, 4, 5, 6, 7)
    assert books.of("in", "bob") == Traffic(up=10, tcp=1)
    assert books.of("other", "ada") == Traffic(up=7)
    assert books.of("in", "eve") == books.of("nowhere", "ada") == NOTHING
    assert books.total("in") == Traffic(12, 3, 4, 5, 7, 7)
    assert books.total("nowhere") == NOTHING


def test_a_correction_is_a_row() -> None:
    books = Books()
    books.add([["in", "ada", 5, 5, 0, 0, 1, 0]])
    books.add([["in", "ada", -5, -5, 0, 0, -1, 0], ["in", "", 5, 5, 0, 0, 1, 0]])
    assert books.of("in", "ada") == NOTHING
    assert books.total("in") == Traffic(5, 5, tcp=1)
    assert books.rows() == [["in", "", 5, 5, 0, 0, 1, 0]], "what has come to nothing takes no room"


def test_the_order_does_not_matter() -> None:
    random = Random(3)
    rows = [["in", random.choice("abc"), *(random.randrange(-9, 10) for _ in range(6))] for _ in range(100)]
    one, other, third = Books(), Books(), Books()
    one.add(rows)
    random.shuffle(rows)
    for row in rows:
        other.add([row])
    third.add(one.rows())
    assert all(one.of("in", user) == other.of("in", user) == third.of("in", user) for user in "abc")


def test_the_rows_of_some_inbounds() -> None:
    books = Books()
    books.add([["a", "x", 1, 0, 0, 0, 0, 0], ["b", "x", 2, 0, 0, 0, 0, 0]])
    assert books.rows(["b", "c"]) == [["b", "x", 2, 0, 0, 0, 0, 0]]
    assert len(books.rows()) == 2


def test_too_many_users_share_a_row(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MOST", 2)
    books = Books()
    books.add([["in", str(number), 1, 0, 0, 0, 0, 0] for number in range(5)])
    books.add([["in", "0", 1, 0, 0, 0, 0, 0]])
    assert books.of("in", "0") == Traffic(up=2)
    assert books.total("in") == Traffic(up=6)
    assert len(books.rows()) == 3


@pytest.mark.parametrize(
    "row", [["in", "ada"], ["in"], ["in", "ada", 1], ["in", "ada", *range(7)], ["in", "ada", *"abcdef"]]
)
def test_what_is_no_row(row: list[object]) -> None:
    with pytest.raises((ValueError, TypeError)):
        Books().add([row])
