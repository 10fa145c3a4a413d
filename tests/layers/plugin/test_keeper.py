from __future__ import annotations

import logging
import os
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Literal

import pytest

from gproxy.layers.plugin import keeper as room
from gproxy.layers.plugin.external import Plugin
from gproxy.layers.plugin.keeper import Keeper, last_words
from tests.support.wait import wait_until

pytestmark = pytest.mark.usefixtures("no_leaks")

PluginMaker = Callable[..., Plugin]


@pytest.fixture
def make(tmp_path: Path) -> PluginMaker:
    """Makes a plugin of a script; each time that it runs it adds a line with its process id to `NAME.runs`."""

    def make(script: str, name: str = "p", side: Literal["client", "server"] = "client") -> Plugin:
        program = tmp_path / name
        program.write_text(f"#!/bin/sh\necho $$ >>{tmp_path}/{name}.runs\n{script}\n")
        program.chmod(0o755)
        return Plugin(f"outbound {name}", side, str(program), "", "example.com", 1, 2)

    return make


def runs(plugin: Plugin) -> list[int]:
    """The process ids of a plugin's runs, the present one last."""
    path = Path(plugin.program + ".runs")
    return [int(line) for line in path.read_text().split()] if path.exists() else []


def wait_for_run(plugin: Plugin, number: int) -> int:
    wait_until(lambda: len(runs(plugin)) >= number, lambda: f"it ran {len(runs(plugin))} times")
    return runs(plugin)[number - 1]


def alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


STAY = "exec sleep 60"


def test_they_run_as_long_as_the_block(make: PluginMaker) -> None:
    plugins = [make(STAY, "a"), make(STAY, "b", "server")]
    with Keeper(plugins) as keeper:
        assert [runs(plugin) for plugin in plugins] == [[], []]
        keeper.start()
        pids = [wait_for_run(plugin, 1) for plugin in plugins]
        assert all(map(alive, pids))
    assert not any(map(alive, pids))


def test_starting_twice_is_starting_once(make: PluginMaker) -> None:
    plugin = make(STAY)
    with Keeper([plugin]) as keeper:
        keeper.start()
        wait_for_run(plugin, 1)
        keeper.start()
    assert len(runs(plugin)) == 1


def test_one_that_dies_is_started_again_and_that_is_told_with_its_last_words(
    make: PluginMaker, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(room, "BACKOFF", 0.01)
    plugin = make(f"echo oh no >&2; {STAY}")
    with caplog.at_level(logging.ERROR), Keeper([plugin]) as keeper:
        keeper.start()
        os.kill(wait_for_run(plugin, 1), signal.SIGKILL)
        assert alive(wait_for_run(plugin, 2))
    (line,) = caplog.messages
    assert line == (
        f"outbound p: its plugin {plugin.program} ended: killed by SIGKILL (oh no); it is started again in 0.01 s"
    )


def test_ever_later(make: PluginMaker, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> None:
    monkeypatch.setattr(room, "BACKOFF", 0.01)
    monkeypatch.setattr(room, "BACKOFF_CEILING", 0.03)
    pauses: list[float] = []
    sleep = room.sleep
    monkeypatch.setattr(room, "sleep", lambda seconds: (pauses.append(seconds), sleep(seconds)))
    monkeypatch.setattr(room, "now", lambda: 0.0)
    plugin = make("exit 1")
    with caplog.at_level(logging.CRITICAL), Keeper([plugin]) as keeper:
        keeper.start()
        wait_for_run(plugin, 5)
    assert pauses[:4] == [0.01, 0.02, 0.03, 0.03]


def test_one_that_has_lived_long_is_started_soon_again(
    make: PluginMaker, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(room, "BACKOFF", 0.01)
    pauses: list[float] = []
    sleep = room.sleep
    monkeypatch.setattr(room, "sleep", lambda seconds: (pauses.append(seconds), sleep(seconds)))
    clock = iter(range(0, 10**6, 100))
    monkeypatch.setattr(room, "now", lambda: float(next(clock)))
    plugin = make("exit 1")
    with caplog.at_level(logging.CRITICAL), Keeper([plugin]) as keeper:
        keeper.start()
        wait_for_run(plugin, 4)
    assert pauses[:3] == [0.01, 0.01, 0.01]


def test_one_that_can_t_be_started_is_tried_again(
    make: PluginMaker, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(room, "BACKOFF", 0.01)
    plugin = make(STAY)
    Path(plugin.program).rename(plugin.program + ".away")
    with caplog.at_level(logging.ERROR), Keeper([plugin]) as keeper:
        keeper.start()
        wait_until(lambda: caplog.messages, "nobody says anything")
        assert "it can't be started (No such file or directory)" in caplog.messages[0]
        Path(plugin.program + ".away").rename(plugin.program)
        wait_for_run(plugin, 1)


def test_those_that_listen_for_clients_make_room_and_come_back(make: PluginMaker) -> None:
    client, server = make(STAY, "c"), make(STAY, "s", "server")
    with Keeper([client, server]) as keeper:
        keeper.start()
        at_client, at_server = wait_for_run(client, 1), wait_for_run(server, 1)
        keeper.make_room()
        assert alive(at_client)
        assert not alive(at_server)
        keeper.start()
        wait_for_run(server, 2)
        assert runs(client) == [at_client]


def test_one_that_does_not_want_to_end_does_not_hold_up_the_end(
    make: PluginMaker, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(room, "PATIENCE", 0.1)
    plugin = make("trap '' TERM\necho >>$0.deaf\nwhile :; do sleep 0.01; done")
    with Keeper([plugin]) as keeper:
        keeper.start()
        pid = wait_for_run(plugin, 1)
        wait_until(Path(plugin.program + ".deaf").exists, "it hears")
    assert not alive(pid)


def test_of_all_that_it_says_little_is_kept() -> None:
    class Talker:
        said = iter([b"x" * 10_000, b"the end", b""])

        def read(self) -> bytes:
            return next(self.said)

    kept = bytearray()
    room._listen(Talker(), kept)  # type: ignore[arg-type]
    assert len(kept) < 4096
    assert kept.endswith(b"xthe end")


def test_one_that_says_much_is_read(
    make: PluginMaker, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """Its pipe never fills up."""
    monkeypatch.setattr(room, "BACKOFF", 60.0)
    plugin = make("head -c 1000000 /dev/zero | tr '\\0' x; echo; echo the end; exit 7")
    with caplog.at_level(logging.ERROR), Keeper([plugin]) as keeper:
        keeper.start()
        wait_until(lambda: caplog.messages, "it does not end")
    assert "exit status 7" in caplog.messages[0]
    assert "the end" in caplog.messages[0]
    assert len(caplog.messages[0]) < 1000


@pytest.mark.parametrize(
    ("said", "words"),
    [
        (b"", ""),
        (b"\n \n", ""),
        (b"one\ntwo\nthree\nfour\n", "two | three | four"),
        (b"\x1b[01;35m 12:00 \x1b[0minvalid\r\n", "12:00 invalid"),
        (b"\xff\x00\x07x", "\N{REPLACEMENT CHARACTER}??x"),
        (b"x" * 500, "x" * 200),
    ],
)
def test_last_words_are_few_and_harmless(said: bytes, words: str) -> None:
    assert last_words(said) == words
