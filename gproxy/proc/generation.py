"""A generation as the master sees it: the template of one configuration, and what it has said so far."""

from __future__ import annotations

import subprocess
import sys
from _socket import socket, socketpair
from dataclasses import dataclass, field
from typing import Literal

from gproxy.net.bind import Endpoint
from gproxy.proc.arguments import Arguments, Sources
from gproxy.proc.orders import CONTROL, KINDS, Plan, endpoint_from_json
from gproxy.proc.post import Post
from gproxy.proc.wait import wait_readable, wait_writable

State = Literal["loading", "forking", "taking over", "starting", "serving", "draining"]


@dataclass(slots=True)
class Generation:
    """The number counts configurations and code since the first start."""

    number: int
    pid: int
    post: Post
    since: float  # when it began, on the monotonic clock
    state: State = "loading"
    plan: Plan | None = None
    endpoints: list[Endpoint] = field(default_factory=list)
    processes: dict[int, int] = field(default_factory=dict)  # worker number → pid
    opened: list[Endpoint] = field(default_factory=list)  # the sockets that were opened for it
    refused: str = ""  # why it does not serve
    misconfigured: bool = False  # that is the configuration's fault

    @classmethod
    def start(cls, number: int, sources: Sources, since: float, memory: int) -> Generation:
        """Start the template of a new generation. `memory` is the shared memory's descriptor. Raises OSError."""
        ours, theirs = socketpair()
        try:
            arguments = Arguments(sources, theirs.fileno(), memory)
            child = subprocess.Popen(
                [*interpreter(), "-m", "gproxy.proc.template", arguments.to_json()],
                stdin=subprocess.DEVNULL,
                pass_fds=[theirs.fileno(), memory],
            )
        finally:
            theirs.close()
        child.returncode = 0  # it is reaped by pid with all others: Popen's own book-keeping would only warn
        return cls(number, child.pid, make_post(ours), since)

    def accept_plan(self, plan: Plan) -> None:
        """What it needs is known now."""
        self.plan = plan
        self.endpoints = [endpoint_from_json(each) for each in plan.endpoints]

    def manages(self, inbound: str) -> bool:
        """Whether it has this inbound, and services that rule its users."""
        return self.plan is not None and inbound in self.plan.managed

    def workers(self) -> dict[int, int]:
        """The pids of the worker processes, without control."""
        return {number: pid for number, pid in self.processes.items() if number != CONTROL}


def interpreter() -> list[str]:
    """The command line of another Python like this one."""
    return [sys.executable, *(["-I"] if sys.flags.isolated else [])]


def make_post(sock: socket) -> Post:
    """The master's end of a channel."""
    return Post(sock, KINDS, wait_readable, wait_writable)
