from __future__ import annotations

import dataclasses
import os
import stat
from pathlib import Path

import pytest

from gproxy.schema.acme import Acme, AcmeProvider
from gproxy.service.acme import store as module
from gproxy.service.acme.jws import Key
from gproxy.service.acme.store import Failures, Store, state_folder
from tests.service.acme.test_certificates import issued
from tests.support.clock import START_WALL, HeldClock, held_clock

__all__ = ["held_clock"]


def options(folder: Path, **more) -> AcmeProvider:
    values = {"domain": ("site.test",), "data_directory": str(folder), "provider": "https://ca.test:14000/dir"} | more
    return AcmeProvider(type="acme", **values)


def test_nothing_was_kept(tmp_path: Path) -> None:
    store = Store(options(tmp_path))
    assert (store.certificate(), store.account(), store.failures()) == (None, None, Failures())
    assert list(tmp_path.iterdir()) == []


def test_there_and_back(tmp_path: Path, held_clock: HeldClock) -> None:
    store, made, key = Store(options(tmp_path)), issued("site.test"), Key.new()
    store.keep(made)
    store.keep_account(key, "https://ca.test/account/1")
    store.note(Failures(2, START_WALL, 60.0))
    assert store.certificate() == made
    kept = store.account()
    assert kept is not None
    assert (kept[0].jwk(), kept[1]) == (key.jwk(), "https://ca.test/account/1")
    assert store.failures() == Failures(2, START_WALL, 60.0)
    files = sorted(each for each in tmp_path.rglob("*") if each.is_file())
    assert [each.parent.name for each in files] == ["ca.test"] * 3
    assert {stat.S_IMODE(each.stat().st_mode) for each in files} == {0o600}
    store.note(Failures())
    store.note(Failures())
    assert store.failures() == Failures()


def test_other_options_have_other_files(tmp_path: Path) -> None:
    one = options(tmp_path)
    others = [
        options(tmp_path, key_type="p384"), options(tmp_path, profile="short"),
        options(tmp_path, domain=("site.test", "b.test")), options(tmp_path, provider="letsencrypt"),
    ]  # fmt: skip
    assert len({str(Store(each)) for each in [one, *others]}) == 5
    assert str(Store(options(tmp_path, domain=("*.site.test",)))).rpartition("/")[2].startswith("_.site.test-")
    shared = Acme(domain=one.domain, data_directory=one.data_directory, provider=one.provider)
    assert str(Store(shared)) == str(Store(one)), "the older table means the same"
    assert str(Store(options(tmp_path, domain=("b.test", "site.test")))) != str(Store(one))


@pytest.mark.parametrize("text", [b"x", b"-----BEGIN CERTIFICATE-----\n", b"\xff" * 100])
def test_what_can_t_be_used(tmp_path: Path, text: bytes) -> None:
    store = Store(options(tmp_path))
    store.keep(issued("site.test"))
    Path(str(store)).write_bytes(text)
    with pytest.raises(ValueError):
        store.certificate()


def test_a_long_name(tmp_path: Path) -> None:
    name = ".".join(["x" * 60] * 4)
    store = Store(options(tmp_path, domain=(name,)))
    store.keep(issued(name))
    assert store.certificate() is not None


def test_a_certificate_of_other_names(tmp_path: Path) -> None:
    store = Store(options(tmp_path))
    store.keep(issued("other.test"))
    with pytest.raises(ValueError, match=r"without site.test"):
        store.certificate()


@pytest.mark.parametrize("text", ["[]", "{", '{"failures": "x"}', '{"failures": 1, "tried": 9e99, "wait": 1}',
                                  '{"failures": 1, "tried": 1, "wait": -1}', '{"failures": 1e999}'])  # fmt: skip
def test_failures_that_can_t_be_right_are_none(tmp_path: Path, text: str) -> None:
    store = Store(options(tmp_path))
    store.note(Failures(1, 1.0, 1.0))
    Path(str(store)).with_suffix(".json").write_text(text)
    assert store.failures() == Failures()


def test_an_account_that_can_t_be_read(tmp_path: Path) -> None:
    store = Store(options(tmp_path))
    store.keep_account(Key.new(), "x")
    [path] = tmp_path.rglob("account-*")
    path.write_text('{"key": "x"}')
    with pytest.raises(ValueError):
        store.account()


def test_where_state_is(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("STATE_DIRECTORY", "XDG_STATE_HOME"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    assert state_folder() == Path("/var/lib/gproxy")
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    monkeypatch.setenv("HOME", "/home/ada")
    assert state_folder() == Path("/home/ada/.local/state/gproxy")
    monkeypatch.setenv("XDG_STATE_HOME", "/state")
    assert state_folder() == Path("/state/gproxy")
    monkeypatch.setenv("STATE_DIRECTORY", "/var/lib/a:/var/lib/b")
    assert state_folder() == Path("/var/lib/a")
    default = dataclasses.replace(options(Path("/x")), data_directory="")
    assert str(Store(default)).startswith("/var/lib/a/acme/ca.test/")
    assert module._MOST > 100_000
