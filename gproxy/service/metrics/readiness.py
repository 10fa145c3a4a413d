"""Whether clients are served as they should be: what `/ready` says."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from gproxy.base.address import UNSPECIFIED, Address
from gproxy.base.clock import now
from gproxy.base.errors import DialError, GproxyError
from gproxy.base.session import Session
from gproxy.rt.deadline import deadline
from gproxy.rt.group import Group
from gproxy.rt.offload import offload
from gproxy.rt.sync import Lock
from gproxy.service.metrics.view import View

# How long upstreams are not tried again, and how long each may take, in seconds.
_REMEMBERED: Final = 10.0
_PATIENCE: Final = 5.0

_LEAST_FREE: Final = 1024 * 1024
"""Bytes that have to be free where logs are written."""


@dataclass(frozen=True, slots=True)
class Check:
    """One thing that has to be well, and what is wrong with it; empty if nothing is."""

    name: str
    problem: str = ""


class Readiness:
    """All checks. `upstreams`: by the outbound's tag, what has to be reachable through it."""

    def __init__(self, view: View, upstreams: Mapping[str, str]) -> None:
        self._view = view
        self._upstreams = {tag: Address.parse(text) for tag, text in upstreams.items()}
        self._tried = -_REMEMBERED
        self._reached: list[Check] = []
        self._turn: Lock | None = None  # made where it is needed: not in the process that others are forked from
        self.serving = False  # whether this generation is the one that serves

    def quick(self) -> list[Check]:
        """What can be told without waiting."""
        view = self._view
        workers = view.serving()
        paused = [shown.process for shown in workers for kind, _, value in shown.gauges if kind == "paused" and value]
        served = len({shown.worker for shown in workers})
        return [
            Check("generation", "" if self.serving else "another generation serves, or none does yet"),
            Check("workers", "" if served >= view.workers else f"{served} of {view.workers} serve"),
            Check("memory", f"it is short: {', '.join(paused)}" if paused else ""),
        ]

    def checks(self) -> list[Check]:
        """All of them; it may take some seconds."""
        files = [Check(f"file {path}", offload(writable, path)) for path in self._view.files]
        return [*self.quick(), *files, *self._upstream()]

    def _upstream(self) -> list[Check]:
        if not self._upstreams:
            return []
        self._turn = self._turn or Lock()
        with self._turn:  # those who ask meanwhile get the same answer
            if now() - self._tried >= _REMEMBERED:
                found: dict[str, str] = {}
                with Group("ready") as group:
                    for tag, target in self._upstreams.items():
                        group.spawn(self._try, tag, target, found)
                    group.join()
                self._reached = [Check(f"upstream {tag}", found.get(tag, "failed")) for tag in self._upstreams]
                self._tried = now()
        return self._reached

    def _try(self, tag: str, target: Address, found: dict[str, str]) -> None:
        session = Session(0, "tcp", "ready", UNSPECIFIED, target)
        assert self._view.outbound is not None, "the assembly gives it where there are upstreams"
        try:
            with deadline(_PATIENCE, DialError(f"{target}: not reached in time", reason="timeout")):
                self._view.outbound(tag).dial(target, session).close()
        except GproxyError as error:
            found[tag] = str(error)
        else:
            found[tag] = ""


def writable(path: str) -> str:
    """Why nothing more can be written to a file; empty if something can."""
    try:
        fd = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC | os.O_NONBLOCK, 0o640)
        os.close(fd)
        disk = os.statvfs(Path(path).parent)
    except OSError as error:
        return error.strerror or str(error)
    if disk.f_bavail * disk.f_frsize < _LEAST_FREE:
        return "the disk is full"
    return ""
