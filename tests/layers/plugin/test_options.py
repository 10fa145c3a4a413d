from __future__ import annotations

import sys
from typing import Any

import pytest

from gproxy.layers.plugin.options import ClientPlugin, ServerPlugin
from gproxy.layers.plugin.simpleobfs import Obfs
from gproxy.schema.fields import Port
from gproxy.schema.model import Options, Problem, read
from gproxy.schema.transport import WsTransport

PROGRAM = sys.executable


def complaints(model: type[Options], **tree: Any) -> list[tuple[str, str]]:
    problems: list[Problem] = []
    needed = {"type": "x", "listen_port": 80} if model is ServerPlugin else {}
    read(model, {**needed, **tree}, (), problems)
    return [(str(problem.path[-1]), problem.message) for problem in problems]


def test_no_plugin() -> None:
    assert complaints(ClientPlugin) == []
    assert ClientPlugin().program() == ""
    assert ClientPlugin().obfs() is None


def test_what_is_built_in() -> None:
    problems: list[Problem] = []
    options = read(ClientPlugin, {"plugin": "obfs-local", "plugin_opts": "obfs=tls;obfs-host=a.test"}, (), problems)
    assert problems == []
    assert options is not None
    assert options.program() == ""
    assert options.obfs() == Obfs("tls", "a.test")
    assert complaints(ServerPlugin, plugin="obfs-server", plugin_opts="obfs=http", proxy_protocol=True) == []


def test_v2ray_plugin_is_built_in_for_both_roles() -> None:
    for model in (ClientPlugin, ServerPlugin):
        assert complaints(model, plugin="v2ray-plugin", plugin_opts="mux=0") == []
        assert complaints(model, plugin="v2ray-plugin", plugin_opts="mux=0;fast-open")[0][0] == "plugin_opts"
    options = read(ClientPlugin, {"plugin": "v2ray-plugin", "plugin_opts": "mux=0;path=/x"}, (), [])
    assert options is not None
    assert options.program() == ""
    assert options.obfs() is None
    built_in = options.v2ray()
    assert built_in is not None
    assert isinstance(built_in[0], WsTransport)
    assert built_in[0].path == "/x"
    assert ClientPlugin().v2ray() is ServerPlugin(type="x", listen_port=Port(1)).v2ray() is None


def test_a_program() -> None:
    problems: list[Problem] = []
    options = read(ClientPlugin, {"plugin": PROGRAM, "plugin_opts": ";;anything\\"}, (), problems)
    assert problems == []
    assert options is not None
    assert options.program() == PROGRAM
    assert options.obfs() is None


def test_its_options_may_be_secrets() -> None:
    assert "hidden" not in repr(ClientPlugin(plugin="obfs-local", plugin_opts=ClientPlugin.__dataclass_fields__[
        "plugin_opts"].default.parse("key=hidden")))  # fmt: skip


@pytest.mark.parametrize("model", [ClientPlugin, ServerPlugin])
def test_a_program_that_does_not_exist(model: type[Options]) -> None:
    assert complaints(model, plugin="v2ray-plugin-of-nobody") == [
        ("plugin", "there is no program `v2ray-plugin-of-nobody`")
    ]
    assert complaints(model, plugin="/nowhere/x") == [("plugin", "there is no program `/nowhere/x`")]


def test_the_other_half() -> None:
    assert complaints(ClientPlugin, plugin="obfs-server") == [
        ("plugin", "is the other side's half: expected `obfs-local`")
    ]
    assert complaints(ServerPlugin, plugin="obfs-local") == [
        ("plugin", "is the other side's half: expected `obfs-server`")
    ]


def test_options_without_a_plugin() -> None:
    assert complaints(ClientPlugin, plugin_opts="obfs=http") == [("plugin_opts", "there is no `plugin` to read them")]


def test_wrong_options_are_told_without_their_values() -> None:
    ((key, message),) = complaints(ClientPlugin, plugin="obfs-local", plugin_opts="obfs=hidden")
    assert key == "plugin_opts"
    assert "hidden" not in message


def test_a_program_can_t_be_told_everything() -> None:
    assert complaints(ClientPlugin, plugin=PROGRAM, plugin_opts="a\0") == [
        ("plugin_opts", "no program can be told a NUL")
    ]
    assert complaints(ClientPlugin, plugin="a\0") == [("plugin", "no program can be told a NUL")]


@pytest.mark.parametrize(
    ("key", "value"),
    [("detour", "x"), ("bind_interface", "lo"), ("routing_mark", 1), ("tcp_fast_open", True), ("netns", "x"),
     ("inet4_bind_address", "127.0.0.1"), ("disable_tcp_keep_alive", True)],
)  # fmt: skip
def test_what_a_program_s_connections_can_t_have(key: str, value: object) -> None:
    assert complaints(ClientPlugin, plugin=PROGRAM, **{key: value}) == [
        (key, "has no effect: the plugin makes its own connections")
    ]
    assert complaints(ClientPlugin, plugin="obfs-local", **{key: value}) == []


@pytest.mark.parametrize(
    ("key", "value"),
    [("listen_ports", "1-2"), ("bind_interface", "lo"), ("routing_mark", 1), ("tcp_fast_open", True),
     ("proxy_protocol", True), ("tcp_keep_alive", "1s")],
)  # fmt: skip
def test_how_a_program_can_t_listen(key: str, value: object) -> None:
    assert complaints(ServerPlugin, plugin=PROGRAM, **{key: value}) == [
        (key, "has no effect: the plugin listens by itself")
    ]
    assert complaints(ServerPlugin, plugin="obfs-server", **{key: value}) == []


def test_a_program_listens_on_a_port() -> None:
    assert [key for key, _ in complaints(ServerPlugin, plugin=PROGRAM, listen="unix:/x", listen_port=None)] == [
        "listen"
    ]
    assert [key for key, _ in complaints(ServerPlugin, plugin=PROGRAM, listen_port=None)] == ["listen_port"]
    assert [key for key, _ in complaints(ServerPlugin, plugin=PROGRAM, listen_port=0)] == ["listen_port"]


def test_a_plugin_without_tcp() -> None:
    assert complaints(ClientPlugin, plugin="obfs-local", network="udp") == [
        ("plugin", "`network` leaves no TCP to carry")
    ]
    assert complaints(ClientPlugin, plugin="obfs-local", network="udp", udp_over_tcp=True) == []
    assert complaints(ServerPlugin, plugin="obfs-server", network="udp") == [
        ("plugin", "`network` leaves no TCP to carry")
    ]
