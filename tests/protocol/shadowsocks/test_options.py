"""gproxy.protocol.shadowsocks.options."""

from __future__ import annotations

import base64

import pytest

from gproxy.protocol.shadowsocks.options import ShadowsocksInboundOptions, ShadowsocksOutboundOptions
from gproxy.schema.model import read

KEY16, OTHER16, KEY32 = (base64.b64encode(key).decode() for key in (bytes(16), b"\1" * 16, bytes(32)))
MULTIPLEX = {"enabled": True}
AEAD, MODERN, CHACHA = "aes-128-gcm", "2022-blake3-aes-128-gcm", "2022-blake3-chacha20-poly1305"
SERVER = {"name": "d", "server": "192.0.2.1", "server_port": 1, "password": KEY16}


def user(name="u", password="pw"):
    return {"name": name, "password": password}


def problems(model, **tree):
    found = []
    options = read(model, {"type": "shadowsocks", **tree}, (), found)
    assert (options is None) == bool(found)
    assert not any(secret in problem.message for secret in (KEY16, KEY32, "hunter2") for problem in found)
    return [(".".join(map(str, problem.path)), problem.message) for problem in found]


def inbound(**tree):
    return problems(ShadowsocksInboundOptions, **tree)


def outbound(**tree):
    return problems(ShadowsocksOutboundOptions, server="192.0.2.1", server_port=8388, **tree)


@pytest.mark.parametrize(
    "tree",
    [
        {"method": AEAD, "password": "pw"},
        {"method": "none"},
        {"method": MODERN, "password": KEY16},
        {"method": "aes-256-cfb", "password": "pw", "legacy": True},
    ],
)
def test_both_ways(tree):
    assert inbound(**tree) == []
    assert outbound(**tree) == []


WS = {"transport": {"type": "ws", "path": "/x"}}


@pytest.mark.parametrize("more", [WS, {"tls": {"enabled": True}}, WS | {"tls": {"enabled": True}, "network": "tcp"}])
def test_tls_and_transports_around_both_ways(more):
    assert outbound(method="none", **more) == []
    files = {"certificate_path": "a", "key_path": "b"} if "tls" in more else {}
    assert inbound(method="none", **more | ({"tls": more["tls"] | files} if files else {})) == []


@pytest.mark.parametrize(
    ("more", "words"),
    [({"plugin": "true"}, "a plugin makes"), ({"network": "udp"}, "no TCP"), ({"transport": {}}, "`type` is missing")],
)
def test_transports_that_go_together_with_nothing(more, words):
    for found in (inbound(method="none", listen_port=1, **WS | more), outbound(method="none", **WS | more)):
        [(path, message)] = found
        assert path == "transport"
        assert words in message


def test_datagrams_on_a_stream_need_a_stream():
    assert outbound(method="none", network="udp", udp_over_tcp=True, **WS) == []


@pytest.mark.parametrize(
    "tree",
    [
        {"method": AEAD, "users": [user()]},
        {"method": AEAD, "users": [user("a", "1"), user("b", "2")], "network": "tcp"},
        {"method": MODERN, "password": KEY16, "users": [user("a", OTHER16)]},
        {"method": MODERN, "password": OTHER16, "destinations": [SERVER]},
    ],
)
def test_inbounds_with_several(tree):
    assert inbound(**tree) == []


def test_an_outbound_with_a_row_of_keys():
    assert outbound(method=MODERN, password=f"{KEY16}:{OTHER16}") == []


@pytest.mark.parametrize(
    ("tree", "key", "words"),
    [
        ({"method": "aes-256-cfb", "password": "pw"}, "method", "retired cipher: only with `legacy = true`"),
        ({"method": AEAD, "password": "pw", "legacy": True}, "legacy", "no retired cipher"),
        ({"method": AEAD}, "password", "expected a password"),
        ({"method": MODERN, "password": "hunter2"}, "password", "gproxy generate ss-key"),
        ({"method": MODERN, "password": KEY32}, "password", "16 bytes in base64, got 32"),
        ({"method": "rot13", "password": "pw"}, "method", "aes-128-gcm"),
    ],
)
def test_wrong_both_ways(tree, key, words):
    for found in (inbound(**tree), outbound(**tree)):
        [(path, message)] = found
        assert path == key
        assert words in message


@pytest.mark.parametrize(
    ("tree", "key", "words"),
    [
        ({"method": MODERN, "password": f"{KEY16}:{OTHER16}"}, "password", "a single key"),
        ({"method": "none", "users": [user()]}, "users", "can't tell users apart"),
        ({"method": CHACHA, "password": KEY32, "users": [user("a", KEY32)]}, "users", "no identity headers"),
        ({"method": MODERN, "password": KEY16, "users": [user("a", "hunter2")]}, "users", "password of 'a': expected"),
        ({"method": AEAD, "users": [user("a"), user("b")]}, "users", "password of 'b': another one has the same"),
        ({"method": AEAD, "password": "pw", "destinations": [SERVER]}, "destinations", "a relay needs a 2022"),
        (
            {"method": MODERN, "password": KEY16, "users": [user("a", OTHER16)], "destinations": [SERVER]},
            "destinations",
            "either `users` or `destinations`",
        ),
        ({"method": "none", "managed": True}, "managed", "can't tell users apart"),
        ({"method": AEAD, "managed": True, "users": [user()]}, "managed", "give none here"),
        ({"method": AEAD, "password": "pw", "network": "udp", "multiplex": MULTIPLEX}, "multiplex", "no TCP"),
        (
            {"method": MODERN, "password": KEY16, "destinations": [SERVER], "multiplex": MULTIPLEX},
            "multiplex",
            "a relay does not see",
        ),
    ],
)
def test_wrong_inbounds(tree, key, words):
    [(path, message)] = inbound(**tree)
    assert path == key
    assert words in message


def test_datagrams_go_one_way():
    [(path, message)] = outbound(method=AEAD, password="pw", udp_over_tcp=True, multiplex=MULTIPLEX)
    assert path == "udp_over_tcp"
    assert "give either one" in message
    assert outbound(method=AEAD, password="pw", udp_over_tcp=True, multiplex={"enabled": False}) == []
    assert outbound(method=AEAD, password="pw", multiplex=MULTIPLEX) == []
