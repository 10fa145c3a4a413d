"""gproxy.dns.servers.hosts."""

from __future__ import annotations

from ipaddress import ip_address

import pytest

from gproxy.dns import SERVERS
from gproxy.schema.model import read
from gproxy.wire.dns import types
from gproxy.wire.dns.message import parse
from gproxy.wire.dns.name import encode_name
from tests.dns.servers.upstream import ask, wiring

ROW = SERVERS.row("hosts")
FOUR, SIX = ip_address("192.0.2.1"), ip_address("2001:db8::1")


def problems_of(tree):
    problems = []
    read(ROW.options, {"type": "hosts", **tree}, (), problems)
    return [str(each.message) for each in problems]


@pytest.fixture
def server(tmp_path):
    path = tmp_path / "hosts"
    path.write_text("192.0.2.9 site.test file.test\n192.0.2.10 second.test\n")
    other = tmp_path / "other"
    other.write_text("192.0.2.11 file.test other.test\n")
    predefined = {"Site.test.": [str(FOUR), str(SIX)], "one.test": str(FOUR), "none.test": []}
    options = read(ROW.options, {"type": "hosts", "path": [str(path), str(other)], "predefined": predefined}, (), [])
    return ROW.build(options, wiring())


def answer(server, name, kind):
    message = parse(server.exchange(ask(name, kind)))
    assert message.question == (name, kind, 1)
    return message.rcode, [each.data for each in message.answer]


@pytest.mark.parametrize(
    ("name", "kind", "said"),
    [
        ("site.test", types.A, (types.NOERROR, [FOUR.packed])),
        ("site.test", types.AAAA, (types.NOERROR, [SIX.packed])),
        ("site.test", types.TXT, (types.NOERROR, [])),
        ("one.test", types.AAAA, (types.NOERROR, [])),
        ("none.test", types.A, (types.NOERROR, [])),
        ("file.test", types.A, (types.NOERROR, [ip_address("192.0.2.9").packed])),
        ("other.test", types.A, (types.NOERROR, [ip_address("192.0.2.11").packed])),
        ("unknown.test", types.A, (types.NXDOMAIN, [])),
        ("1.2.0.192.in-addr.arpa", types.PTR, (types.NOERROR, [encode_name("site.test"), encode_name("one.test")])),
        ("10.2.0.192.in-addr.arpa", types.PTR, (types.NOERROR, [encode_name("second.test")])),
        ("99.2.0.192.in-addr.arpa", types.PTR, (types.NXDOMAIN, [])),
        ("999.2.0.192.in-addr.arpa", types.PTR, (types.NXDOMAIN, [])),
    ],
)
def test_what_it_says(server, name, kind, said):
    assert answer(server, name, kind) == said


def test_which_names_it_knows(server):
    assert server.knows("site.test")
    assert server.knows("file.test")
    assert not server.knows("unknown.test")
    assert not server.cacheable
    server.close()


def test_options():
    assert problems_of({}) == []
    assert problems_of({"path": "/etc/hosts", "predefined": {"a.test": "192.0.2.1"}}) == []
    assert problems_of({"predefined": {"192.0.2.1": "192.0.2.1"}}) == ["'192.0.2.1': expected a domain"]
    assert len(problems_of({"predefined": {"a.test": "b.test"}})) == 1
    assert len(problems_of({"detour": "x"})) == 1, "it dials nobody"
