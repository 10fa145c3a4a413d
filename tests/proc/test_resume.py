"""What goes through an exec. That a whole master does is tried by tests/e2e/test_upgrade.py."""

from __future__ import annotations

import json
import os
import signal
import socket
from collections.abc import Iterator
from ipaddress import ip_address
from pathlib import Path
from typing import Any

import pytest

from gproxy.base.clock import now
from gproxy.limit.replay import open_replays
from gproxy.net.bind import Endpoint
from gproxy.proc import resume
from gproxy.proc.arguments import Sources
from gproxy.proc.generation import Generation, make_post
from gproxy.proc.master import Master
from gproxy.proc.orders import Plan, endpoint_to_json


@pytest.fixture
def master() -> Iterator[Master]:
    master = Master(Sources(["x.toml"]))
    yield master
    master.admin.close()
    master.slots.close()
    master._selector.close()


def furnish(master: Master, folder: Path) -> socket.socket:
    """A master with a listener, a control socket and two generations; the far end of one's channel."""
    endpoint = Endpoint("stream", ip_address("127.0.0.1"), 0)
    master.slots.open([endpoint], 2, shared=True)
    master.admin.listen(str(folder / "control.sock"))
    master.number = 5
    master.users = {"in": [["ada", "x"]]}
    plan = Plan([endpoint_to_json(endpoint)], 2, 60.0, 5.0, "", {"output": ""})
    ends = []
    for number, state in ((4, "draining"), (5, "serving")):
        ours, theirs = socket.socketpair()
        generation = Generation(number, 100 + number, make_post(ours), now() - 10, state)  # type: ignore[arg-type]
        generation.accept_plan(plan)
        generation.processes = {-1: 1, 0: 2}
        ends.append(theirs)
        if state == "serving":
            master.current = generation
        else:
            master.draining.append(generation)
    ends[0].close()
    return ends[1]


def exec_in_vain(monkeypatch: pytest.MonkeyPatch, executed: list[Any]) -> None:
    """In place of the exec, look at what the new code would find; then fail, as a full disk would have it."""

    def look(program: str, arguments: list[str]) -> None:
        state = json.loads(os.pread(int(os.environ["GPROXY_STATE_FD"]), 1 << 20, 0))
        inheritable = all(os.get_inheritable(fd) for fd in resume._descriptors(state))
        blocked = set(signal.pthread_sigmask(signal.SIG_BLOCK, ()))
        executed.append((state, inheritable, blocked, arguments))
        raise OSError("no room")

    monkeypatch.setattr(os, "execv", look)


def test_everything_is_handed_on(master: Master, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    executed: list[Any] = []
    exec_in_vain(monkeypatch, executed)
    far_end = furnish(master, tmp_path)
    with pytest.raises(OSError, match="no room"):
        resume.execute(master)
    [(state, inheritable, blocked, arguments)] = executed
    assert inheritable
    assert set(resume.SIGNALS) <= blocked
    assert Sources.from_json(arguments[-1]) == Sources(["x.toml"])
    # A failure leaves all as it was.
    assert "GPROXY_STATE_FD" not in os.environ
    assert not any(os.get_inheritable(fd) for fd in resume._descriptors(state))
    assert not set(resume.SIGNALS) & set(signal.pthread_sigmask(signal.SIG_BLOCK, ()))
    for generation in master.generations():
        generation.post.close()
    far_end.close()


def test_everything_is_found_again(master: Master, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    executed: list[Any] = []
    exec_in_vain(monkeypatch, executed)
    far_end = furnish(master, tmp_path)
    master.tally.note(5, {"opened": 3, "active": 1, "up": 1, "down": 2, "statuses": {"ok": 2}})
    with pytest.raises(OSError):
        resume.execute(master)
    state = executed[0][0]
    state["slots"] = [[endpoint, [os.dup(fd) for fd in fds]] for endpoint, fds in state["slots"]]
    state["admin"][1] = os.dup(state["admin"][1])
    state["memory"] = os.dup(state["memory"])
    assert open_replays(master.memory).recent.first(b"seen before")
    for each in state["generations"]:
        each["channel"] = os.dup(each["channel"])
        each["plan"]["of_tomorrow"] = "what only newer code knows"
    memory = os.memfd_create("state", 0)
    os.write(memory, json.dumps(state).encode())
    os.lseek(memory, 0, os.SEEK_SET)
    monkeypatch.setenv("GPROXY_STATE_FD", str(memory))
    again = Master(Sources())
    resume.restore(again)
    assert "GPROXY_STATE_FD" not in os.environ
    assert again.number == 5
    assert again.started == master.started
    assert again.tally.totals() == master.tally.totals()
    assert again.slots.endpoints() == master.slots.endpoints()
    [endpoint] = again.slots.endpoints()
    assert [sock.getsockname() for sock in again.slots.of(endpoint)] == [
        sock.getsockname() for sock in master.slots.of(endpoint)
    ]
    assert again.admin.path == master.admin.path
    assert again.users == {"in": [["ada", "x"]]}
    assert not open_replays(again.memory).recent.first(b"seen before")
    assert not os.get_inheritable(again.memory.fd)
    assert [each.number for each in again.generations()] == [4, 5]
    current = again.current
    assert current is not None
    assert (current.pid, current.state, current.processes) == (105, "serving", {-1: 1, 0: 2})
    assert current.plan is not None
    assert current.plan.grace == 60
    assert current.endpoints == [endpoint]
    assert 9 < now() - current.since < 60
    again.tell(current, current.plan)
    assert far_end.recv(100)
    for generation in (*again.generations(), *master.generations()):
        generation.post.close()
    far_end.close()
    again.admin.close()
    again.slots.close()
    again._selector.close()


@pytest.mark.parametrize("how", ["unknown", "of another layout"])
def test_a_state_of_other_code(
    how: str, master: Master, monkeypatch: pytest.MonkeyPatch, no_leaked_descriptors: None
) -> None:
    """Its memory of replays is of no use, so that a new one begins; all else is restored."""
    executed: list[Any] = []
    exec_in_vain(monkeypatch, executed)
    master.number = 5
    with pytest.raises(OSError, match="no room"):
        resume.execute(master)
    state = executed[0][0]
    if how == "unknown":
        del state["memory"], state["stored"], state["users"]
    else:
        state["memory"] = os.memfd_create("other", 0)
    memory = os.memfd_create("state", 0)
    os.write(memory, json.dumps(state).encode())
    os.lseek(memory, 0, os.SEEK_SET)
    monkeypatch.setenv("GPROXY_STATE_FD", str(memory))
    again = Master(Sources())
    resume.restore(again)
    assert again.number == 5
    assert open_replays(again.memory).recent.first(b"salt")
    again._selector.close()
    if how != "unknown":
        with pytest.raises(OSError):
            os.fstat(state["memory"])


def test_signals_that_wait_are_not_lost(master: Master, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """They are sent again, and stay pending through the exec."""
    pending: list[set[int]] = []

    def look(program: str, arguments: list[str]) -> None:
        pending.append(set(signal.sigpending()))
        raise OSError

    monkeypatch.setattr(os, "execv", look)
    before = signal.signal(signal.SIGUSR1, lambda *_: None)
    master._signals = [signal.SIGUSR1]
    try:
        with pytest.raises(OSError):
            resume.execute(master)
    finally:
        signal.signal(signal.SIGUSR1, before)
    assert signal.SIGUSR1 in pending[0]


def test_without_a_state_nothing_is_restored(master: Master, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("GPROXY_STATE_FD", raising=False)
    resume.restore(master)
    assert (master.number, master.generations(), master.slots.endpoints()) == (0, [], [])


def test_the_trial() -> None:
    assert resume.trial() == ""


def test_the_trial_of_code_that_does_not_start(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(resume, "interpreter", lambda: ["/bin/sh", "-c", "echo no such code >&2; exit 1", "sh"])
    assert resume.trial() == "the installed code does not start: no such code"
    monkeypatch.setattr(resume, "interpreter", lambda: ["/no/such/python"])
    assert "does not start" in resume.trial()
