"""What is said to a service manager, heard on a socket in its place; what it hands over, in a process of our own."""

from __future__ import annotations

import contextlib
import json
import os
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from gproxy.base import clock
from gproxy.proc.notify import Notifier, inherited


@pytest.fixture
def manager(tmp_path: Path) -> Iterator[socket.socket]:
    """The receiving end of NOTIFY_SOCKET."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sock:
        sock.bind(str(tmp_path / "notify"))
        sock.settimeout(30)
        yield sock


@pytest.fixture
def notifier(manager: socket.socket) -> Notifier:
    return Notifier({"NOTIFY_SOCKET": manager.getsockname()})


def said(manager: socket.socket) -> list[str]:
    return manager.recv(4096).decode().split("\n")


def test_ready_carries_a_status(notifier: Notifier, manager: socket.socket) -> None:
    notifier.ready("2 listeners")
    assert said(manager) == ["READY=1", "STATUS=2 listeners"]


def test_ready_without_a_status_keeps_the_old_one(notifier: Notifier, manager: socket.socket) -> None:
    notifier.ready()
    assert said(manager) == ["READY=1"]


def test_reloading_says_when_it_began(notifier: Notifier, manager: socket.socket) -> None:
    clock.now.hold(lambda: 12.5)
    try:
        notifier.reloading("reading")
    finally:
        clock.now.release()
    assert said(manager) == ["RELOADING=1", "MONOTONIC_USEC=12500000", "STATUS=reading"]


def test_stopping_asks_for_the_time_of_the_grace(notifier: Notifier, manager: socket.socket) -> None:
    notifier.stopping(60.0)
    assert said(manager) == ["STOPPING=1", "EXTEND_TIMEOUT_USEC=70000000"]


def test_status_is_one_line_whatever_it_holds(notifier: Notifier, manager: socket.socket) -> None:
    notifier.status("refused:\nMAINPID=1\n")
    assert said(manager) == ["STATUS=refused: MAINPID=1"]


def test_watchdog(notifier: Notifier, manager: socket.socket) -> None:
    notifier.watchdog()
    assert said(manager) == ["WATCHDOG=1"]


def test_an_abstract_socket() -> None:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
        manager.bind("")  # the kernel chooses an abstract name
        manager.settimeout(30)
        Notifier({"NOTIFY_SOCKET": "@" + manager.getsockname()[1:].decode()}).watchdog()
        assert said(manager) == ["WATCHDOG=1"]


def test_without_a_manager_nothing_happens() -> None:
    notifier = Notifier({})
    assert not notifier.managed
    notifier.ready("all is well")
    notifier.store("listener", [0])


def test_a_socket_of_a_family_that_is_not_ours_is_no_manager() -> None:
    assert not Notifier({"NOTIFY_SOCKET": "vsock:2:1234"}).managed


def test_a_manager_that_went_away_is_no_error(notifier: Notifier, manager: socket.socket) -> None:
    Path(manager.getsockname()).unlink()
    notifier.stopping()
    notifier.store("listener", [0])


@pytest.mark.parametrize(
    ("variables", "interval"),
    [
        ({"WATCHDOG_USEC": "30000000", "WATCHDOG_PID": str(os.getpid())}, 10.0),
        ({"WATCHDOG_USEC": "3000000"}, 1.0),
        ({"WATCHDOG_USEC": "30000000", "WATCHDOG_PID": "1"}, None),
        ({"WATCHDOG_USEC": "0"}, None),
        ({"WATCHDOG_USEC": "soon"}, None),
        ({}, None),
    ],
)
def test_watchdog_interval(variables: dict[str, str], interval: float | None) -> None:
    assert Notifier(variables).watchdog_interval() == interval


@contextlib.contextmanager
def received(manager: socket.socket) -> Iterator[tuple[list[str], list[int]]]:
    data, fds, _, _ = socket.recv_fds(manager, 4096, 253)
    try:
        yield data.decode().split("\n"), fds
    finally:
        for fd in fds:
            os.close(fd)


def test_store_sends_copies(notifier: Notifier, manager: socket.socket) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        notifier.store("mixed-in.0", [listener.fileno()])
        with received(manager) as (lines, fds):
            assert lines == ["FDSTORE=1", "FDNAME=mixed-in.0", "FDPOLL=0"]
            assert [os.fstat(fd).st_ino for fd in fds] == [os.fstat(listener.fileno()).st_ino]


def test_store_of_more_than_one_message_holds(notifier: Notifier, manager: socket.socket) -> None:
    with Path(os.devnull).open() as null:
        notifier.store("many", [null.fileno()] * 300)
        counts = []
        for _ in range(2):
            with received(manager) as (lines, fds):
                assert "FDNAME=many" in lines
                counts.append(len(fds))
    assert counts == [253, 47]


def test_store_of_nothing_says_nothing(notifier: Notifier, manager: socket.socket) -> None:
    notifier.store("none", [])
    notifier.watchdog()
    assert said(manager) == ["WATCHDOG=1"]


def test_remove(notifier: Notifier, manager: socket.socket) -> None:
    notifier.remove("mixed-in.0")
    assert said(manager) == ["FDSTOREREMOVE=1", "FDNAME=mixed-in.0"]


@pytest.mark.parametrize("name", ["", "a:b", "a\nb", "é", "x" * 256])
def test_names_that_systemd_refuses(notifier: Notifier, name: str) -> None:
    with pytest.raises(ValueError, match="not a name"):
        notifier.store(name, [0])
    with pytest.raises(ValueError, match="not a name"):
        notifier.remove(name)


_CHILD = """
import fcntl, json, os, sys
from gproxy.proc.notify import inherited
pid, count, names = sys.argv[1:]
os.environ.update(LISTEN_PID=pid if pid else str(os.getpid()), LISTEN_FDS=count)
if names:
    os.environ["LISTEN_FDNAMES"] = names
first = inherited()
print(json.dumps({
    "first": [[name, os.fstat(fd).st_ino, fcntl.fcntl(fd, fcntl.F_GETFD)] for name, fd in first],
    "second": inherited(),
    "left": [key for key in os.environ if key.startswith("LISTEN_")],
}))
"""


def _inherit(fds: list[int], pid: str, count: str, names: str) -> dict[str, list[list[object]]]:
    """What a process sees that has these descriptors from 3 on."""
    actions = [(os.POSIX_SPAWN_DUP2, fd, 100 + index) for index, fd in enumerate(fds)]
    actions += [(os.POSIX_SPAWN_DUP2, 100 + index, 3 + index) for index in range(len(fds))]
    reader, writer = os.pipe()
    actions.append((os.POSIX_SPAWN_DUP2, writer, 1))
    arguments = [sys.executable, "-c", _CHILD, pid, count, names]
    child = os.posix_spawn(
        sys.executable, arguments, {**os.environ, "PYTHONPATH": str(Path.cwd())}, file_actions=actions
    )
    os.close(writer)
    with open(reader) as output:
        told = output.read()
    assert os.waitpid(child, 0)[1] == 0
    result: dict[str, list[list[object]]] = json.loads(told)
    return result


@pytest.fixture
def two() -> Iterator[list[int]]:
    with socket.create_server(("127.0.0.1", 0)) as tcp, socket.socket(type=socket.SOCK_DGRAM) as udp:
        yield [tcp.fileno(), udp.fileno()]


def test_inherited_once_with_names_and_closed_on_exec(two: list[int]) -> None:
    seen = _inherit(two, "", "2", "web:dns")
    inodes = [os.fstat(fd).st_ino for fd in two]
    assert seen["first"] == [["web", inodes[0], 1], ["dns", inodes[1], 1]]
    assert seen["second"] == []
    assert seen["left"] == []


def test_inherited_without_names(two: list[int]) -> None:
    assert [each[0] for each in _inherit(two, "", "2", "")["first"]] == ["unknown", "unknown"]


def test_inherited_ends_where_nothing_is_open(two: list[int]) -> None:
    names = [each[0] for each in _inherit(two, "", "1000000000", "a:b:c")["first"]]
    assert names[:2] == ["a", "b"]
    assert len(names) < 100


@pytest.mark.parametrize("count", ["", "-1", "two", "²"])
def test_inherited_of_a_count_that_is_none(two: list[int], count: str) -> None:
    assert _inherit(two, "", count, "")["first"] == []


def test_what_is_meant_for_another_process_is_left_alone() -> None:
    environ = {"LISTEN_PID": "1", "LISTEN_FDS": "1"}
    assert inherited(environ) == []
    assert environ == {}


def test_the_master_can_import_it() -> None:
    """It reaches nothing but the standard library."""
    code = "import sys, gproxy.proc.notify; assert not {'gevent', 'greenlet', 'msgspec'} & set(sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True, timeout=30)
