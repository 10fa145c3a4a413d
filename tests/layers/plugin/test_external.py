from __future__ import annotations

import socket
from pathlib import Path

import pytest

from gproxy.base.errors import DialError
from gproxy.layers.plugin import external as room
from gproxy.layers.plugin.external import Plugin, Through, unused_port
from gproxy.rt.group import Group
from gproxy.rt.sync import sleep
from tests.conformance.streams import tcp_pair
from tests.support.playbook import new_session
from tests.support.ports import LOOPBACK, free_port

pytestmark = pytest.mark.usefixtures("no_leaks")


def plugin(options: str = "") -> Plugin:
    return Plugin("outbound x", "client", "some-plugin", options, "example.com", 8388, 12345)


def test_what_a_program_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NOTIFY_SOCKET", "/run/x")
    monkeypatch.setenv("LISTEN_FDS", "1")
    monkeypatch.setenv("LANG", "C.UTF-8")
    monkeypatch.delenv("SS_PLUGIN_OPTIONS", raising=False)
    told = plugin("a=b").environment()
    assert {name: value for name, value in told.items() if name.startswith("SS_")} == {
        "SS_REMOTE_HOST": "example.com",
        "SS_REMOTE_PORT": "8388",
        "SS_LOCAL_HOST": "127.0.0.1",
        "SS_LOCAL_PORT": "12345",
        "SS_PLUGIN_OPTIONS": "a=b",
    }
    assert told["LANG"] == "C.UTF-8"
    assert not {"NOTIFY_SOCKET", "LISTEN_FDS"} & told.keys()
    assert "SS_PLUGIN_OPTIONS" not in plugin().environment()


def test_its_options_are_not_shown() -> None:
    assert "hidden" not in repr(plugin("key=hidden"))


def test_the_program_is_looked_for_when_it_is_started(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert plugin().argv() == ["some-plugin"]
    program = tmp_path / "some-plugin"
    program.write_text("#!/bin/sh\n")
    program.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path))
    assert plugin().argv() == [str(program)]


def test_unused_ports_differ_and_are_unused() -> None:
    taken: set[int] = set()
    ports = [unused_port(taken) for _ in range(50)]
    assert len(set(ports)) == 50
    assert taken == set(ports)
    with socket.socket() as probe:
        probe.bind((LOOPBACK, ports[0]))


def test_a_port_is_none_that_an_outgoing_connection_may_have() -> None:
    lowest, highest = map(int, Path("/proc/sys/net/ipv4/ip_local_port_range").read_text("ascii").split())
    if lowest <= 11000:
        pytest.skip("this machine leaves no room below")
    assert not lowest <= unused_port(set()) <= highest


def test_a_used_port_is_passed_over(monkeypatch: pytest.MonkeyPatch) -> None:
    free = free_port()
    with socket.socket() as busy:
        busy.bind((LOOPBACK, 0))
        monkeypatch.setattr(room, "_candidates", lambda: iter([busy.getsockname()[1], free]))
        assert unused_port(set()) == free
        monkeypatch.setattr(room, "_candidates", lambda: iter([busy.getsockname()[1], free]))
        with pytest.raises(OSError, match="no loopback port"):
            unused_port({free})


def test_where_outgoing_connections_have_all_ports_the_kernel_chooses(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ranges = tmp_path / "range"
    ranges.write_text("1024\t65535\n")
    monkeypatch.setattr(room, "_RANGE", ranges)
    assert unused_port(set()) > 0


def test_a_program_that_is_only_starting_is_waited_for() -> None:
    port = free_port()
    with Group("test") as group, socket.socket() as listener:

        def listen_later() -> None:
            sleep(0.1)
            listener.bind((LOOPBACK, port))
            listener.listen()

        group.spawn(listen_later)
        Through(port, 5.0).connect(new_session()).close()


def test_a_program_that_never_listens() -> None:
    with pytest.raises(DialError) as caught:
        Through(free_port(), 0.12).connect(new_session())
    assert caught.value.reason == "timeout"
    near, far = tcp_pair()
    near.close()
    far.close()
