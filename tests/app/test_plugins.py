from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import pytest

from gproxy.base.errors import ConfigError
from gproxy.layers.plugin.external import Plugin
from tests.app.rooms import house_of, root_of

pytestmark = pytest.mark.usefixtures("no_leaks")

PROGRAM = sys.executable
SHADOWSOCKS = {"type": "shadowsocks", "method": "aes-128-gcm", "password": "pw"}


def inbound(**more: Any) -> dict[str, Any]:
    return {**SHADOWSOCKS, "listen_port": 8388, "network": "tcp", **more}


def outbound(**more: Any) -> dict[str, Any]:
    return {**SHADOWSOCKS, "server": "example.com", "server_port": 8389, "network": "tcp", **more}


def test_without_programs_nothing_has_to_run() -> None:
    house = house_of(inbounds=[inbound(plugin="obfs-server")], outbounds=[outbound(plugin="obfs-local"), outbound()])
    assert house.plugins == []
    assert [str(door.endpoint) for door in house.doors] == ["127.0.0.1:8388/tcp"]


def test_an_outbounds_program_connects_to_its_server() -> None:
    house = house_of(outbounds=[outbound(tag="o", plugin=PROGRAM, plugin_opts="a=b"), outbound(plugin=PROGRAM)])
    first, second = house.plugins
    assert first == Plugin("outbound o", "client", PROGRAM, "a=b", "example.com", 8389, first.port)
    assert second == Plugin("outbound 1", "client", PROGRAM, "", "example.com", 8389, second.port)
    assert first.port != second.port


@pytest.mark.parametrize(("listen", "told"), [("", "127.0.0.1"), ("::", "::"), ("192.0.2.1", "192.0.2.1")])
def test_an_inbounds_program_listens_in_its_place(listen: str, told: str) -> None:
    house = house_of(inbounds=[inbound(listen=listen, plugin=PROGRAM)])
    (plugin,) = house.plugins
    assert plugin == Plugin("inbound 0", "server", PROGRAM, "", told, 8388, plugin.port)
    assert [str(door.endpoint) for door in house.doors] == [f"127.0.0.1:{plugin.port}/tcp"]


def test_datagrams_go_past_the_program() -> None:
    house = house_of(inbounds=[inbound(listen="192.0.2.1", plugin=PROGRAM, network=[])])
    (plugin,) = house.plugins
    assert [str(door.endpoint) for door in house.doors] == [f"127.0.0.1:{plugin.port}/tcp", "192.0.2.1:8388/udp"]


def test_a_program_that_does_not_exist_is_refused_before_anything_is_built(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="there is no program `nobodys-plugin`"):
        root_of(outbounds=[outbound(plugin="nobodys-plugin")])
    with pytest.raises(ConfigError, match=f"there is no program `{tmp_path}/x`"):
        root_of(inbounds=[inbound(plugin=f"{tmp_path}/x")])
