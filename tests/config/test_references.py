from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gproxy.config.load import ConfigProblems, Source, load_sources
from gproxy.config.references import outbound_tags, references
from gproxy.config.root import read_root
from gproxy.schema.problem import dotted


def complaints(tree):
    problems = []
    references(tree, problems)
    return [(dotted(each.path), each.message) for each in problems]


def test_good_references_pass():
    assert complaints({
        "inbounds": [{"type": "mixed", "tag": "a", "listen_port": 1}, {"type": "mixed", "detour": "a"}],
        "outbounds": [{"type": "direct", "tag": "d"}, {"type": "direct"}],
        "route": {"rules": {"inbound": ["a", "1"], "outbound": "d"}, "final": "1"},
    }) == []  # fmt: skip


def test_without_outbounds_there_is_direct():
    assert complaints({"route": {"final": "direct"}}) == []
    assert complaints({"route": {"final": "other"}}) == [("route.final", "no outbound has the tag `other`")]
    root = read_root(load_sources([Source("c", "", "toml")], {}))
    assert outbound_tags(root) == ["direct"]


def test_a_tag_may_not_be_taken_by_an_index():
    tree = {"outbounds": [{"type": "direct", "tag": "1"}, {"type": "direct"}]}
    assert complaints(tree) == [("outbounds[1]", "the tag `1` is taken by outbounds[0]")]


@pytest.mark.parametrize("size", [1, 2, 5])
def test_each_circle_is_told_once(size):
    circle = [{"type": "direct", "tag": f"t{i}", "detour": f"t{(i + 1) % size}"} for i in range(size)]
    tail = [{"type": "direct", "tag": "tail", "detour": "t0"}]
    found = complaints({"outbounds": tail + circle})
    names = " → ".join(f"`t{i % size}`" for i in range(size + 1))
    assert found == [("outbounds[1].detour", f"detours in a circle: {names}")]


def test_inbounds_may_go_in_circles_too():
    found = complaints({"inbounds": [{"type": "mixed", "tag": "a", "detour": "a"}]})
    assert found == [("inbounds[0].detour", "detours in a circle: `a` → `a`")]


@pytest.mark.parametrize(
    ("first", "second", "message"),
    [
        ({"listen": "127.0.0.1", "listen_port": 80}, {"listen": "127.0.0.1", "listen_port": 80}, "tcp 127.0.0.1:80"),
        ({"listen": "0.0.0.0", "listen_port": 80}, {"listen": "127.0.0.1", "listen_port": 80}, "tcp 127.0.0.1:80"),
        ({"listen": "::", "listen_port": 80}, {"listen": "0.0.0.0", "listen_port": 80}, "tcp 0.0.0.0:80"),
        ({"listen": "::1", "listen_ports": "1-9"}, {"listen": "::1", "listen_ports": "5-20"}, "tcp [::1]:5-9"),
        ({"listen": "unix:/x"}, {"listen": "unix:/x"}, "unix:/x"),
        ({"listen": "127.0.0.1", "listen_port": 80}, {"listen": "127.0.0.2", "listen_port": 80}, None),
        ({"listen": "::1", "listen_port": 80}, {"listen": "127.0.0.1", "listen_port": 80}, None),
        ({"listen": "127.0.0.1", "listen_port": 0}, {"listen": "127.0.0.1", "listen_port": 0}, None),
        ({"listen_port": 80, "bind_interface": "a"}, {"listen_port": 80, "bind_interface": "b"}, None),
        ({"listen_port": 80}, {"listen_port": "wrong"}, None),
    ],
)
def test_what_is_bound_twice(first, second, message):
    found = complaints({"inbounds": [{"type": "mixed", **first}, {"type": "mixed", **second}]})
    assert [text for _, text in found] == ([f"{message} is bound by inbounds[0] already"] if message else [])


def tls(listen=None, **own):
    files = {"certificate_path": "c", "key_path": "k"}
    return {"type": "http", "listen_port": 443, **(listen or {}), "tls": {"enabled": True, **files, **own}}


@pytest.mark.parametrize(
    ("first", "second", "hint"),
    [
        (tls(), tls(alpn="h2"), None),
        (tls(), tls(server_name="a.test"), None),
        (tls(server_name="b.test", alpn="h2"), tls(server_name="a.test", alpn="h2"), None),
        (tls(), tls(), "differ in `tls.server_name` or `tls.alpn`"),
        (tls(alpn=["h2", "x"], server_name="A.test"), tls(alpn=["x", "h2"], server_name="a.test"), "differ in"),
        (tls(), {"type": "http", "listen_port": 443}, "if all of them have TLS"),
        (tls({"proxy_protocol": True}), tls(alpn="h2"), "the same `proxy_protocol`"),
        (tls({"tcp_keep_alive": "1m"}), tls(alpn="h2"), "the same `tcp_keep_alive`"),
        (tls({"listen": "::"}), tls(alpn="h2"), "share all of them"),
        (tls({"listen_ports": "443-450", "listen_port": None}), tls(alpn="h2"), "share all of them"),
        (tls({"listen": "unix:/x", "listen_port": None}),
         tls({"listen": "unix:/x", "listen_port": None}, alpn="h2"), None),
    ],
)  # fmt: skip
def test_who_may_share_a_port(first, second, hint):
    problems = []
    references({"inbounds": [first, second]}, problems)
    assert len(problems) == (hint is not None)
    if hint:
        assert "bound by inbounds[0] already" in problems[0].message
        assert hint in problems[0].hint


def test_each_of_those_who_share_a_port_differs_from_each():
    found = complaints({"inbounds": [tls(), tls(alpn="h2"), tls(alpn="h2")]})
    assert found == [("inbounds[2].listen_port", "tcp 127.0.0.1:443 is bound by inbounds[1] already")]


def test_tcp_and_udp_do_not_meet():
    tree = {"inbounds": [
        {"type": "direct", "listen_port": 53, "network": "udp"},
        {"type": "direct", "listen_port": 53, "network": "tcp"},
    ]}  # fmt: skip
    assert complaints(tree) == []


def test_a_detour_leaves_nothing_to_the_other_dial_fields():
    tree = {"outbounds": [{"type": "direct", "tag": "a", "detour": "b", "netns": "x"}, {"type": "direct", "tag": "b"}]}
    assert complaints(tree) == [("outbounds[0].netns", "has no effect beside `detour`: leave one of them out")]


JUNK = st.recursive(
    st.one_of(st.none(), st.booleans(), st.integers(), st.sampled_from(["", "a", "b", "direct", "mixed"])),
    lambda inner: st.one_of(
        st.lists(inner, max_size=3),
        st.dictionaries(st.sampled_from(["type", "tag", "detour", "rules", "inbound", "outbound", "final"]), inner),
    ),
    max_leaves=12,
)


@given(st.dictionaries(st.sampled_from(["inbounds", "outbounds", "route"]), JUNK))
def test_no_document_upsets_it(tree):
    complaints(tree)


@pytest.mark.parametrize(
    ("first", "second", "message"),
    [
        ({"type": "direct", "network": "tcp"}, {"type": "direct"}, None),
        ({"type": "mixed"}, {"type": "direct"}, None),
        ({"type": "direct"}, {"type": "mixed"}, "carries no UDP"),
        ({"type": "mixed"}, {"type": "direct", "network": "udp"}, "`b` takes no TCP"),
    ],
)
def test_a_detour_of_an_inbound_carries_streams(first, second, message):
    tree = {"inbounds": [{**first, "tag": "a", "detour": "b"}, {**second, "tag": "b"}]}
    assert complaints(tree) == ([("inbounds[0].detour", message)] if message else [])


@pytest.mark.parametrize("host", ["", "not a host", "1.2.3.300", "a..b"])
@pytest.mark.parametrize("kind", ["socks", "http"])
def test_a_server_is_somewhere(kind, host):
    tree = {"outbounds": [{"type": kind, "server": host, "server_port": 1}]}
    with pytest.raises(ConfigProblems) as caught:
        read_root(load_sources([Source("c", json.dumps(tree), "json")], {}))
    assert [dotted(each.path) for each in caught.value.problems] == ["outbounds[0].server"]


def test_a_tunnel_leads_somewhere():
    tree = {"inbounds": [{"type": "direct", "listen_port": 1, "override_address": "no host"}]}
    with pytest.raises(ConfigProblems) as caught:
        read_root(load_sources([Source("c", json.dumps(tree), "json")], {}))
    assert [dotted(each.path) for each in caught.value.problems] == ["inbounds[0].override_address"]


MANAGED = {"type": "shadowsocks", "tag": "ss", "listen_port": 1, "method": "aes-128-gcm", "managed": True}
PLAIN = {"type": "socks", "tag": "plain", "listen_port": 2}


def api(port=3, **servers):
    return {"type": "ssm-api", "listen_port": port, "servers": servers or {"/": "ss"}}


@pytest.mark.parametrize(
    ("services", "told"),
    [
        ([api()], []),
        ([api(**{"/": "nobody"})], ["services[0].servers./: no inbound has the tag `nobody`"]),
        ([api(**{"/": "plain"})], ["services[0].servers./: inbound `plain` is not managed"]),
        (
            [api(**{"/": "ss", "/two": "ss"})],
            ["services[0].servers./two: `ss` is managed by services[0].servers./ already"],
        ),
        ([api(), api(4)], ["services[1].servers./: `ss` is managed by services[0].servers./ already"]),
        ([api(1)], ["services[0].listen_port: tcp 127.0.0.1:1 is bound by inbounds[0] already"]),
        (
            [{**api(), "tag": "x"}, {"type": "ssm-api", "tag": "x"}],
            ["services[1].tag: the tag `x` is taken by services[0]"],
        ),
        ([{"type": "ssm-api", "servers": 5}], []),
        (
            [{"type": "metrics", "listen_port": 5, "upstreams": {"none": "192.0.2.1:1"}}],
            ["services[0].upstreams.none: no outbound has the tag `none`"],
        ),
        ([{"type": "metrics", "listen_port": 5, "upstreams": {"direct": "192.0.2.1:1"}}], []),
    ],
)
def test_what_services_manage(services, told):
    found = complaints({"inbounds": [MANAGED, PLAIN], "services": services})
    assert [": ".join(each) for each in found] == told


@pytest.mark.parametrize(
    ("rule", "item"),
    [
        ({"geoip": "de"}, "geoip"),
        ({"source_geoip": ["private", "de"]}, "source_geoip"),
        ({"ip_asn": 1}, "ip_asn"),
        ({"geosite": "x"}, "geosite"),
    ],
)
def test_a_rule_that_asks_a_database_has_one(rule, item):
    table = {"ip_asn": "asn", "geosite": "geosite"}.get(item, "geoip")
    tree = {"route": {"rules": [{"type": "logical", "mode": "or", "rules": [rule], "outbound": "direct"}]}}
    assert [": ".join(each) for each in complaints(tree)] == [
        f"route.rules[0].rules[0].{item}: `route.{table}.path` is missing: it says where the database is"
    ]
    tree["route"][table] = {"path": "x"}
    assert complaints(tree) == []


def test_private_addresses_are_in_no_database():
    assert complaints({"route": {"rules": [{"geoip": "private", "outbound": "direct"}]}}) == []
