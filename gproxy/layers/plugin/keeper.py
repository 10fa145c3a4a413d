"""Keeps plugins running: started, started again when they die, and ended."""

from __future__ import annotations

import logging
import re
from collections.abc import Iterable
from types import TracebackType
from typing import Final

from gproxy.base.clock import now
from gproxy.layers.plugin.external import Plugin
from gproxy.rt.child import Child
from gproxy.rt.group import Group
from gproxy.rt.sync import sleep

_log = logging.getLogger("gproxy.plugin")

# A plugin that has died is started again after this; then twice as long, up to the ceiling, until it has lived longer
# than that. In seconds.
BACKOFF: Final = 0.5
BACKOFF_CEILING: Final = 30.0

# How long a plugin that was told to end may take for it, in seconds. A generation waits for 3.
PATIENCE: Final = 1.5

# How much of what a plugin says is remembered for the line about its end.
_BYTES: Final = 2048
_LINES: Final = 3
_COLUMNS: Final = 200

_ESCAPE = re.compile(r"\x1b\[[0-9;]*[A-Za-z]")


class Keeper:
    """The plugins of one generation. Leaving the `with` block ends them all."""

    def __init__(self, plugins: Iterable[Plugin]) -> None:
        self._plugins = list(plugins)
        self._servers = Group("plugins")
        self._clients = Group("plugins")

    def start(self) -> None:
        """Run those that don't run."""
        for group, side in ((self._servers, "server"), (self._clients, "client")):
            if not len(group):
                for plugin in self._plugins:
                    if plugin.side == side:
                        group.spawn(_keep, plugin)

    def make_room(self) -> None:
        """End those that listen for clients, so that their successors can. `start` would run them again."""
        self._servers.kill()

    def __enter__(self) -> Keeper:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        with self._servers:
            self._clients.kill()


def _keep(plugin: Plugin) -> None:
    """Run it again and again, until killed."""
    pause = BACKOFF
    while True:
        began = now()
        end = _run(plugin)
        if now() - began > BACKOFF_CEILING:
            pause = BACKOFF
        _log.error("%s: its plugin %s ended: %s; it is started again in %g s", plugin.owner, plugin.program, end, pause)
        sleep(pause)
        pause = min(2 * pause, BACKOFF_CEILING)


def _run(plugin: Plugin) -> str:
    """Run it once; how it ended, and what it said last."""
    try:
        child = Child(plugin.argv(), plugin.environment())
    except OSError as error:
        return f"it can't be started ({error.strerror})"
    _log.info("%s: its plugin %s runs as process %d", plugin.owner, plugin.program, child.pid)
    said = bytearray()
    ended = ""
    try:
        with Group("plugin's words") as listener:
            listener.spawn(_listen, child, said)
            ended = child.wait()
    finally:
        if not ended:
            child.end(PATIENCE)
        said += child.read_now()
        child.close()
    words = last_words(bytes(said))
    return f"{ended} ({words})" if words else ended


def _listen(child: Child, said: bytearray) -> None:
    while data := child.read():
        said += data
        del said[:-_BYTES]


def last_words(said: bytes) -> str:
    """The last lines of what a program said, as one short line that is safe to print."""
    text = _ESCAPE.sub("", said.decode("utf-8", "replace"))
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    short = [
        "".join(character if character.isprintable() else "?" for character in line)[:_COLUMNS]
        for line in lines[-_LINES:]
    ]
    return " | ".join(short)
