"""gproxy.service.rule_sets.keeper: when newer versions are looked for, and what becomes of them."""

from __future__ import annotations

import json
import logging
import os
from itertools import pairwise
from types import SimpleNamespace

import pytest

from gproxy.base.errors import DialError
from gproxy.route.context import NO_CONTEXT
from gproxy.route.options import RouteOptions
from gproxy.route.sets.live import LiveSet
from gproxy.route.sets.packed import Packed
from gproxy.schema.model import read
from gproxy.schema.tls import Authorities
from gproxy.service.rule_sets import keeper as module
from gproxy.service.rule_sets.download import Downloaded
from gproxy.service.rule_sets.keeper import Updates
from gproxy.service.rule_sets.source import sources
from gproxy.service.rule_sets.store import Facts, Store
from tests.route.kit import session
from tests.support.wait import wait_until

URL = "https://lists.test/a.json"


class Outlet:
    """Remembers what it was told."""

    def __init__(self):
        self.told = []

    def tell_rule_set(self, tag, digest, descriptor):
        self.told.append((tag, digest, Packed(descriptor).rules))


class Room:
    """One rule set with its updates, its outlet and its store."""

    def __init__(self, tmp_path, **entry):
        found = []
        route = read(RouteOptions, {"rule_set": [{"tag": "x", **entry}]}, (), found)
        assert route is not None, found
        self.store = Store(tmp_path / "state")
        (self.source,) = sources(route.rule_set, self.store)
        self.live = LiveSet("x", NO_CONTEXT)
        if (ready := self.source.load()) is not None:
            self.live.take(ready.descriptor, ready.digest)
            ready.close()
        self.outlet = Outlet()
        self.detours = []
        self.updates = Updates([(self.source, self.live)], self.detours.append, Authorities())
        self.updates.attach(self.outlet)

    def matches(self, port):
        return self.live.match(session(port=port))


def rules(*ports):
    return json.dumps({"version": 1, "rules": [{"port": list(ports)}]}).encode()


@pytest.fixture(autouse=True)
def often(monkeypatch):
    monkeypatch.setattr(module, "LOOK", 0.02)
    monkeypatch.setattr("gproxy.layers.tls.watch.LOOK", 0.01)


@pytest.fixture
def complaints(caplog):
    caplog.set_level(logging.INFO)
    return lambda: [each.getMessage() for each in caplog.records if each.levelno >= logging.ERROR]


@pytest.fixture
def web(monkeypatch):
    """What the next downloads give, the last of them for ever; who has asked with which facts."""

    made = SimpleNamespace(answers=[], asked=[])

    def answer(dialer, authorities, facts):
        made.asked.append(facts)
        found = made.answers.pop(0) if len(made.answers) > 1 else made.answers[0]
        if isinstance(found, Exception):
            raise found
        return Downloaded(found, Facts(facts.url, '"e"') if found is not None else facts)

    monkeypatch.setattr(module, "download", answer)
    return made


def test_a_file_that_changes(tmp_path, complaints):
    path = tmp_path / "a.json"
    path.write_bytes(rules(1))
    room = Room(tmp_path, type="local", path=str(path))
    assert room.matches(1)
    path.write_bytes(rules(2))  # before anybody looks
    room.updates.start()
    wait_until(lambda: room.matches(2), "not read")
    path.write_bytes(rules(3))
    wait_until(lambda: room.matches(3), "not read anew")
    path.write_bytes(b"{")
    wait_until(complaints, "not complained of")
    path.unlink()
    wait_until(lambda: len(complaints()) == 2, "not complained of")
    assert room.matches(3)
    path.write_bytes(rules(3))
    path.touch()
    path.write_bytes(rules(4))
    wait_until(lambda: room.matches(4), "not read anew")
    room.updates.stop()
    assert [told[2][0]["items"]["port"] for told in room.outlet.told] == [[[2, 2]], [[3, 3]], [[4, 4]]]
    assert "the version before goes on" in complaints()[0]


def test_what_has_not_changed_is_not_told(tmp_path):
    path = tmp_path / "a.json"
    path.write_bytes(rules(1))
    room = Room(tmp_path, type="local", path=str(path))
    room.updates.start()
    os.utime(path, (1, 1))
    path.write_bytes(rules(1))
    path.write_bytes(rules(2))
    wait_until(lambda: room.matches(2), "not read")
    room.updates.stop()
    assert len(room.outlet.told) == 1


def test_a_first_download(tmp_path, web):
    room = Room(tmp_path, type="remote", url=URL, download_detour="out")
    web.answers = [rules(1)]
    room.updates.fetch_lacking(5.0)
    assert room.matches(1)
    assert room.detours == ["out"]
    assert room.store.downloaded(URL, 1000)[0] == rules(1)
    room.updates.fetch_lacking(5.0)
    assert len(web.asked) == 1
    assert room.outlet.told


def test_the_next_is_due_after_the_interval(tmp_path, web, monkeypatch):
    clock = [1000.0]
    monkeypatch.setattr(module, "wall", lambda: clock[0])
    monkeypatch.setattr("gproxy.service.rule_sets.store.wall", lambda: clock[0])
    naps = []

    def nap(seconds):
        naps.append(seconds)
        clock[0] += seconds
        if len(web.asked) >= 3:
            raise DialError("enough")

    monkeypatch.setattr(module, "sleep", nap)
    room = Room(tmp_path, type="remote", url=URL, update_interval="1h")
    web.answers = [rules(1), None, rules(2)]
    (keeper,) = room.updates._keepers
    with pytest.raises(DialError):
        keeper.run()
    assert room.matches(2)
    assert [facts.etag for facts in web.asked] == ["", '"e"', '"e"']
    between = web.asked[2].asked - web.asked[1].asked
    assert 3600 * 0.9 <= between <= 3600 * 1.1
    assert max(naps) <= 60


def test_failures_are_told_once_and_wait_ever_longer(tmp_path, web, monkeypatch, complaints):
    clock = [1000.0]
    monkeypatch.setattr(module, "wall", lambda: clock[0])
    tries = []

    def nap(seconds):
        clock[0] += seconds
        if len(web.asked) >= 8:
            raise DialError("enough")

    monkeypatch.setattr(module, "sleep", nap)
    original = module.download

    def noted(*arguments):
        tries.append(clock[0])
        return original(*arguments)

    monkeypatch.setattr(module, "download", noted)
    room = Room(tmp_path, type="remote", url=URL, update_interval="10m")
    web.answers = [DialError("refused", reason="refused")]
    (keeper,) = room.updates._keepers
    with pytest.raises(DialError, match="enough"):
        keeper.run()
    pauses = [after - before for before, after in pairwise(tries)]
    for pause, expected in zip(pauses, [10, 20, 40, 80, 160, 320, 600], strict=True):
        assert expected * 0.9 <= pause <= expected * 1.1
    assert complaints() == ["the download has failed: refused; nothing is known of it: no rule of it matches"]


def test_a_download_of_no_use_changes_nothing(tmp_path, web, complaints):
    room = Room(tmp_path, type="remote", url=URL)
    web.answers = [rules(1), b'{"version": 1, "rules": [{"port": "x"}]}', b"\0" * 50, rules(2)]
    (keeper,) = room.updates._keepers
    assert keeper.download()
    assert not keeper.download()
    assert not keeper.download()
    assert room.matches(1)
    assert room.store.downloaded(URL, 1000)[0] == rules(1)
    assert len(complaints()) == 2
    assert keeper.download()
    assert room.matches(2)


def test_descriptors_are_not_kept(tmp_path, web):
    room = Room(tmp_path, type="remote", url=URL)
    (keeper,) = room.updates._keepers
    web.answers = [rules(1)]
    keeper.download()
    before = len(os.listdir("/proc/self/fd"))
    for port in range(2, 9):
        web.answers = [rules(port)]
        assert keeper.download()
    assert len(os.listdir("/proc/self/fd")) <= before
