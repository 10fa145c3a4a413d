"""gproxy.service.bans: what is kept, and that nothing stands in the way when it can't be."""

from __future__ import annotations

import json
import logging
from ipaddress import ip_address, ip_network
from pathlib import Path

import pytest

from gproxy.limit.bans import Ban, BanTable
from gproxy.limit.memory import Memory
from gproxy.service.bans import BanFile, BanKeeper
from tests.support.audit import AuditFile
from tests.support.clock import HeldClock, held_clock
from tests.support.wait import wait_until

__all__ = ["held_clock"]

pytestmark = pytest.mark.usefixtures("no_leaks")

HOST = ip_address("192.0.2.1")


def table(*texts: str) -> BanTable:
    made = BanTable(Memory())
    for text in texts:
        made.add(ip_network(text), 100)
    return made


def loaded(path: Path) -> BanTable:
    fresh = table()
    BanFile(path).load(fresh)
    return fresh


def test_there_and_back(tmp_path: Path) -> None:
    path = tmp_path / "not/there/yet/bans.json"
    assert BanFile(path).save(table("192.0.2.1/32", "2001:db8::/32"))
    again = loaded(path)
    assert again.holds(HOST)
    assert {str(ban.network) for _, ban in again.bans()} == {"192.0.2.1/32", "2001:db8::/32"}
    assert path.stat().st_mode & 0o777 == 0o600


def test_without_a_file_there_are_no_bans(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    path = tmp_path / "bans.json"
    assert list(loaded(path).bans()) == []
    path.touch()
    assert list(loaded(path).bans()) == []
    assert caplog.records == []


GOOD = {"network": "192.0.2.1/32", "until": 2e9, "length": 60.0, "times": 1, "reason": "auth"}


@pytest.mark.parametrize(
    "text",
    [
        "{", "[]", "null", '{"version": 2, "bans": []}', '{"version": 1}', "\udcff", "[" * 100_000,
        *(
            json.dumps({"version": 1, "bans": [GOOD, {**GOOD, key: value}]})
            for key, value in (
                ("network", "192.0.2.1/99"), ("network", None), ("until", "x"), ("until", float("nan")),
                ("length", -1), ("length", 1e300), ("times", -1), ("times", 1 << 40), ("reason", "whim"),
                ("reason", []),
            )
        ),
        json.dumps({"version": 1, "bans": [{}]}),
    ],
)  # fmt: skip
def test_a_broken_file_is_set_aside_and_told(text: str, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    path = tmp_path / "bans.json"
    data = text.encode("utf-8", "surrogateescape")
    path.write_bytes(data)
    fresh, file = table(), BanFile(path)
    file.load(fresh)
    assert list(fresh.bans()) == []
    assert [record.levelname for record in caplog.records] == ["ERROR"]
    assert "is not what gproxy has written" in caplog.text
    assert path.read_bytes() == data  # until there is something to save
    fresh.add(ip_network("192.0.2.9/32"), 100)
    assert file.save(fresh)
    assert Path(f"{path}.broken").read_bytes() == data
    assert loaded(path).holds(ip_address("192.0.2.9"))


def test_a_disk_that_is_full_is_told_once(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    caplog.set_level(logging.INFO)
    full = True

    def write(path: Path, data: bytes) -> None:
        if full:
            raise OSError(28, "No space left on device")

    monkeypatch.setattr("gproxy.service.bans.write", write)
    bans = table("192.0.2.1/32")
    keeper = BanKeeper(bans, BanFile(tmp_path / "bans.json"))
    bans.add(ip_network("192.0.2.2/32"), 100)
    for _ in range(3):
        keeper.look()
    full = False
    for _ in range(3):
        keeper.look()
    assert [record.getMessage().split(":")[0].split(" to ")[0] for record in caplog.records] == [
        "bans can't be saved", "bans are saved"
    ]  # fmt: skip


class Sets:
    def __init__(self) -> None:
        self.shown: list[list[str]] = []
        self.anew: list[bool] = []
        self.works = True

    def show(self, bans: list[Ban], *, anew: bool = False) -> bool:
        self.shown.append(sorted(str(ban.network) for ban in bans))
        self.anew.append(anew)
        return self.works


def test_what_changes_is_saved_and_shown(tmp_path: Path) -> None:
    bans, sets = table("192.0.2.1/32"), Sets()
    path = tmp_path / "bans.json"
    keeper = BanKeeper(bans, BanFile(path), sets)
    keeper.start()
    keeper.start()
    wait_until(lambda: sets.shown, "nothing is shown")
    assert loaded(path).holds(HOST)
    first = path.stat().st_ino
    bans.add(ip_network("192.0.2.2/32"), 100)
    wait_until(lambda: len(sets.shown) == 2, "nothing more is shown")
    assert path.stat().st_ino != first, "nothing is saved"
    assert loaded(path).holds(ip_address("192.0.2.2"))
    bans.remove(ip_network("192.0.2.1/32"))
    keeper.stop()
    keeper.stop()
    assert [str(ban.network) for _, ban in loaded(path).bans()] == ["192.0.2.2/32"]
    assert sets.shown == [["192.0.2.1/32"], ["192.0.2.1/32", "192.0.2.2/32"]]


def test_where_it_fails_it_is_tried_again_and_all_is_shown_now_and_then(tmp_path: Path, held_clock: HeldClock) -> None:
    bans, sets = table("192.0.2.1/32"), Sets()
    keeper = BanKeeper(bans, BanFile(tmp_path / "bans.json"), sets)

    def shown(seconds: float) -> int:
        """How often within so many seconds."""
        sets.shown.clear()
        sets.anew.clear()
        for _ in range(int(seconds)):
            keeper.look()
            held_clock.advance(1)
        return len(sets.shown)

    sets.works = False
    assert shown(30) == 3
    sets.works = True
    assert shown(299) == 1
    assert shown(2) == 1
    assert sets.anew == [True]
    bans.add(ip_network("192.0.2.2/32"), 100)
    assert shown(10) == 1
    assert sets.anew == [False]
    sets.works = False
    bans.add(ip_network("192.0.2.3/32"), 100)
    assert shown(9) == 1
    assert shown(2) == 1


def test_ends_of_bans_stand_in_the_audit_log(tmp_path: Path, held_clock: HeldClock) -> None:
    """Also those between two keepers; but not those that an administrator has ended."""
    log, memory = AuditFile(tmp_path), Memory()
    bans = BanTable(memory)
    keeper = BanKeeper(bans, BanFile(tmp_path / "bans.json"), audited=True)
    with log.open():
        keeper.look()
        for text, seconds in (("192.0.2.1/32", 10), ("192.0.2.2/32", 20), ("192.0.2.3/32", 10), ("192.0.2.4/32", 30)):
            bans.add(ip_network(text), seconds)
        bans.remove(ip_network("192.0.2.3"))
        keeper.look()
        held_clock.advance(15)
        keeper.look()
        keeper.look()
        held_clock.advance(10)
        again = BanKeeper(BanTable(memory), BanFile(tmp_path / "bans.json"), audited=True)
        again.look()
    assert [(each["event"], each["prefix"], each["seconds"], each["reason"]) for each in log.events()] == [
        ("ban-end", "192.0.2.1", 10, "manual"), ("ban-end", "192.0.2.2", 20, "manual"),
    ]  # fmt: skip
