"""gproxy.dns.servers.mdns: what neighbours say; on loopback, without multicast (tests/interop has that)."""

from __future__ import annotations

from ipaddress import ip_address, ip_network

import pytest

from gproxy.base.errors import DialError
from gproxy.dns import SERVERS
from gproxy.dns.servers import mdns
from gproxy.dns.servers.mdns import Multicast, is_local
from gproxy.net.udp import UdpConn, bind_udp
from gproxy.rt.deadline import deadline
from gproxy.rt.group import Group
from gproxy.schema.model import read
from gproxy.wire.dns import types
from gproxy.wire.dns.message import Message, Question, Record, parse
from gproxy.wire.dns.name import encode_name
from tests.dns.servers.upstream import LOOPBACK, ask, wiring

pytestmark = pytest.mark.usefixtures("no_leaks")

ROW = SERVERS.row("mdns")
NAME = "printer.local"
FOUR, OTHER = ip_address("192.0.2.1"), ip_address("192.0.2.2")
NETWORK = mdns._Network("lo", 4, [ip_network("127.0.0.0/8")])


class Neighbours:
    """Neighbours, all at one port of loopback."""

    def __init__(self, monkeypatch, *answers, networks=(NETWORK,)):
        self.answers = answers
        self.asked = []
        self.conn = UdpConn(bind_udp(LOOPBACK, 0))
        self.group = Group("neighbours")
        monkeypatch.setattr(mdns, "PORT", self.conn.bound().port)
        monkeypatch.setattr(mdns, "GROUPS", {4: "127.0.0.1"})
        monkeypatch.setattr(mdns, "WAIT", 0.3)
        monkeypatch.setattr(mdns, "GRACE", 0.03)
        monkeypatch.setattr(mdns, "AGAIN", 0.05)
        self.multicast = Multicast((), "up")
        monkeypatch.setattr(self.multicast, "_networks", lambda: networks)

    def serve(self):
        while True:
            data, source = self.conn.recv_from()
            message = parse(bytes(data))
            self.asked.append(message)
            for answer in self.answers:
                said = answer(message)
                if said is not None:
                    self.conn.send_to(said if isinstance(said, bytes) else said.encode(), source)

    def exchange(self, kind=types.A, name=NAME):
        with deadline(2, TimeoutError()):
            return parse(self.multicast.exchange(ask(name, kind)))

    def __enter__(self):
        self.group.spawn(self.serve)
        return self

    def __exit__(self, *what):
        self.conn.close()
        self.group.kill()
        self.multicast.close()


def record(ip=FOUR, name=NAME, cls=0x8001):
    return Record(name, types.A if ip.version == 4 else types.AAAA, 120, ip.packed, cls)


def says(*records, more=(), **how):
    def answer(query):
        number = how.get("id", query.id)
        return Message(number, True, authoritative=True, question=query.question, answer=records, additional=more)

    return answer


def test_an_answer(monkeypatch):
    with Neighbours(monkeypatch, says(record())) as neighbours:
        message = neighbours.exchange()
    assert message.question == (NAME, types.A, 1)
    assert message.answer == (record(cls=1),)
    (asked,) = neighbours.asked
    assert (asked.question, asked.recursion_desired, asked.edns) == (Question(NAME, types.A), False, None)


def test_several_answers_are_put_together(monkeypatch):
    more = Record(NAME, types.TXT, 120, b"\1x")
    with Neighbours(
        monkeypatch, says(record(), more=(more,)), says(record(OTHER), more=(more,)), says(record())
    ) as all_:
        message = all_.exchange()
    assert {each.data for each in message.answer} == {FOUR.packed, OTHER.packed}
    assert message.additional == (more,)


def test_what_many_may_have_is_waited_for(monkeypatch):
    service = "_ipp._tcp.local"
    held = []

    def late(query):
        held.append(query)
        if len(held) < 2:
            return None
        return says(Record(service, types.PTR, 9, encode_name("b.local")))(query)

    def first(query):
        return says(Record(service, types.PTR, 9, encode_name("a.local")))(query) if len(held) == 1 else None

    monkeypatch.setattr(mdns._Asking, "_send", _send_always)
    with Neighbours(monkeypatch, late, first) as neighbours:
        message = neighbours.exchange(types.PTR, service)
    assert {each.data for each in message.answer} == {encode_name("a.local"), encode_name("b.local")}


def _send_always(asking):
    for sock, _, network in asking._open:
        sock.sendto(asking._message, (mdns.GROUPS[network.version], mdns.PORT))


def test_no_such_record(monkeypatch):
    nsec = Record(NAME, 47, 120, encode_name(NAME) + b"\0\1\x40", 0x8001)
    with Neighbours(monkeypatch, says(nsec)) as neighbours:
        message = neighbours.exchange(types.AAAA)
    assert (message.rcode, message.answer) == (0, ())


@pytest.mark.parametrize(
    "answer",
    [
        lambda query: None,
        lambda query: b"garbage",
        lambda query: b"",
        lambda query: b"\xc0\x0c" * 200,
        lambda query: Message(query.id, False, question=query.question, answer=(record(),)),  # a question
        says(record(name="other.local")),
        says(record(ip_address("2001:db8::1"))),
        lambda query: Message(query.id, True, rcode=3, question=query.question),
        lambda query: Message(query.id ^ 1 or 2, True, question=query.question, answer=(record(),)),
    ],
)
def test_nobody_answers(monkeypatch, answer):
    with (
        Neighbours(monkeypatch, answer) as neighbours,
        pytest.raises(DialError, match="no neighbour answers") as caught,
    ):
        neighbours.exchange()
    assert caught.value.reason == "dns"
    assert len(neighbours.asked) == 2, "it is asked once more"


def test_those_who_are_no_neighbours(monkeypatch):
    elsewhere = mdns._Network("lo", 4, [ip_network("192.0.2.0/24")])
    with Neighbours(monkeypatch, says(record()), networks=(elsewhere,)) as neighbours:
        with pytest.raises(DialError, match="no neighbour answers"):
            neighbours.exchange()


def test_a_flood_is_bounded(monkeypatch):
    monkeypatch.setattr(mdns, "_MOST_ANSWERS", 10)
    with Neighbours(monkeypatch, *[lambda query: b"garbage"] * 20) as neighbours:
        with deadline(0.25, TimeoutError()), pytest.raises(DialError, match="no neighbour answers"):
            neighbours.exchange()


def test_no_interface(monkeypatch):
    with Neighbours(monkeypatch, networks=()) as neighbours:
        with pytest.raises(DialError, match="no interface"):
            neighbours.exchange()


def test_interfaces_of_this_machine_are_found():
    multicast = Multicast((), "up")
    assert all(each.interface != "lo" for each in multicast._networks())
    multicast.close()
    multicast = Multicast(("none0",), "up")
    assert list(multicast._networks()) == []
    multicast.close()


@pytest.mark.parametrize(
    ("name", "local"),
    [
        ("local", True),
        ("a.local", True),
        ("a.local.test", False),
        ("alocal", False),
        ("1.0.254.169.in-addr.arpa", True),
        ("1.0.0.10.in-addr.arpa", False),
        (ip_address("fe80::1").reverse_pointer, True),
        (ip_address("2001:db8::1").reverse_pointer, False),
    ],
)
def test_names_of_neighbours(name, local):
    assert is_local(name) is local


def test_options():
    problems = []
    options = read(ROW.options, {"type": "mdns", "interface": "eth0"}, (), problems)
    assert not problems
    server = ROW.build(options, wiring())
    assert server.cacheable
    assert server.knows("a.local")
    assert not server.knows("a.test")
    server.close()
    assert read(ROW.options, {"type": "mdns", "detour": "x"}, (), problems) is None
    assert [each.path for each in problems] == [("detour",)]
