import json
import os

import pytest

from gproxy.base.errors import ConfigError
from gproxy.route.options import RouteOptions
from gproxy.route.sets.packed import Packed
from gproxy.schema.model import read
from gproxy.service.rule_sets import source as module
from gproxy.service.rule_sets.source import sources
from gproxy.service.rule_sets.store import Facts, Store

MANY = {"domain_suffix": [f"n{n}.lists.test" for n in range(6000)]}


def source(store, **entry):
    return all_sources(store, **{"tag": "x", **entry})[0]


def all_sources(store, **entry):
    found = []
    route = read(RouteOptions, {"rule_set": [entry]}, (), found)
    assert route is not None, found
    return list(sources(route.rule_set, store))


@pytest.fixture
def store(tmp_path):
    return Store(tmp_path / "state")


def written(path, *rules):
    path.write_text(json.dumps({"version": 1, "rules": rules}), "utf-8")
    return str(path)


def rules_of(ready):
    with_rules = Packed(ready.descriptor)
    ready.close()
    return [rule.get("items", rule) for rule in with_rules.rules]


def test_rules_of_the_configuration(store):
    assert rules_of(source(store, rules=[{"network": "udp"}]).load()) == [{"network": ["udp"]}]


def test_several_tags_are_several_files(store, tmp_path):
    for tag in "ab":
        written(tmp_path / f"{tag}.json", {"network": "udp" if tag == "a" else "tcp"})
    first, second = all_sources(store, type="local", tag=["a", "b"], path=str(tmp_path / "{tag}.json"))
    assert (first.tag, rules_of(first.load())) == ("a", [{"network": ["udp"]}])
    assert (second.tag, rules_of(second.load())) == ("b", [{"network": ["tcp"]}])


def test_large_files_are_made_ready_once(store, tmp_path, monkeypatch):
    path = written(tmp_path / "a.json", MANY)
    one = source(store, type="local", path=path)
    first = one.load()
    monkeypatch.setattr(module, "pack", None)
    again = one.load()
    assert again.digest == first.digest
    assert rules_of(again) == rules_of(first)


def test_the_digest_is_that_of_all_that_counts(store, tmp_path):
    path, other = written(tmp_path / "a.json", MANY), written(tmp_path / "b.list", {})
    (tmp_path / "b.list").write_text("a.test\n")
    digests = {
        source(store, type="local", path=path).load().digest,
        source(store, type="local", path=other).load().digest,
        source(store, type="local", path=other, format="adguard").load().digest,
    }
    written(tmp_path / "a.json", {"port": 1})
    digests.add(source(store, type="local", path=path).load().digest)
    assert len(digests) == 4


@pytest.mark.parametrize("content", [None, b"{", b'{"version": 1, "rules": [{"prot": 1}]}'])
def test_a_file_of_no_use(store, tmp_path, content):
    path = tmp_path / "a.json"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(ConfigError, match=f"rule set x: {path}"):
        source(store, type="local", path=str(path)).load()


def test_a_file_that_is_too_large(store, tmp_path, monkeypatch):
    monkeypatch.setattr(module, "MOST", 10)
    with pytest.raises(ConfigError, match="more than"):
        source(store, type="local", path=written(tmp_path / "a.json", {"port": 1})).load()


REMOTE = {"type": "remote", "url": "https://lists.test/a.json"}


def test_downloads_begin_with_what_was_kept(store, tmp_path):
    first = written(tmp_path / "a.json", {"network": "udp"})
    one = source(store, **REMOTE, initial_path=first)
    assert source(store, **REMOTE).load() is None
    assert rules_of(one.load()) == [{"network": ["udp"]}]
    store.keep_downloaded(b'{"version": 1, "rules": [{"network": "tcp"}]}', Facts(one.url(), asked=5.0))
    assert rules_of(one.load()) == [{"network": ["tcp"]}]
    assert one.facts().asked == 5.0


def test_a_download_of_no_use_is_forgotten(store, tmp_path):
    one = source(store, **REMOTE)
    store.keep_downloaded(b"garbage", Facts(one.url(), '"e"', asked=5.0))
    assert one.load() is None
    assert one.facts() == Facts(one.url())


def test_a_first_file_of_no_use(store, tmp_path):
    with pytest.raises(ConfigError, match="no such file"):
        source(store, **REMOTE, initial_path=str(tmp_path / "none.json")).load()


def test_descriptors_are_the_holder_s(store, tmp_path):
    path = written(tmp_path / "a.json", MANY)
    before = len(os.listdir("/proc/self/fd"))
    for _ in range(3):
        source(store, type="local", path=path).load().close()
    assert len(os.listdir("/proc/self/fd")) <= before
