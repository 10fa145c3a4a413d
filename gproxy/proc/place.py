"""What a process is told when it is forked."""

from __future__ import annotations

from _socket import socket
from dataclasses import dataclass

from gproxy.proc.beat import Beats


@dataclass(frozen=True, slots=True)
class Place:
    """Which worker of how many it is, its end of the channel to the template, and where its heart beats."""

    worker: int
    workers: int
    channel: socket
    beats: Beats
    generation: int = 0
