"""gproxy.dns.servers.udp: datagrams, those who guess them, and servers that say nothing."""

from __future__ import annotations

import errno
import socket
from ipaddress import ip_address

import pytest

from gproxy.base.address import Address
from gproxy.base.errors import DialError, StreamClosed
from gproxy.dns import SERVERS
from gproxy.dns.servers import udp
from gproxy.dns.servers.udp import UdpServer
from gproxy.net import sockopt
from gproxy.net.direct import SystemDialer
from gproxy.net.stream import SocketStream
from gproxy.net.tcp import SocketOptions
from gproxy.net.udp import UdpConn, bind_udp
from gproxy.rt.deadline import deadline
from gproxy.rt.group import Group
from gproxy.rt.sockets import READ, Readiness
from gproxy.rt.sync import sleep
from gproxy.schema.model import read
from gproxy.wire.dns.message import parse
from tests.dns.servers.upstream import (
    ADDRESS,
    DIALER,
    LOOPBACK,
    SESSION,
    Proxied,
    ask,
    expected,
    framed,
    reply,
    served,
    udp_end,
    wiring,
)
from tests.support.ports import free_port
from tests.support.wait import wait_until

pytestmark = pytest.mark.usefixtures("no_leaks")

EVIL = ip_address("203.0.113.66")


def server_for(address, via=DIALER, lookup=DIALER.lookup):
    return UdpServer(address, via, lookup, "up")


def once(query):
    return [reply(query)]


def check(server, name="site.test"):
    one = ask(name)
    assert parse(server.exchange(one)) == expected(one)


def by_stream(port, answer):
    """A server's TCP side, for as many connections as come."""
    listener = socket.socket()
    listener.bind(("127.0.0.1", port))
    listener.listen()
    listener.setblocking(False)

    def run():
        ready = Readiness(listener.fileno(), READ)
        try:
            with Group("connections") as group:
                while True:
                    ready.wait()
                    sock, _ = listener.accept()
                    sock.setblocking(False)
                    group.spawn(served, SocketStream(socket.socket(fileno=sock.detach())), answer)
        finally:
            ready.close()
            listener.close()

    return run


def test_a_question_and_its_answer():
    row = SERVERS.row("udp")
    with udp_end(once) as end:
        tree = {"type": "udp", "server": "127.0.0.1", "server_port": end.address.port}
        server = row.build(read(row.options, tree, (), []), wiring())
        check(server)
        check(server, "")
        assert server.mismatches == 0
        assert server.cacheable
        assert not server.knows("site.test")
        server.close()


def test_what_has_to_be_guessed():
    with udp_end(once) as end:
        server = server_for(end.address)
        for _ in range(300):
            check(server, "abcdefghijkl.test")
        server.close()
    assert len({query[:2] for query, _ in end.asked}) > 250, "ids"
    assert len({query[12:30] for query, _ in end.asked}) > 250, "the letters' case"
    ports = [source.port for _, source in end.asked]
    assert 12 <= len(set(ports)) <= 40, "sockets are replaced after some questions"
    assert len(set(ports[:8])) > 2, "and several are in use at a time"


def test_sockets_are_replaced_after_some_time(monkeypatch, held_clock):
    monkeypatch.setattr(udp, "_SOCKETS", 1)
    with udp_end(once) as end:
        server = server_for(end.address)
        check(server)
        check(server)
        held_clock.advance(6)
        check(server)
        server.close()
    first, second, third = [source.port for _, source in end.asked]
    assert first == second != third


def test_sockets_that_nobody_needs_are_closed(monkeypatch):
    monkeypatch.setattr(udp, "_SOCKET_FOR", 0.01)
    monkeypatch.setattr(udp, "_TICK", 0.01)
    with udp_end(once) as end:
        server = server_for(end.address)
        check(server)
        wait_until(lambda: server._timer is None, "it looks after them for ever")
        assert not server._lines()
        check(server)
        server.close()


def changed(query, at, value):
    answer = bytearray(reply(query, EVIL))
    answer[at] ^= value
    return bytes(answer)


@pytest.mark.parametrize(
    "wrong",
    [
        lambda q: changed(q, 1, 1),  # another id
        lambda q: changed(q, 2, 0x80),  # a query
        lambda q: changed(q, 5, 2),  # several questions
        lambda q: changed(q, 13, 1),  # another name
        lambda q: changed(q, 22, 1),  # another type
        lambda q: reply(q, EVIL)[:11],
        lambda q: b"",
        lambda q: b"x" * 2000,
    ],
)
def test_wrong_answers_are_passed_over(wrong):
    with udp_end(lambda query: [wrong(query), wrong(query), reply(query)]) as end:
        server = server_for(end.address)
        check(server)
        assert server.mismatches == 2
        server.close()


def test_answers_from_elsewhere_are_not_heard():
    elsewhere = UdpConn(bind_udp(LOOPBACK, 0))

    def answers(query):
        elsewhere.send_to(reply(query, EVIL), end.asked[-1][1])
        return [reply(query)]

    with udp_end(answers) as end:
        server = server_for(end.address)
        check(server)
        assert server.mismatches == 0
        server.close()
    elsewhere.close()


def test_many_guesses_lead_to_tcp(caplog):
    def flood(query):
        return [bytes([n, n]) + reply(query, EVIL)[2:] for n in range(200)]

    with udp_end(flood) as end, Group("tcp") as group:
        group.spawn(by_stream(end.address.port, lambda query: framed(reply(query))))
        server = server_for(end.address)
        for _ in range(3):
            check(server)
        assert 3 * 64 <= server.mismatches <= 3 * 70, "it listens no longer"
        assert [each.getMessage() for each in caplog.records if each.levelname == "WARNING"] == [
            "DNS server up: too many wrong answers from its address, as if somebody guessed; asking by TCP meanwhile"
        ]
        server.close()


@pytest.mark.parametrize(
    "answer",
    [
        lambda q: reply(q, truncated=True),
        lambda q: q[:2] + reply(q, EVIL)[2:].lower(),  # the case is not kept
        lambda q: q[:2] + b"\x81\x81" + bytes(8),  # it could not read that
    ],
)
def test_what_tcp_must_tell(answer):
    with udp_end(lambda query: [answer(query)]) as end, Group("tcp") as group:
        group.spawn(by_stream(end.address.port, lambda query: framed(reply(query))))
        server = server_for(end.address)
        check(server, "a-long-name-with-many-letters.test")
        server.close()


def test_truncation_without_tcp_is_a_failure():
    with udp_end(lambda query: [reply(query, truncated=True)]) as end:
        server = server_for(end.address)
        with pytest.raises(DialError, match="DNS server up: ") as caught:
            server.exchange(ask("site.test"))
        assert caught.value.reason == "dns"
        server.close()


def test_a_question_is_sent_again_by_another_socket(monkeypatch):
    monkeypatch.setattr(udp, "RESEND", (0.01, 0.02))
    monkeypatch.setattr(udp, "_TICK", 0.01)
    with udp_end(lambda query: [reply(query)] if len(end.asked) == 3 else []) as end:
        server = server_for(end.address)
        check(server)
        server.close()
    assert len(end.asked) == 3
    assert len({source.port for _, source in end.asked}) >= 2
    assert len({query[2:] for query, _ in end.asked}) == 1


def test_an_answer_to_the_first_of_two(monkeypatch):
    monkeypatch.setattr(udp, "RESEND", (0.01,))
    monkeypatch.setattr(udp, "_TICK", 0.01)

    def answers(query):
        if len(end.asked) < 2:
            return []
        (first, source), _ = end.asked
        end.conn.send_to(reply(first), source)
        return []

    with udp_end(answers) as end:
        server = server_for(end.address)
        check(server)
        server.close()


def test_a_silent_server_is_asked_three_times_and_leaves_nothing(monkeypatch):
    monkeypatch.setattr(udp, "RESEND", (0.01, 0.01))
    monkeypatch.setattr(udp, "_TICK", 0.01)
    with udp_end(lambda query: []) as end:
        server = server_for(end.address)
        with pytest.raises(DialError, match="late"), deadline(0.2, DialError("late", reason="timeout")):
            server.exchange(ask("site.test"))
        assert len(end.asked) == 3
        assert not server._queries
        assert not any(line.queries for line in server._lines())
        server.close()


def test_nobody_there():
    server = server_for(Address(LOOPBACK, free_port()))
    with deadline(1, TimeoutError()), pytest.raises(DialError, match="DNS server up: Connection refused"):
        server.exchange(ask("site.test"))
    server.close()


def test_no_way_there():
    via = SystemDialer(SocketOptions(bind_interface="none0"), connect_timeout=5, fallback_delay=0.3)
    server = server_for(Address(LOOPBACK, 53), via)
    with pytest.raises(DialError, match=r"DNS server up: no way to 127\.0\.0\.1:53: "):
        server.exchange(ask("site.test"))
    server.close()


def test_a_way_that_is_no_more(monkeypatch):
    monkeypatch.setattr(udp, "_SOCKETS", 1)

    class Cut:
        def __init__(self, sock):
            self.close, self.recv_into = sock.close, sock.recv_into

        def send(self, message):
            raise OSError(errno.ENETUNREACH, "Network is unreachable")

    with udp_end(once) as end:
        server = server_for(end.address)
        check(server)
        (line,) = server._lines()
        line._sock = Cut(line._sock)
        with pytest.raises(DialError, match="DNS server up: Network is unreachable") as caught:
            server.exchange(ask("site.test"))
        assert caught.value.reason == "dns"
        check(server)
        server.close()


@pytest.mark.parametrize("fragment", [True, False, None])
def test_dial_fields_shape_its_sockets(fragment):
    options = SocketOptions(inet4_bind_address=ip_address("127.0.0.5"), udp_fragment=fragment)
    with udp_end(once) as end:
        server = server_for(end.address, SystemDialer(options, connect_timeout=5, fallback_delay=0.3))
        check(server)
        (line,) = server._lines()
        discovers = line._sock.getsockopt(socket.IPPROTO_IP, sockopt.IP_MTU_DISCOVER)
        assert fragment is None or discovers == (sockopt.PMTUDISC_WANT if fragment else sockopt.PMTUDISC_DO)
        server.close()
    assert end.asked[0][1].host == ip_address("127.0.0.5")


def test_many_at_once():
    with udp_end(once) as end:
        server = server_for(end.address)
        with Group("asks") as group:
            for number in range(500):
                group.spawn(check, server, f"n{number}.test")
            assert group.join(10)
        assert not server._queries
        assert len(end.asked) == 500
        server.close()


def test_too_many_questions(monkeypatch):
    monkeypatch.setattr(udp, "MOST_WAITING", 2)
    with udp_end(lambda query: []) as end, Group("asks") as group:
        server = server_for(end.address)
        for _ in range(2):
            group.spawn(server.exchange, ask("site.test"))
        wait_until(lambda: len(end.asked) == 2, "not asked")
        with pytest.raises(DialError, match="too many questions are under way"):
            server.exchange(ask("site.test"))
        server.close()
        assert group.join(30), "closing ends what is asked"


def test_a_server_with_a_name(held_clock):
    asked = []

    def lookup(domain, session):
        asked.append((domain, session.target))
        return (LOOPBACK,)

    with udp_end(once) as end:
        address = Address("dns.test", end.address.port)
        server = server_for(address, lookup=lookup)
        for _ in range(50):
            check(server)
        assert asked == [("dns.test", address)]
        held_clock.advance(31)
        check(server)
        assert len(asked) == 2
        server.close()


def test_a_name_that_nobody_knows():
    def lookup(domain, session):
        raise DialError("no such name", reason="dns")

    server = server_for(Address("dns.test", 53), lookup=lookup)
    with pytest.raises(DialError, match="DNS server up: no such name"):
        server.exchange(ask("site.test"))
    server.close()


def test_through_a_proxy():
    with udp_end(once) as end:
        via = Proxied(lambda target: UdpConn(bind_udp(LOOPBACK, 0)))
        server = server_for(end.address, via)
        for _ in range(20):
            check(server)
        assert via.dialled
        assert len(via.dialled) <= 2, "a proxy's sockets are used again"
        server.close()
    assert not server._lines()


def test_a_proxy_passes_on_what_others_send():
    elsewhere = UdpConn(bind_udp(LOOPBACK, 0))

    def answers(query):
        elsewhere.send_to(reply(query, EVIL), end.asked[-1][1])
        return [reply(query)]

    with udp_end(answers) as end:
        server = server_for(end.address, Proxied(lambda target: UdpConn(bind_udp(LOOPBACK, 0))))
        check(server)
        assert server.mismatches == 1
        server.close()
    elsewhere.close()


def test_a_proxy_that_ends():
    conns = []

    def make(target):
        conns.append(UdpConn(bind_udp(LOOPBACK, 0)))
        return conns[-1]

    with udp_end(lambda query: conns[-1].close() or []) as end:
        server = server_for(end.address, Proxied(make))
        with pytest.raises(DialError, match="DNS server up"):
            server.exchange(ask("site.test"))
        end.answers = once
        check(server)
        server.close()


def test_one_dial_for_many(monkeypatch):
    monkeypatch.setattr(udp, "_PROXIED", 1)

    def make(target):
        sleep(0.02)
        return UdpConn(bind_udp(LOOPBACK, 0))

    with udp_end(once) as end:
        via = Proxied(make)
        server = server_for(end.address, via)
        with Group("asks") as group:
            for number in range(50):
                group.spawn(check, server, f"n{number}.test")
            assert group.join(10)
        assert len(via.dialled) == 1
        server.close()


def test_closing_while_it_dials(monkeypatch):
    made = []

    def make(target):
        server.close()
        made.append(UdpConn(bind_udp(LOOPBACK, 0)))
        return made[-1]

    server = server_for(Address(LOOPBACK, 53), Proxied(make))
    with pytest.raises(DialError):
        server.exchange(ask("site.test"))
    with pytest.raises(StreamClosed):
        made[0].bound()


def test_the_session_that_dials_is_nobodys_own():
    sessions = []

    class Via(Proxied):
        def dial_packet(self, target, session):
            sessions.append(session)
            return super().dial_packet(target, session)

    with udp_end(once) as end:
        server = server_for(end.address, Via(lambda target: UdpConn(bind_udp(LOOPBACK, 0))))
        check(server)
        server.close()
    assert sessions[0].target == end.address
    assert sessions[0].id == SESSION.id
    assert ADDRESS not in sessions[0].addresses
