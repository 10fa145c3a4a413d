from __future__ import annotations

import contextlib
import os
import socket as consts
from _socket import socket
from collections.abc import Iterable, Iterator
from dataclasses import replace
from ipaddress import IPv4Address
from pathlib import Path

import pytest

from gproxy.base.address import parse_ip
from gproxy.base.errors import ConfigError
from gproxy.net.bind import Endpoint
from gproxy.proc.notify import Notifier
from gproxy.proc.slots import Slots, name_of, share
from tests.support.ports import free_port, free_ports

pytestmark = pytest.mark.usefixtures("no_leaks")

LOOPBACK = IPv4Address("127.0.0.1")


@pytest.fixture
def slots() -> Iterator[Slots]:
    slots = Slots()
    yield slots
    slots.close()


def stream(port: int) -> Endpoint:
    return Endpoint("stream", LOOPBACK, port)


def test_all_are_opened_once(slots: Slots) -> None:
    one, other = (stream(port) for port in free_ports(2))
    assert slots.open([one, other, one]) == [one, other]
    assert slots.endpoints() == [one, other]
    assert [len(slots.of(endpoint)) for endpoint in (one, other)] == [1, 1]
    first = slots.of(one)[0]
    assert slots.open([one]) == []
    assert slots.of(one)[0] is first


def test_all_or_none(slots: Slots, tmp_path: Path) -> None:
    """Half a server never starts, and every trouble is told."""
    kept, good, taken = (stream(port) for port in free_ports(3))
    other = taken.open()
    slots.open([kept])
    away = Endpoint("packet", IPv4Address("192.0.2.1"), 9)
    path = tmp_path / "sock"
    with pytest.raises(ConfigError) as caught:
        slots.open([kept, good, taken, away, Endpoint("stream", str(path))])
    assert str(taken) in str(caught.value)
    assert str(away) in str(caught.value)
    assert len(str(caught.value).splitlines()) == 2
    assert slots.endpoints() == [kept]
    assert not path.exists()
    good.open().close()
    other.close()


def test_somebody_elses_unix_socket_survives_our_failure(slots: Slots, tmp_path: Path) -> None:
    endpoint = Endpoint("stream", str(tmp_path / "sock"))
    other = endpoint.open()
    with pytest.raises(ConfigError):
        slots.open([endpoint])
    assert (tmp_path / "sock").exists()
    other.close()


def test_many_slots_share_an_address(slots: Slots, tmp_path: Path) -> None:
    endpoints = [stream(free_port()), Endpoint("packet", LOOPBACK, free_port())]
    slots.open(endpoints, count=3, shared=True)
    for endpoint in endpoints:
        assert [sock.getsockname()[1] for sock in slots.of(endpoint)] == [endpoint.port] * 3
    unix = Endpoint("stream", str(tmp_path / "sock"))
    slots.open([unix], count=3, shared=True)
    assert len(slots.of(unix)) == 1


def test_a_close_takes_the_files_along(tmp_path: Path) -> None:
    slots, path = Slots(), tmp_path / "sock"
    one = stream(free_port())
    slots.open([Endpoint("stream", str(path)), Endpoint("stream", f"\0gproxy-slots-{os.getpid()}"), one])
    assert path.exists()
    slots.remove([one])
    assert len(slots.endpoints()) == 2
    slots.close()
    slots.close()
    assert not path.exists()
    assert slots.endpoints() == []


def test_what_the_service_manager_has_opened_is_used(slots: Slots) -> None:
    wanted, unwanted = stream(free_port()), stream(free_port())
    theirs, other = wanted.open(), unwanted.open()
    slots.inherit([("web", theirs.detach()), ("other", other.detach())])
    slots.open([wanted])
    (sock,) = slots.of(wanted)
    assert sock.getsockname() == ("127.0.0.1", wanted.port)
    with pytest.raises(ConfigError):
        wanted_again = Slots()
        wanted_again.open([wanted])
    slots._drop_spare()
    unwanted.open().close()


def test_our_own_from_an_earlier_life_come_back_in_their_order(slots: Slots) -> None:
    endpoint = stream(free_port())
    mine = [endpoint.open(shared=True) for _ in range(3)]
    inodes = [os.fstat(sock.fileno()).st_ino for sock in mine]
    names = [f"{name_of(endpoint)}.{number}" for number in range(3)]
    slots.inherit([(names[number], mine[number].detach()) for number in (2, 0, 1)])
    slots.open([endpoint], count=3, shared=True)
    assert [os.fstat(sock.fileno()).st_ino for sock in slots.of(endpoint)] == inodes


def test_our_own_come_back_with_other_options(slots: Slots, tmp_path: Path) -> None:
    """Or of other code, with other names for them. All of them, or who waits in the others' queues would be lost."""
    before = stream(free_port())
    endpoint = replace(before, tcp_fast_open=True)
    mine = [before.open(shared=True) for _ in range(3)]
    inodes = [os.fstat(sock.fileno()).st_ino for sock in mine]
    names = [f"{name_of(before)}.{number}" for number in (0, 9, 10)]
    dead = before.open(shared=True)
    dead.shutdown(consts.SHUT_RDWR)
    slots.inherit([(f"{name_of(endpoint)}.3", dead.detach())])
    slots.inherit([(names[number], mine[number].detach()) for number in (2, 0, 1)])
    slots.open([endpoint], count=3, shared=True)
    assert [os.fstat(sock.fileno()).st_ino for sock in slots.of(endpoint)] == inodes
    assert all(sock.getsockopt(consts.IPPROTO_TCP, consts.TCP_FASTOPEN) for sock in slots.of(endpoint))
    with consts.socket(consts.AF_UNIX, consts.SOCK_DGRAM) as manager:
        manager.bind(str(tmp_path / "notify"))
        manager.settimeout(30)
        slots.store(Notifier({"NOTIFY_SOCKET": manager.getsockname()}))
        told = [manager.recv(4096).decode() for _ in range(7)]
    gone = [f"{name_of(endpoint)}.3", *names]
    assert told[:4] == [f"FDSTOREREMOVE=1\nFDNAME={name}" for name in gone]
    assert slots.stored == {f"{name_of(endpoint)}.{number}" for number in range(3)}
    assert all(any(name in each for each in told[4:]) for name in slots.stored)


def test_our_own_with_what_can_not_be_changed_make_room_for_others(slots: Slots) -> None:
    before = stream(free_port())
    slots.inherit([(f"{name_of(before)}.0", before.open(shared=True).detach())])
    after = replace(before, bind_interface="lo")
    slots.open([after], shared=True)
    (sock,) = slots.of(after)
    assert after.is_settled(sock)
    client = client_of(after)
    assert queued([sock]) == 1
    client.close()
    slots._drop_spare()


def client_of(endpoint: Endpoint) -> socket:
    client = socket(consts.AF_INET, consts.SOCK_STREAM)
    client.connect(("127.0.0.1", endpoint.port))
    return client


def queued(socks: Iterable[socket]) -> int:
    """How many clients wait to be accepted. They are let go."""
    count = 0
    for sock in socks:
        with contextlib.suppress(BlockingIOError):
            while True:
                os.close(sock._accept()[0])  # type: ignore[attr-defined]
                count += 1
    return count


def test_other_options_lose_nobody_in_the_queues(slots: Slots) -> None:
    before = stream(free_port())
    after = replace(before, tcp_fast_open=True)
    slots.open([before], 3, shared=True)
    clients = [client_of(before) for _ in range(12)]
    assert slots.open([after], 3, shared=True) == [after]
    assert slots.heir(before, [stream(1), after]) == 1
    clients += [client_of(after) for _ in range(12)]
    slots.remove([before])
    assert slots.endpoints() == [after]
    assert slots.heir(before, [after]) is None
    assert all(sock.getsockopt(consts.IPPROTO_TCP, consts.TCP_FASTOPEN) for sock in slots.of(after))
    assert queued(slots.of(after)) == len(clients)
    for client in clients:
        client.close()


def test_options_that_were_refused_are_taken_back(slots: Slots) -> None:
    before, taken = stream(free_port()), stream(free_port())
    other = taken.open()
    slots.open([before], 2, shared=True)
    client = client_of(before)
    with pytest.raises(ConfigError):
        slots.open([replace(before, tcp_fast_open=True), taken], 2, shared=True)
    assert slots.endpoints() == [before]
    assert not any(sock.getsockopt(consts.IPPROTO_TCP, consts.TCP_FASTOPEN) for sock in slots.of(before))
    assert queued(slots.of(before)) == 1
    client.close()
    other.close()


def test_two_that_are_wanted_have_sockets_of_their_own(slots: Slots) -> None:
    one = stream(free_port())
    other = replace(one, tcp_fast_open=True)
    slots.open([one, other], 2, shared=True)
    assert not set(slots.of(one)) & set(slots.of(other))


def test_a_unix_socket_may_change_its_options(slots: Slots, tmp_path: Path) -> None:
    before = Endpoint("stream", str(tmp_path / "sock"))
    slots.open([before], 2, shared=True)
    (sock,) = slots.of(before)
    after = replace(before, routing_mark=1)
    slots.open([after], 2, shared=True)
    slots.remove([before])
    assert slots.of(after) == [sock]
    assert (tmp_path / "sock").exists()
    slots.remove([after])
    assert not (tmp_path / "sock").exists()


def test_the_service_manager_drops_what_nobody_serves_any_more(slots: Slots, tmp_path: Path) -> None:
    wanted, unwanted = stream(free_port()), stream(free_port())
    earlier = [(f"{name_of(each)}.0", each.open().detach()) for each in (wanted, unwanted)]
    with consts.socket(consts.AF_UNIX, consts.SOCK_DGRAM) as manager:
        manager.bind(str(tmp_path / "notify"))
        manager.settimeout(30)
        slots.inherit(earlier)
        slots.open([wanted])
        slots.store(Notifier({"NOTIFY_SOCKET": manager.getsockname()}))
        assert manager.recv(4096).decode() == f"FDSTOREREMOVE=1\nFDNAME={name_of(unwanted)}.0"
        assert f"FDNAME={name_of(wanted)}.0" in manager.recv(4096).decode()
    unwanted.open().close()


def test_what_was_stored_before_an_upgrade_is_dropped_when_it_goes(slots: Slots, tmp_path: Path) -> None:
    endpoint = stream(free_port())
    with consts.socket(consts.AF_UNIX, consts.SOCK_DGRAM) as manager:
        manager.bind(str(tmp_path / "notify"))
        manager.settimeout(30)
        notifier = Notifier({"NOTIFY_SOCKET": manager.getsockname()})
        slots.open([endpoint])
        slots.store(notifier)
        manager.recv(4096)
        later = Slots()
        later.stored = set(slots.stored)
        later.store(notifier)
        assert manager.recv(4096).decode() == f"FDSTOREREMOVE=1\nFDNAME={name_of(endpoint)}.0"


@pytest.mark.parametrize("host", ["127.0.0.1", "0.0.0.0", "::1", "::"])
def test_a_copy_of_what_is_gone_takes_no_datagrams(host: str, slots: Slots) -> None:
    """Draining processes have copies. Nobody reads those any more, so that the kernel must not choose them."""
    port = free_port()
    before = Endpoint("packet", parse_ip(host), port)
    slots.open([before], 2, shared=True)
    copies = [consts.socket(fileno=os.dup(sock.fileno())) for sock in slots.of(before)]
    slots.remove([before])
    after = replace(before, reuse_addr=True)
    slots.open([after], 2, shared=True)
    family = consts.AF_INET6 if ":" in host else consts.AF_INET
    to = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(host, host)
    clients = [socket(family, consts.SOCK_DGRAM) for _ in range(32)]
    for client in clients:
        client.sendto(b"x", (to, port))
    assert sum(waiting(sock) for sock in slots.of(after)) == len(clients)
    copies[0].sendto(b"an answer", (to, clients[0].getsockname()[1]))
    assert clients[0].recv(16) == b"an answer"
    for sock in (*copies, *clients):
        sock.close()


def waiting(sock: socket) -> int:
    """How many datagrams have come: on loopback they are there when the call that sent them returns."""
    count = 0
    with contextlib.suppress(BlockingIOError):
        while sock.recv(16):
            count += 1
    return count


def test_a_port_that_the_system_chooses_is_one_for_all(slots: Slots) -> None:
    endpoint = stream(0)
    slots.open([endpoint], count=3, shared=True)
    ports = {sock.getsockname()[1] for sock in slots.of(endpoint)}
    assert len(ports) == 1
    assert 0 not in ports


def test_names_tell_endpoints_apart() -> None:
    one = stream(80)
    names = {name_of(each) for each in (one, stream(81), Endpoint("packet", LOOPBACK, 80), Endpoint("stream", "\0x"))}
    assert len(names) == 4
    assert name_of(one) == name_of(stream(80))
    assert all(name.isascii() and ":" not in name and len(name) < 255 for name in names)


@pytest.mark.parametrize("is_stream", [True, False])
@pytest.mark.parametrize("slots", [1, 2, 3, 8])
@pytest.mark.parametrize("workers", [1, 2, 3, 8])
def test_every_slot_has_a_reader(slots: int, workers: int, is_stream: bool) -> None:
    shares = [share(slots, worker, workers, stream=is_stream) for worker in range(workers)]
    read = [slot for each in shares for slot in each]
    assert set(read) == set(range(slots))
    if is_stream:
        assert all(shares)  # nobody is without work
    else:
        assert len(read) == slots  # a datagram socket has one reader


def test_sockets_may_be_adopted(slots: Slots) -> None:
    endpoint = stream(free_port())
    sock = endpoint.open()
    slots.adopt(endpoint, [sock])
    assert slots.open([endpoint]) == []
    assert list(slots.of(endpoint)) == [sock]
    probe = socket(consts.AF_INET, consts.SOCK_STREAM)
    assert probe.connect_ex(("127.0.0.1", endpoint.port)) == 0
    probe.close()
