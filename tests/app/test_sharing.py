"""gproxy.app.sharing: one door for several inbounds."""

from __future__ import annotations

from typing import Any

import pytest

from gproxy.app.sharing import shares
from tests.app.rooms import house_of, root_of
from tests.layers.tls.lab import GOOD

pytestmark = pytest.mark.usefixtures("no_leaks")

TLS = {"enabled": True, "certificate": GOOD.chain, "key": GOOD.key}


def inbound(tag: str, port: int = 443, **tls: Any) -> dict[str, Any]:
    return {"type": "http", "tag": tag, "listen": "127.0.0.1", "listen_port": port, "tls": TLS | tls}


def parts(*inbounds: dict[str, Any]) -> dict[int, bool]:
    found = shares(root_of(inbounds=list(inbounds)).inbounds)
    return {index: share.leads for index, share in found.items()}


def test_who_shares() -> None:
    assert parts(inbound("a"), inbound("b", 444), inbound("c", alpn="h2")) == {0: True, 2: False}
    assert parts(inbound("a")) == {}
    assert parts(inbound("a", 0), inbound("b", 0, alpn="h2")) == {}
    sock = {"listen": "unix:/run/x", "listen_port": None}
    assert parts(inbound("a") | sock, inbound("b", alpn="h2") | sock) == {0: True, 1: False}


def test_they_have_one_door() -> None:
    house = house_of(inbounds=[inbound("a", alpn="h2"), inbound("b", server_name="b.test"), inbound("c", 444)])
    assert [door.endpoint.port for door in house.doors] == [443, 444]
