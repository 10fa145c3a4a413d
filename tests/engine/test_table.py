from __future__ import annotations

import pytest

from gproxy.base.address import UNSPECIFIED
from gproxy.base.errors import StreamClosed
from gproxy.base.session import Session
from gproxy.engine.table import Table
from gproxy.rt.group import Group
from gproxy.rt.sync import Event, sleep
from tests.support.wait import wait_until

pytestmark = pytest.mark.usefixtures("no_leaked_greenlets")


class Client:
    """A session that waits until it is ended."""

    def __init__(self, table: Table, group: Group) -> None:
        self.session = Session(table.next_id(), "tcp", "in", UNSPECIFIED, UNSPECIFIED)
        self.ended = ""
        self._table = table
        group.spawn(self._serve)
        sleep(0)

    def _serve(self) -> None:
        self._table.add(self.session)
        try:
            Event().wait()
        except StreamClosed as error:
            self.ended = error.reason
        finally:
            self._table.remove(self.session)


def test_ids_count_up_and_are_never_used_again() -> None:
    table = Table()
    assert [table.next_id() for _ in range(3)] == [1, 2, 3]


def test_no_two_workers_give_out_the_same() -> None:
    tables = [Table() for _ in range(3)]
    for number, table in enumerate(tables):
        table.number(number, 3)
    ids = [table.next_id() for _ in range(5) for table in tables]
    assert sorted(ids) == list(range(1, 16))


def test_one_is_ended_where_it_waits_and_no_other() -> None:
    table = Table()
    with Group("test") as group:
        one, other = Client(table, group), Client(table, group)
        assert table.end(one.session.id, "killed")
        sleep(0)
        sleep(0)
        assert (one.ended, other.ended, len(table)) == ("killed", "", 1)


def test_a_link_that_carries_others_is_not_busy_itself() -> None:
    table = Table()
    with Group("test") as group:
        clients = [Client(table, group) for _ in range(3)]
        clients[1].session.carries = True
        assert (len(table), table.busy()) == (3, 2)


def test_all_are_ended() -> None:
    table = Table()
    with Group("test") as group:
        clients = [Client(table, group) for _ in range(3)]
        assert table.end_all("drained") == 3
        assert group.join(30)
    assert [client.ended for client in clients] == ["drained"] * 3
    assert table.end_all("drained") == 0


def test_ending_one_that_is_over_or_never_was() -> None:
    table = Table()
    assert not table.end(7, "killed")
    with Group("test") as group:
        client = Client(table, group)
        assert table.end(client.session.id, "killed")
        assert table.end(client.session.id, "drained")  # at the same turn: the first one counts
        assert group.join(30)
    assert client.ended == "killed"
    assert not table.end(client.session.id, "killed")


def test_those_of_the_lowest_rank_are_ended_the_older_of_equals() -> None:
    table = Table()
    with Group("test") as group:
        clients = [Client(table, group) for _ in range(5)]
        ranks = dict(zip((task for _, task in table._live.values()), (2, 1, 2, 1, 1), strict=True))
        for count, left in ((2, [0, 2, 4]), (2, [2]), (7, [])):
            assert table.end_first(count, lambda task: ranks[task], "pressure") == min(count, len(table))
            sleep(0)
            sleep(0)
            assert [number for number, client in enumerate(clients) if not client.ended] == left
    assert {client.ended for client in clients} == {"pressure"}


def test_those_of_whom_something_is_true_are_ended() -> None:
    table = Table()
    with Group("test") as group:
        ada, bob, nobody = (Client(table, group) for _ in range(3))
        ada.session.user, bob.session.user = "ada", "bob"
        assert table.end_those(lambda session: session.user == "ada", "killed") == 1
        wait_until(lambda: ada.ended, "not ended")
        assert (ada.ended, bob.ended, nobody.ended) == ("killed", "", "")
        assert table.end_those(lambda session: session.user == "ada", "killed") == 0
