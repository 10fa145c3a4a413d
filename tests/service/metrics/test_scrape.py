from __future__ import annotations

from gproxy.limit.memory import Memory
from gproxy.service.metrics.board import Board, Shown
from gproxy.service.metrics.scrape import scrape
from gproxy.service.metrics.text import Labels, Value
from gproxy.service.metrics.totals import Totals
from gproxy.service.metrics.view import View


def found(view: View) -> dict[str, dict[Labels, Value]]:
    return {family.name: dict(series) for family, series in scrape(view, view.known(), ready=False)}


def new_view(memory: Memory, workers: int = 2) -> View:
    view = View(Totals(memory, 1), Board(memory), workers, 2)
    view.board.join()
    return view


def test_what_all_processes_have_is_added_up_and_the_rest_is_each_one_s() -> None:
    memory = Memory()
    view = new_view(memory)
    view.board.show(Shown(0, 2, "serving", gauges=[("open", ["in"], 2), ("open", ["in"], 3), ("greenlets", [], 7)]))
    values = found(view)
    assert values["gproxy_connections_open"] == {("in",): 5}
    assert values["gproxy_process_greenlets"] == {("worker0", "2"): 7}


def test_workers_that_are_not_there_are_missing() -> None:
    view = new_view(Memory())
    view.board.show(Shown(0, 2, "serving"))
    assert found(view)["gproxy_workers"] == {("serving",): 1, ("missing",): 1}


def test_other_generations_drain() -> None:
    view = new_view(Memory())
    view.board.show(Shown(0, 1, "draining"))
    values = found(view)
    assert values["gproxy_draining_generations"] == {(): 1}
    assert values["gproxy_workers"] == {("missing",): 2}


def test_parts_of_a_counter_are_series_of_their_own() -> None:
    view = new_view(Memory())
    view.totals.add([(("lookup",), (3, 1)), (("user", "ada"), (1, 2, 3, 4))])
    values = found(view)
    assert values["gproxy_dns_cache_lookups_total"] == {("hit",): 3, ("miss",): 1}
    assert values["gproxy_user_sessions_total"] == {("ada", "tcp"): 3, ("ada", "udp"): 4}


def test_facts_are_told() -> None:
    view = new_view(Memory())
    view.facts.append(lambda: [("certificate", ["in", "/a.pem"], 5.0)])
    assert found(view)["gproxy_certificate_expiry_timestamp_seconds"] == {("in", "/a.pem"): 5.0}
