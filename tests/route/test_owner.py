from __future__ import annotations

import os
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from gproxy.base.address import Address, parse_ip
from gproxy.base.session import Network, Owner, Session
from gproxy.route import owner as module
from gproxy.route.owner import Owners, owner_of_peer, unit_of
from tests.support.clock import HeldClock

HOSTS = ["127.0.0.1", "::1"]


def new_session(network: Network, source: tuple, local: tuple) -> Session:
    return Session(
        1, network, "in", Address(parse_ip(source[0]), source[1]), Address("x.test", 1),
        local=Address(parse_ip(local[0]), local[1]),
    )  # fmt: skip


@pytest.fixture
def owners() -> Iterator[Owners]:
    found = Owners()
    yield found
    found.close()


@contextmanager
def connection(host: str, listen: str = "") -> Iterator[Session]:
    """A connection of this process to itself, as a session of its server."""
    family = socket.AF_INET6 if ":" in (listen or host) else socket.AF_INET
    with (
        socket.create_server((listen or host, 0), family=family, dualstack_ipv6=listen == "::") as server,
        socket.create_connection((host, server.getsockname()[1])) as _,
    ):
        ours, name = server.accept()
        with ours:
            yield new_session("tcp", name, ours.getsockname())


def is_this_process(owner: Owner | None) -> bool:
    assert owner is not None
    return (owner.path, owner.user_id) == (os.readlink("/proc/self/exe"), os.getuid())


@pytest.mark.parametrize("host", HOSTS)
def test_a_connection_of_this_machine(owners: Owners, host: str) -> None:
    with connection(host) as session:
        assert is_this_process(owners.find(session))


def test_a_client_of_ipv4_where_both_families_are_heard(owners: Owners) -> None:
    with connection("127.0.0.1", listen="::") as session:
        assert is_this_process(owners.find(session))


@pytest.mark.parametrize("host", HOSTS)
@pytest.mark.parametrize("connected", [True, False])
@pytest.mark.parametrize("anywhere", [True, False])
def test_datagrams_of_this_machine(owners: Owners, host: str, connected: bool, anywhere: bool) -> None:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.socket(family, socket.SOCK_DGRAM) as server, socket.socket(family, socket.SOCK_DGRAM) as client:
        server.bind((host, 0))
        if connected:
            client.connect(server.getsockname())
            client.send(b"x")
        else:
            client.sendto(b"x", server.getsockname())
        name = server.recvfrom(1)[1]
        local = (("::" if ":" in host else "0.0.0.0") if anywhere else host, server.getsockname()[1])
        assert is_this_process(owners.find(new_session("udp", name, local)))


def test_a_socket_of_ipv6_that_sends_from_ipv4(owners: Owners) -> None:
    with (
        socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as server,
        socket.socket(socket.AF_INET6, socket.SOCK_DGRAM) as client,
    ):
        server.bind(("127.0.0.1", 0))
        client.sendto(b"x", ("::ffff:127.0.0.1", server.getsockname()[1]))
        assert is_this_process(owners.find(new_session("udp", server.recvfrom(1)[1], server.getsockname())))


def test_a_client_elsewhere_has_no_process_here(owners: Owners) -> None:
    """Even if a socket of ours has its port, at any address."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        sock.bind(("0.0.0.0", 0))
        session = new_session("udp", ("203.0.113.9", sock.getsockname()[1]), ("127.0.0.1", 1080))
        assert owners.find(session) is None
    assert owners.find(new_session("tcp", ("203.0.113.9", 1), ("127.0.0.1", 1080))) is None


def test_a_socket_that_is_gone(owners: Owners) -> None:
    assert owners.find(new_session("tcp", ("127.0.0.1", 1), ("127.0.0.1", 2))) is None


def test_a_client_without_an_address(owners: Owners) -> None:
    session = Session(1, "tcp", "in", Address("", 0), Address("x.test", 1))
    assert owners.find(session) is None


CLIENT = """
import os, socket, sys
if sys.argv[2] != "-1":
    os.setgroups([]); os.setgid(65534); os.setuid(int(sys.argv[2]))
sock = socket.socket()
sock.connect(("127.0.0.1", int(sys.argv[1])))
sys.stdin.read()
"""


@contextmanager
def another_process(user_id: int = -1) -> Iterator[tuple[Session, subprocess.Popen]]:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = str(server.getsockname()[1])
        child = subprocess.Popen([sys.executable, "-c", CLIENT, port, str(user_id)], stdin=subprocess.PIPE)
        try:
            server.settimeout(20)
            ours, name = server.accept()
            with ours:
                yield new_session("tcp", name, ours.getsockname()), child
        finally:
            assert child.stdin is not None
            child.stdin.close()
            child.wait()


def test_another_process_is_found_and_remembered(owners: Owners, monkeypatch: pytest.MonkeyPatch) -> None:
    with another_process() as (session, child):
        found = owners.find(session)
        assert found is not None
        assert found.path == os.readlink(f"/proc/{child.pid}/exe")
        monkeypatch.setattr(module, "offload", lambda *_: pytest.fail("searched again"))
        assert owners.find(session) == found


def test_the_other_end_of_a_unix_socket() -> None:
    near, far = socket.socketpair()
    with near, far:
        assert is_this_process(owner_of_peer(near.fileno()))


def test_what_is_no_unix_socket_has_no_such_end() -> None:
    with socket.socket() as sock:
        assert owner_of_peer(sock.fileno()) is None
    reading, writing = os.pipe()
    assert owner_of_peer(reading) is None
    os.close(reading)
    os.close(writing)


def test_a_process_without_a_number_here() -> None:
    assert module._described(0, 4_000_000_000) == Owner(user_id=4_000_000_000)


def test_what_is_remembered_becomes_old(owners: Owners, held_clock: HeldClock) -> None:
    with connection("127.0.0.1") as session:
        owners.find(session)
        searches = []
        owners._search = lambda inode, user: searches.append(user) or Owner(user_id=user)  # type: ignore[method-assign]
        held_clock.advance(59)
        owners.find(session)
        assert searches == []
        held_clock.advance(2)
        owners.find(session)
        assert searches == [os.getuid()]


@pytest.mark.skipif(os.getuid() != 0, reason="only root becomes somebody else")
def test_a_process_of_another_user(owners: Owners) -> None:
    with another_process(user_id=65534) as (session, _):
        found = owners.find(session)
        assert found is not None
        assert (found.user_id, found.user) == (65534, "nobody")
        assert "nogroup" in found.groups or "nobody" in found.groups


def test_without_the_right_to_look_the_user_is_known_all_the_same(tmp_path: Path) -> None:
    owners = Owners(proc=str(tmp_path / "nothing"))
    with connection("127.0.0.1") as session:
        found = owners.find(session)
        assert found is not None
        assert (found.path, found.user_id) == ("", os.getuid())
    owners.close()


def test_a_user_that_the_system_does_not_know(tmp_path: Path) -> None:
    owners = Owners(proc=str(tmp_path))
    assert owners._search(1, 4_000_000_000) == Owner(user_id=4_000_000_000)


def process(proc: Path, pid: int, *links: str, unit: str = "") -> None:
    (proc / str(pid) / "fd").mkdir(parents=True)
    for number, link in enumerate(links):
        (proc / str(pid) / "fd" / str(number)).symlink_to(link)
    (proc / str(pid) / "exe").symlink_to(f"/usr/bin/p{pid} (deleted)")
    if unit:
        (proc / str(pid) / "cgroup").write_text(f"0::/system.slice/{unit}\n")


def test_a_search_in_what_proc_says(tmp_path: Path) -> None:
    process(tmp_path, 10, "/dev/null", "socket:[99]")
    process(tmp_path, 11, "socket:[100]", unit="web.service")
    (tmp_path / "self").mkdir()
    owners = Owners(proc=str(tmp_path))
    found = owners._search(100, os.getuid())
    assert (found.path, found.unit) == ("/usr/bin/p11", "web.service")
    assert owners._search(10, os.getuid()).path == ""
    assert list(owners._recent) == [11]


def test_a_search_has_an_end(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_MOST_FILES", 3)
    for pid in range(10, 20):
        process(tmp_path, pid, "/dev/null", "/dev/null")
    looked = []
    monkeypatch.setattr(module.os, "readlink", lambda path: looked.append(path) or "/dev/null")
    assert Owners(proc=str(tmp_path))._holder("socket:[1]", os.getuid()) == 0
    assert len(looked) == 4


def test_no_more_is_remembered_than_it_may(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_REMEMBERED", 2)
    owners = Owners()
    for inode in range(5):
        owners._remember(inode, Owner())
    assert list(owners._known) == [3, 4]


@pytest.mark.parametrize(
    ("text", "unit"),
    [
        ("0::/system.slice/nginx.service\n", "nginx.service"),
        ("0::/user.slice/user-1000.slice/user@1000.service/app.slice/browser.scope\n", "browser.scope"),
        ("12:cpu:/x\n1:name=systemd:/system.slice/a.service/deeper\n0::/\n", "a.service"),
        ("0::/\n", ""),
        ("5:memory:/system.slice/a.service\n", ""),
        ("", ""),
        ("\x00::::", ""),
    ],
)
def test_the_unit_of_a_control_group(text: str, unit: str) -> None:
    assert unit_of(text) == unit
