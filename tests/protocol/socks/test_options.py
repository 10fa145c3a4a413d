"""gproxy.protocol.socks.options."""

from __future__ import annotations

import pytest

from gproxy.protocol.socks.options import SocksInboundOptions, SocksOutboundOptions
from gproxy.schema.model import read

SERVER = {"type": "socks", "server": "127.0.0.1", "server_port": 1080}


def problems_of(model, tree):
    problems = []
    read(model, tree, (), problems)
    return [(problem.path[0], problem.message) for problem in problems]


def test_defaults():
    problems = []
    assert read(SocksInboundOptions, {"type": "socks"}, (), problems).users == ()
    outbound = read(SocksOutboundOptions, SERVER, (), problems)
    assert (outbound.version, outbound.username, bool(outbound.password), outbound.network) == ("5", "", False, ())
    assert problems == []


def test_users_are_read_and_their_passwords_hidden():
    tree = {"type": "socks", "users": {"username": "u", "password": "pw1"}}
    options = read(SocksInboundOptions, tree, (), [])
    assert options.users[0].password.reveal() == "pw1"
    assert "pw1" not in repr(options)


@pytest.mark.parametrize(
    ("more", "key"),
    [
        ({"version": "6"}, "version"),
        ({"version": 5}, "version"),
        ({"username": "u" * 256}, "username"),
        ({"username": "u", "password": "ü" * 128}, "password"),
        ({"password": "pw1"}, "password"),
        ({"version": "4", "username": "a\0b"}, "username"),
        ({"version": "4a", "username": "u", "password": "pw1"}, "password"),
        ({"version": "4", "network": "udp"}, "network"),
        ({"network": "sctp"}, "network"),
        ({"version": "4", "udp_over_tcp": True}, "udp_over_tcp"),
        ({"network": "tcp", "udp_over_tcp": {"enabled": True}}, "udp_over_tcp"),
        ({"udp_over_tcp": {"version": 3}}, "udp_over_tcp"),
        ({"udp_over_tcp": 2}, "udp_over_tcp"),
    ],
)
def test_wrong_outbounds(more, key):
    [(at, message)] = problems_of(SocksOutboundOptions, SERVER | more)
    assert at == key
    assert "pw1" not in message


def test_a_user_who_could_never_log_in_is_a_mistake():
    tree = {"type": "socks", "users": [{"username": "u", "password": "p" * 256}]}
    [(at, message)] = problems_of(SocksInboundOptions, tree)
    assert at == "users"
    assert "password" in message
    assert "ppp" not in message


@pytest.mark.parametrize(
    ("model", "tree", "key"),
    [
        (SocksInboundOptions, {"type": "socks"}, "domain_resolver"),
        (SocksOutboundOptions, SERVER, "network_strategy"),
    ],
)
def test_what_is_not_done_yet_is_refused_by_name(model, tree, key):
    assert problems_of(model, tree | {key: True}) == [(key, "not supported yet")]


@pytest.mark.parametrize(
    ("more", "version"),
    [
        ({}, 0),
        ({"udp_over_tcp": False}, 0),
        ({"udp_over_tcp": True}, 2),
        ({"udp_over_tcp": {"version": 1}}, 0),
        ({"udp_over_tcp": {"enabled": True}}, 2),
        ({"udp_over_tcp": {"enabled": True, "version": 1}}, 1),
        ({"udp_over_tcp": True, "version": "4a", "network": "udp"}, 2),
        ({"udp_over_tcp": False, "version": "4"}, 0),
    ],
)
def test_which_udp_over_tcp(more, version):
    problems = []
    assert read(SocksOutboundOptions, SERVER | more, (), problems).over_tcp() == version, problems
