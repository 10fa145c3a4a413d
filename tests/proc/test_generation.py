from __future__ import annotations

import os
import sys
from ipaddress import ip_address
from pathlib import Path

from gproxy.limit.memory import Memory
from gproxy.net.bind import Endpoint
from gproxy.proc.arguments import Sources
from gproxy.proc.generation import Generation, interpreter
from gproxy.proc.orders import Plan, Refused, endpoint_to_json


def test_a_template_is_started_and_speaks(tmp_path: Path) -> None:
    path = tmp_path / "broken.toml"
    path.write_text("nonsense = 1\n")
    memory = Memory()
    generation = Generation.start(7, Sources([str(path)]), since=1.0, memory=memory.fd)
    try:
        assert (generation.number, generation.state, generation.since) == (7, "loading", 1.0)
        message = None
        while message is None:
            message, _ = patient(generation)
        assert isinstance(message, Refused)
        assert f"{path}:1:1: nonsense" in message.report
        _, status = os.waitpid(generation.pid, 0)
        assert os.waitstatus_to_exitcode(status) == 1
    finally:
        generation.post.close()


def patient(generation: Generation) -> tuple[object, list[int]]:
    """A template takes its time to load."""
    import select

    select.select([generation.post], [], [], 30)
    return generation.post.receive()


def test_its_plan_is_understood() -> None:
    generation = Generation(1, 2, None, 0.0)  # type: ignore[arg-type]
    endpoint = Endpoint("stream", ip_address("::1"), 5)
    generation.accept_plan(Plan([endpoint_to_json(endpoint)], 2, 3600.0, 5.0, ""))
    assert generation.endpoints == [endpoint]


def test_control_is_no_worker() -> None:
    generation = Generation(1, 2, None, 0.0)  # type: ignore[arg-type]
    generation.processes = {-1: 10, 0: 11, 1: 12}
    assert generation.workers() == {0: 11, 1: 12}


def test_the_interpreter_is_like_ours(monkeypatch) -> None:
    assert interpreter() == [sys.executable, *(["-I"] if sys.flags.isolated else [])]


def test_what_it_manages() -> None:
    generation = Generation(1, 2, None, 0.0)  # type: ignore[arg-type]
    assert not generation.manages("in")
    generation.accept_plan(Plan([], 2, 3600.0, 5.0, "", {}, ["in"]))
    assert generation.manages("in")
    assert not generation.manages("other")
