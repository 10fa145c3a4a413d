"""Deaths: of a worker, of the template, of control, of the master; hangs; and the end that was asked for."""

from __future__ import annotations

import signal
import socket
import time

import pytest

from tests.e2e.clients import connect, everything, exactly, tunnel
from tests.e2e.load import Load
from tests.e2e.proxy import inbound
from tests.e2e.supervised import Supervised, alive, children, family, kill
from tests.support.origin import Server
from tests.support.ports import LOOPBACK, free_port, listening
from tests.support.procs import Processes
from tests.support.wait import wait_until


@pytest.fixture
def gproxy(processes: Processes) -> Supervised:
    return Supervised.start(processes, inbound("mixed", free_port()))


def port_of(gproxy: Supervised) -> int:
    port: int = gproxy.config["inbounds"][0]["listen_port"]
    return port


def answers(sock: socket.socket) -> bool:
    try:
        sock.sendall(b"ping")
        return exactly(sock, 4) == b"ping"
    except OSError:
        return False


def replaced(gproxy: Supervised, worker: str, pid: int) -> bool:
    serving = gproxy.serving()
    return serving is not None and serving["workers"].get(worker) not in {pid, None}


def test_a_killed_worker_takes_only_its_own_along(gproxy: Supervised, echo: Server, site: Server) -> None:
    port, victim = port_of(gproxy), gproxy.workers()["0"]
    sessions = [tunnel(port, (echo.host, echo.port)) for _ in range(40)]
    with Load() as load:
        for _ in range(2):
            # A client that the dead worker was serving starts anew; what matters is that it always can.
            load.add("arrivals", lambda: arrivals(load, port))
        wait_until(lambda: all(map(answers, sessions)), "sessions do not begin")
        began = time.monotonic()
        kill(victim)
        wait_until(lambda: replaced(gproxy, "0", victim), "not replaced", 10)
        took = time.monotonic() - began
        survivors = [sock for sock in sessions if answers(sock)]
        # Both workers had some of forty, and the other one has all of its own still.
        assert 0 < len(survivors) < 40
        after = [tunnel(port, (echo.host, echo.port)) for _ in range(20)]
        assert all(map(answers, after))
        assert all(map(answers, survivors))
    assert load.failures == []
    print(f"replaced in {took:.2f} s, {len(survivors)} of 40 sessions went on, {load.done} arrivals")
    assert took < 2.0  # a second, on a machine that does nothing else
    gproxy.wait_error(f"worker 0 ({victim}) of generation 1 was killed by SIGKILL")
    for sock in (*sessions, *after):
        sock.close()
    gproxy.stop()


def arrivals(load: Load, port: int) -> int:
    """Clients that connect and are never refused, though the worker that took them may die."""
    count = 0
    while not load.over.is_set():
        connect(port).close()
        count += 1
        load.over.wait(0.002)
    return count


def test_a_crash_loop_backs_off(gproxy: Supervised) -> None:
    gaps = []
    for _ in range(4):
        victim = gproxy.workers()["1"]
        began = time.monotonic()
        kill(victim)
        wait_until(lambda victim=victim: replaced(gproxy, "1", victim), "not replaced", 15)
        gaps.append(time.monotonic() - began)
    print("replaced after", [round(gap, 2) for gap in gaps])
    assert gaps[0] < 1.0 or gaps[0] < gaps[3]
    assert gaps[3] >= 1.9  # 0, ½, 1, 2
    gproxy.stop()


def test_a_worker_that_hangs_tells_where(gproxy: Supervised, echo: Server) -> None:
    """Stopped, it can't; so it may go on just after it was told to."""
    victim, other = gproxy.workers()["0"], gproxy.workers()["1"]
    kill(victim, signal.SIGSTOP)
    gproxy.process.wait_log(f"worker 0 ({victim}) hangs for 1", 30)
    kill(victim, signal.SIGCONT)
    wait_until(lambda: replaced(gproxy, "0", victim), "not replaced", 10)
    gproxy.process.wait_log("Fatal Python error: Aborted")
    gproxy.process.wait_log("most recent call first")
    assert gproxy.workers()["1"] == other
    gproxy.wait_error("was killed by SIGABRT")
    with tunnel(port_of(gproxy), (echo.host, echo.port)) as sock:
        assert answers(sock)
    gproxy.send(signal.SIGTERM)
    assert gproxy.process.wait() == 0


def test_a_worker_that_hangs_for_good_is_killed(gproxy: Supervised, echo: Server) -> None:
    port, victim = port_of(gproxy), gproxy.workers()["0"]
    kill(victim, signal.SIGSTOP)
    waiting = [connect(port) for _ in range(20)]  # some of them are in its queue
    wait_until(lambda: replaced(gproxy, "0", victim), "not replaced", 30)
    assert not alive(victim)
    for sock in waiting:  # all are served, sooner or later
        sock.sendall(b"\x05\x01\x00")
        assert exactly(sock, 2) == b"\x05\x00"
        sock.close()
    gproxy.stop()


def test_a_killed_template(gproxy: Supervised, echo: Server) -> None:
    """A new generation begins; clients of the moment between them wait."""
    port, template = port_of(gproxy), children(gproxy.process.pid)[0]
    old = gproxy.workers()
    with Load() as load:
        load.add("arrivals", lambda: arrivals(load, port))
        kill(template)
        gproxy.wait_generation(2)
    assert load.failures == []
    with tunnel(port, (echo.host, echo.port)) as sock:
        assert answers(sock)
    wait_until(lambda: not any(map(alive, old.values())), "orphans are left", 10)
    gproxy.stop()


def test_a_killed_template_and_a_broken_file(gproxy: Supervised, echo: Server) -> None:
    """Nothing serves, and nobody gives up."""
    good = gproxy.path.read_text()
    gproxy.path.write_text("{")
    kill(children(gproxy.process.pid)[0])
    gproxy.process.wait_log("generation 3 was refused", 20)
    with connect(port_of(gproxy)):  # it waits in the queue
        gproxy.path.write_text(good)
        gproxy.wait_generation(4, 30)
    with tunnel(port_of(gproxy), (echo.host, echo.port)) as sock:
        assert answers(sock)
    gproxy.stop()


def test_a_killed_template_while_another_comes_up(gproxy: Supervised, echo: Server) -> None:
    gproxy.send(signal.SIGHUP)
    wait_until(lambda: len(children(gproxy.process.pid)) == 2, "no reload begins")
    kill(children(gproxy.process.pid)[-1])
    gproxy.process.wait_log("generation 2 was refused")
    gproxy.next_generation()
    with tunnel(port_of(gproxy), (echo.host, echo.port)) as sock:
        assert answers(sock)
    gproxy.stop()


def test_a_killed_control_process_forgets_nothing(gproxy: Supervised, echo: Server) -> None:
    with tunnel(port_of(gproxy), (echo.host, echo.port)) as sock:
        assert answers(sock)
    wait_until(lambda: gproxy.ask("status")["counters"]["statuses"] == {"ok": 1}, "nothing is counted")
    before = gproxy.ask("status")["counters"]
    template = children(gproxy.process.pid)[0]
    control = next(pid for pid in children(template) if pid not in gproxy.workers().values())
    kill(control)
    gproxy.process.wait_log(f"control ({control}) of generation 1 was killed by SIGKILL")
    wait_until(lambda: len(children(template)) == 3, "not replaced")
    assert gproxy.ask("status")["counters"] == before
    gproxy.stop()


def test_a_killed_master_leaves_nobody(gproxy: Supervised, echo: Server) -> None:
    """Nobody would ever replace or reload what is left, so it finishes."""
    everybody = family(gproxy.process.pid)
    with tunnel(port_of(gproxy), (echo.host, echo.port)) as sock:
        kill(gproxy.process.pid)
        assert answers(sock)
        assert everything(sock) == b""
    wait_until(lambda: not any(map(alive, everybody)), "somebody is left", 15)
    assert not listening(port_of(gproxy))


# -- the end -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("generations", [1, 2])
def test_the_end_waits_for_sessions_but_not_for_ever(generations: int, processes: Processes, echo: Server) -> None:
    """`stop_grace` holds for older generations too, which had an hour."""
    gproxy = Supervised.start(processes, inbound("mixed", free_port()), runtime={"stop_grace": "2s"})
    port = port_of(gproxy)
    with tunnel(port, (echo.host, echo.port)) as sock:
        assert answers(sock)
        for _ in range(generations - 1):
            gproxy.next_generation()
        began = time.monotonic()
        gproxy.send(signal.SIGTERM)
        wait_until(lambda: not _accepts(port), "it still accepts")
        assert answers(sock)
        assert everything(sock) == b""
        assert 1.5 < time.monotonic() - began < 8
    assert gproxy.process.wait() == 0
    gproxy.check_log()


def _accepts(port: int) -> bool:
    """Whether a SOCKS greeting is answered."""
    try:
        with socket.create_connection((LOOPBACK, port), 1) as sock:
            sock.settimeout(0.3)
            sock.sendall(b"\x05\x01\x00")
            return sock.recv(2) == b"\x05\x00"
    except OSError:
        return False


def test_told_twice_it_ends_at_once(gproxy: Supervised, echo: Server) -> None:
    everybody = family(gproxy.process.pid)
    with tunnel(port_of(gproxy), (echo.host, echo.port)) as sock:
        gproxy.send(signal.SIGTERM)
        gproxy.process.wait_log("stopping")
        assert answers(sock)
        began = time.monotonic()
        gproxy.send(signal.SIGTERM)
        assert everything(sock) == b""
        assert gproxy.process.wait() == 0
        assert time.monotonic() - began < 3
    assert not any(map(alive, everybody))


def test_an_end_while_a_reload_is_under_way(gproxy: Supervised) -> None:
    everybody = family(gproxy.process.pid)
    gproxy.send(signal.SIGHUP)
    gproxy.send(signal.SIGTERM)
    assert gproxy.process.wait() == 0
    wait_until(lambda: not any(map(alive, everybody)), "somebody is left")
    assert not listening(port_of(gproxy))
    gproxy.check_log()
