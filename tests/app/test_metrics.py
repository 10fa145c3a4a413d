from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest

from gproxy.app import metrics as module
from gproxy.app.build import House
from gproxy.app.metrics import CONTROL, Counting
from gproxy.base.address import UNSPECIFIED
from gproxy.base.errors import DialError
from gproxy.base.session import Session
from gproxy.service.metrics.families import COUNTERS, EACH, FACTS, HISTOGRAMS, SUMMED
from tests.app.rooms import house_of

SERVICE = {"type": "metrics", "listen_port": 1}
INBOUND = {"type": "mixed", "tag": "in", "listen_port": 2}


def joined(worker: int = 0, **tables: Any) -> tuple[House, Counting]:
    house = house_of(inbounds=[INBOUND], services=[SERVICE], **tables)
    assert house.counting is not None
    house.counting.join(house, worker, 7)
    return house, house.counting


def totals_of(counting: Counting) -> dict[tuple[str, ...], tuple[int, ...]]:
    return dict(counting.view.totals.read())


def session() -> Session:
    one = Session(1, "tcp", "in", UNSPECIFIED, UNSPECIFIED, user="ada")
    one.outbound, one.rule = "direct", "final"
    return one


def test_nothing_is_counted_in_detail_that_nobody_asks_for() -> None:
    house = house_of(inbounds=[INBOUND])
    assert house.counting is None
    assert not house.meter.detailed


def test_what_comes_on_top_is_added_each_time() -> None:
    house, counting = joined()
    for count in (1, 2):
        house.meter.record("ok", 0, 0, session())
        account = house.meter.account(session(), "tcp")
        assert account is not None
        account.way("direct").up += 5
        house.meter.dialled("direct", 0.0)
        house.meter.take_traffic()
        counting.tell()
        counting.tell()
        totals = totals_of(counting)
        assert totals["session", "in", "direct", "ok"] == (count,)
        assert totals["rule", "final"] == (count,)
        assert totals["moved", "in", "direct"] == (5 * count, 0)
        assert totals["user", "ada"] == (5 * count, 0, count, 0)
        assert totals["dial", "direct"][-2] == count


def test_what_a_process_is_like() -> None:
    house, counting = joined(dns={"servers": [{"type": "local"}]})
    house.meter.door("in").active = 3
    counting.state = "serving"
    counting.tell()
    (shown,) = counting.view.serving()
    assert (shown.process, shown.generation) == ("worker0", 7)
    gauges = {(kind, *labels): value for kind, labels, value in shown.gauges}
    assert gauges["open", "in"] == 3
    assert gauges["descriptors",] > 2
    assert gauges["paused",] == 0
    house.room.close()
    counting.tell()
    assert ("paused", [], 1.0) in counting.view.own()[0].gauges


def test_all_that_is_told_has_a_name() -> None:
    outbound = {"type": "socks", "tag": "out", "server": "127.0.0.1", "server_port": 1, "breaker": {}}
    house, counting = joined(
        dns={"servers": [{"type": "local"}]}, outbounds=[outbound], limits=[{"tag": "l", "max_connections": 1}], bans={}
    )
    assert house.limits is not None
    for limit in (each for stage in house.limits._by_stage for each in stage):
        limit.refused["rate"] += 1
    assert house.names.asking is not None
    house.names.asking.failures["0"] += 1
    house.names.asking.exchanges["0"].observe(0.1)
    house.meter.door("in").dropped = 1
    counting.tell()
    kinds = {key[0] for key in totals_of(counting)}
    assert kinds <= {*COUNTERS, *HISTOGRAMS}
    assert kinds >= {"limited", "failure", "exchange", "dropped", "opened", "query", "lookup", "cpu", "start"}
    assert {kind for kind, _, _ in counting.view.own()[0].gauges} <= {*SUMMED, *EACH}
    facts = {kind for kind, _, _ in counting.view.known()}
    assert facts == {"bans", "banned"} <= set(FACTS)


def test_control_shows_itself_when_it_is_asked() -> None:
    _, counting = joined(CONTROL)
    counting.view.refresh()
    assert [each.process for each in counting.view.board.read()] == ["control"]
    assert "start" in {key[0] for key in totals_of(counting)}


def test_without_a_place_nothing_is_told(monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> None:
    house = house_of(inbounds=[INBOUND], services=[SERVICE])
    counting = house.counting
    assert counting is not None

    def full() -> None:
        raise OSError("too many processes")

    monkeypatch.setattr(counting.view.board, "join", full)
    counting.join(house, 0, 1)
    counting.tell()
    assert totals_of(counting) == {}
    assert "too many processes" in caplog.text


def test_the_age_of_rule_sets(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "set.json"
    path.write_text('{"version": 3, "rules": [{"domain": ["x.test"]}]}')
    os.utime(path, (1000, 1000))
    _, counting = joined(route={"rule_set": [{"type": "local", "tag": "set", "path": str(path)}]})
    assert counting.view.known() == [("rule_set", ["set"], 1000.0)]
    path.unlink()
    assert counting.view.known() == [("rule_set", ["set"], 1000.0)], "it is not looked at each time"
    monkeypatch.setattr(module, "_LOOK_EVERY", 0.0)
    assert counting.view.known() == []


def test_an_outbound_that_is_none() -> None:
    _, counting = joined()
    assert counting.view.outbound is not None
    with pytest.raises(DialError):
        counting.view.outbound("none")
    assert counting.view.outbound("direct") is not None


def test_the_log_has_to_be_writable(tmp_path: Path) -> None:
    assert joined(log={"output": str(tmp_path / "log")})[1].view.files == [str(tmp_path / "log")]
    assert joined(log={"output": str(tmp_path / "log"), "disabled": True})[1].view.files == []
    own = {name: {"output": str(tmp_path / name)} for name in ("access", "audit")}
    assert joined(log={"disabled": True, **own})[1].view.files == [str(tmp_path / name) for name in own]


def test_what_could_not_be_told_is_told_later(monkeypatch: pytest.MonkeyPatch) -> None:
    house, counting = joined()
    section = counting.view.totals._section
    with monkeypatch.context() as busy:
        busy.setattr(type(section), "try_lock", lambda self, byte=0: False)
        for _ in range(3):
            house.meter.record("ok", 0, 0, session())
            counting.tell()
        assert totals_of(counting) == {}
    counting.finish()
    assert totals_of(counting)["session", "in", "direct", "ok"] == (3,)
    counting.finish()
    assert totals_of(counting)["session", "in", "direct", "ok"] == (3,)
