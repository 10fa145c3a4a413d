import os

import pytest

from gproxy.base.clock import wall
from gproxy.route.headless import read_rules
from gproxy.route.sets.packed import Packed, pack
from gproxy.service.rule_sets.store import Facts, Store, asked_now

READY = pack(read_rules([{"port": 80}]))
URL = "https://lists.test/a.srs"


@pytest.fixture
def store(tmp_path):
    return Store(tmp_path / "sets")


def test_what_was_made_ready_is_kept(store):
    assert store.ready("one") is None
    store.keep_ready("one", READY)
    descriptor = store.ready("one")
    assert Packed(descriptor).rules == Packed(descriptor).rules != []
    os.close(descriptor)
    assert store.ready("two") is None


@pytest.mark.parametrize("garbage", [b"", b"x" * 500, READY[:-1], READY[:-4] + b"\0\0\0\0"])
def test_what_is_broken_is_none(store, tmp_path, garbage):
    store.keep_ready("one", READY)
    (tmp_path / "sets/ready/one.set").write_bytes(garbage)
    before = len(os.listdir("/proc/self/fd"))
    assert store.ready("one") is None
    assert len(os.listdir("/proc/self/fd")) <= before


def test_what_nobody_has_used_for_long_is_forgotten(store, tmp_path):
    store.keep_ready("old", READY)
    store.keep_ready("used", READY)
    for name in ("old", "used"):
        os.utime(tmp_path / f"sets/ready/{name}.set", (0, 0))
    os.close(store.ready("used"))
    store.keep_ready("new", READY)
    assert sorted(os.listdir(tmp_path / "sets/ready")) == ["new.set", "used.set"]


def test_downloads_are_kept_with_what_was_said_of_them(store):
    assert store.downloaded(URL, 100) is None
    facts = asked_now(Facts(URL, '"e"', "Sat, 01 Jan 2000 00:00:00 GMT"))
    store.keep_downloaded(b"data", facts)
    assert store.downloaded(URL, 100) == (b"data", facts)
    assert wall() - 60 < facts.asked <= wall()
    assert store.downloaded(URL, 3) is None
    assert store.downloaded("https://lists.test/b.srs", 100) is None


def test_facts_of_other_bytes_are_not_taken(store, tmp_path):
    store.keep_downloaded(b"data", Facts(URL, '"e"', "", 5.0))
    store.keep_facts(Facts(URL, '"e"', "", 9.0))
    assert store.downloaded(URL, 100)[1].asked == 9.0
    store.forget(URL)
    assert store.downloaded(URL, 100) is None
    store.keep_downloaded(b"data", Facts(URL))
    (path,) = (tmp_path / "sets/remote").glob("*.json")
    for garbage in (b"{", b"[]", b"{}", b'{"url": "%s", "etag": "", "modified": "", "asked": []}' % URL.encode()):
        path.write_bytes(garbage)
        assert store.downloaded(URL, 100) is None


def test_a_folder_that_can_not_be_written_is_complained_of_once(tmp_path, caplog):
    (tmp_path / "sets").write_bytes(b"a file")
    store = Store(tmp_path / "sets")
    for _ in range(3):
        store.keep_ready("one", READY)
        store.keep_downloaded(b"data", Facts(URL))
    assert store.ready("one") is None
    assert len([each for each in caplog.records if "can't be kept" in each.message]) == 1


def test_files_are_their_owner_s_alone(store, tmp_path):
    store.keep_ready("one", READY)
    assert (tmp_path / "sets/ready/one.set").stat().st_mode & 0o777 == 0o600
    assert (tmp_path / "sets/ready").stat().st_mode & 0o777 == 0o700


def test_root_leaves_nothing_in_another_s_folder(tmp_path, monkeypatch, caplog):
    monkeypatch.setattr(os, "geteuid", lambda: os.getuid() + 1)
    store = Store(tmp_path / "sets")
    store.keep_ready("one", READY)
    assert not (tmp_path / "sets").exists()
    assert not caplog.records
