"""The ledger by itself; the process, at its place, in a fork of its own."""

from __future__ import annotations

import select
import socket
import subprocess
import sys
from random import Random
from typing import Any

from gproxy.app.messages import Reopen, Traffic
from gproxy.proc.control import Ledger
from gproxy.proc.orders import KINDS, AskStatus, Counted, Status
from gproxy.proc.post import Post
from gproxy.proc.wait import wait_writable


def counters(opened: int, active: int = 0, **statuses: int) -> dict[str, Any]:
    return {"opened": opened, "active": active, "up": opened * 2, "down": opened * 3, "statuses": statuses}


def test_nothing_is_nothing() -> None:
    assert Ledger().totals() == counters(0)


def test_workers_add_up() -> None:
    ledger = Ledger()
    ledger.note(Counted(0, 0, counters(3, 1, ok=2)))
    ledger.note(Counted(1, 0, counters(4, 2, ok=1, auth=1)))
    assert ledger.totals() == counters(7, 3, ok=3, auth=1)


def test_a_dead_worker_s_sessions_are_not_open_any_more() -> None:
    ledger = Ledger()
    ledger.note(Counted(0, 0, counters(3, 2, ok=1)))
    ledger.note(Counted(0, 1, counters(0)))
    assert ledger.totals() == counters(3, 0, ok=1)
    ledger.note(Counted(0, 1, counters(1, 1)))
    assert ledger.totals() == counters(4, 1, ok=1)


def test_breakers_are_those_of_who_lives_now() -> None:
    ledger = Ledger()
    ledger.note(Counted(0, 0, {**counters(0), "breakers": {"out": ["open", 2]}}))
    ledger.note(Counted(1, 0, {**counters(0), "breakers": {"out": ["closed", 1]}}))
    ledger.note(Counted(0, 1, {**counters(0), "breakers": {"out": ["half-open", 1]}}))
    assert ledger.totals()["breakers"] == {"out": {"closed": 1, "open": 0, "half-open": 1, "opened": 4}}


def test_totals_never_fall() -> None:
    random, ledger = Random(7), Ledger()
    now = {worker: [0, 0] for worker in range(3)}  # life, opened
    last = counters(0)
    for _ in range(500):
        worker = random.randrange(3)
        life, opened = now[worker]
        now[worker] = [life + 1, 0] if random.random() < 0.1 else [life, opened + random.randrange(5)]
        ledger.note(Counted(worker, now[worker][0], counters(now[worker][1], ok=now[worker][1])))
        totals = ledger.totals()
        assert all(totals[name] >= last[name] for name in ("opened", "up", "down"))
        last = totals


CONTROL = """
import sys
from _socket import socket
from gproxy.proc import control
from gproxy.proc.beat import Beats
from gproxy.proc.place import Place
from gproxy.app.build import build
from gproxy.config.root import Root
root = Root()
control.main(Place(-1, 1, socket(fileno=int(sys.argv[1])), Beats(1)), root, build(root), {})
"""


def test_it_answers_until_nobody_asks_and_tells_the_end() -> None:
    ours, theirs = socket.socketpair()
    process = subprocess.Popen([sys.executable, "-c", CONTROL, str(theirs.fileno())], pass_fds=[theirs.fileno()])
    theirs.close()
    post = Post(ours, KINDS, lambda fd: select.select([fd], [], [], 15), wait_writable)
    post.send(Counted(0, 0, counters(3, 1, ok=2)))
    post.send(Reopen())
    post.send(Traffic([["in", "ada", 1, 2, 0, 0, 1, 0]]))
    post.send(AskStatus(5))
    assert post.receive() == (Status(5, counters(3, 1, ok=2)), [])
    post.send(Counted(0, 0, counters(4, 0, ok=4)))
    post.end()
    assert post.receive() == (Status(0, counters(4, 0, ok=4)), [])
    assert process.wait(10) == 0
    post.close()
