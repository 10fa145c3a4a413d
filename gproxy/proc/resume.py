"""How a master goes on as other code: everything that it holds is in descriptors and in one JSON document.

The document lies in a memory file whose number is in the environment. The new code opens nothing: it finds its
listening sockets, the channels to its generations and its control socket at the same numbers. Standard library only.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from _socket import socket
from dataclasses import asdict
from threading import get_ident
from typing import TYPE_CHECKING, Any, NoReturn

from gproxy.base.clock import now
from gproxy.limit.memory import Memory
from gproxy.proc.generation import Generation, interpreter, make_post
from gproxy.proc.orders import Plan, endpoint_from_json, endpoint_to_json
from gproxy.proc.post import make
from gproxy.proc.tally import Tally

if TYPE_CHECKING:
    from gproxy.proc.master import Master

SIGNALS = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGUSR1, signal.SIGUSR2, signal.SIGCHLD)
"""What a master obeys. None of them is lost in an exec: they wait until the new code listens."""

_VARIABLE = "GPROXY_STATE_FD"
_TRIAL_LIMIT = 20.0  # seconds


def command(argument: str) -> list[str]:
    """The command line of a master: its only argument is the sources, as JSON."""
    return [*interpreter(), "-m", "gproxy.proc.master", argument]


def trial() -> str:
    """Whether the installed code starts at all: empty, or what it says. There is no way back from an exec."""
    try:
        done = subprocess.run(
            [*interpreter(), "-c", "import gproxy.proc.master, gproxy.proc.template"],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            timeout=_TRIAL_LIMIT,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        return f"the installed code does not start: {error}"
    if done.returncode:
        last = done.stderr.decode(errors="replace").strip().rpartition("\n")[2]
        return f"the installed code does not start: {last}"
    return ""


def execute(master: Master) -> NoReturn:
    """Become the installed code. Raises OSError when the exec itself fails; nothing has changed then."""
    state: dict[str, Any] = {
        "number": master.number,
        "started": master.started,
        "tally": master.tally.to_json(),
        "slots": [
            [endpoint_to_json(endpoint), [sock.fileno() for sock in master.slots.of(endpoint)]]
            for endpoint in master.slots.endpoints()
        ],
        "stored": sorted(master.slots.stored),
        "admin": [master.admin.path, master.admin.fileno()],
        "memory": master.memory.fd,
        "users": master.users,
        "generations": [_generation(each) for each in master.generations()],
    }
    memory = os.memfd_create("gproxy-state", 0)
    os.write(memory, json.dumps(state).encode())
    os.lseek(memory, 0, os.SEEK_SET)
    os.environ[_VARIABLE] = str(memory)
    _set_inheritable(state, True)
    signal.pthread_sigmask(signal.SIG_BLOCK, SIGNALS)
    for number in master.take_signals():
        signal.pthread_kill(get_ident(), number)  # to the thread that has blocked it
    try:
        os.execv(sys.executable, command(master.sources.to_json()))  # noqa: S606 - our own interpreter
    finally:
        signal.pthread_sigmask(signal.SIG_UNBLOCK, SIGNALS)
        _set_inheritable(state, False)
        os.environ.pop(_VARIABLE)
        os.close(memory)


def _set_inheritable(state: dict[str, Any], inheritable: bool) -> None:
    for fd in _descriptors(state):
        os.set_inheritable(fd, inheritable)


def _descriptors(state: dict[str, Any]) -> list[int]:
    listening = [fd for _, fds in state["slots"] for fd in fds]
    channels = [each["channel"] for each in state["generations"]]
    return [fd for fd in (*listening, *channels, state["admin"][1], state.get("memory", -1)) if fd >= 0]


def _generation(generation: Generation) -> dict[str, Any]:
    return {
        "number": generation.number,
        "pid": generation.pid,
        "channel": generation.post.fileno(),
        "age": now() - generation.since,
        "state": generation.state,
        "plan": None if generation.plan is None else asdict(generation.plan),
        "processes": [[worker, pid] for worker, pid in generation.processes.items()],
    }


def restore(master: Master) -> None:
    """Take back what `execute` left, if this process began that way."""
    number = os.environ.pop(_VARIABLE, "")
    if not number:
        return
    with os.fdopen(int(number), "rb") as memory:
        state = json.load(memory)
    _set_inheritable(state, False)
    master.number = state["number"]
    master.started = state["started"]
    master.tally = Tally.from_json(state["tally"])
    for endpoint, fds in state["slots"]:
        master.slots.adopt(endpoint_from_json(endpoint), [socket(fileno=fd) for fd in fds])
    master.slots.stored = set(state.get("stored", ()))  # the code before us may not have told
    path, fd = state["admin"]
    if fd >= 0:
        master.admin.adopt(path, fd)
    master.users = state.get("users", {})
    _restore_memory(master, state.get("memory", -1))
    for values in state["generations"]:
        generation = _restored(values)
        if generation.state == "serving":
            master.current = generation
        else:
            master.draining.append(generation)


def _restore_memory(master: Master, fd: int) -> None:
    """The code before us may have had none, or one of another layout: then the master's new one is the first."""
    if fd >= 0:
        try:
            master.memory = Memory.adopt(fd)
        except ValueError:
            os.close(fd)


def _restored(values: dict[str, Any]) -> Generation:
    generation = Generation(
        values["number"], values["pid"], make_post(socket(fileno=values["channel"])), now() - values["age"]
    )
    generation.state = values["state"]
    generation.processes = dict(values["processes"])
    if values["plan"] is not None:
        generation.accept_plan(make(Plan, values["plan"]))
    return generation
