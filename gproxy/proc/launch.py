"""From the command line to the master."""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import NoReturn

from gproxy.base.errors import ConfigError
from gproxy.config.load import STDIN
from gproxy.proc.arguments import Sources
from gproxy.proc.resume import command


def become_master(files: Sequence[str], directories: Sequence[str], *, colour: bool = True) -> NoReturn:
    """Go on as the master of worker processes, with the same process id and working directory.

    It is an exec, because this process is patched and has read the configuration, and the master does neither. Raises
    ConfigError when the configuration comes from standard input, which each generation could not read again.
    """
    if any(name in STDIN for name in files):
        raise ConfigError(
            "runtime.workers: a configuration from standard input can't be read again for a reload: use 0"
        )
    if not colour:
        os.environ["NO_COLOR"] = "1"  # every process of every generation sees that
    arguments = command(Sources(list(files), list(directories)).to_json())
    os.execv(arguments[0], arguments)  # noqa: S606 - our own interpreter
