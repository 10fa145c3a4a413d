"""A program that runs beside us."""

from __future__ import annotations

import ctypes
import os
import signal
from collections.abc import Mapping, Sequence

from gevent.subprocess import DEVNULL, STDOUT, Popen

from gproxy.base.errors import GproxyError
from gproxy.rt.deadline import deadline
from gproxy.rt.patch import original
from gproxy.rt.sockets import READ, Readiness

_PR_SET_PDEATHSIG = 1
_libc = ctypes.CDLL(None)  # loaded here: a child between fork and exec must load nothing

_READ_AT_ONCE = 16 * 1024


class _Late(GproxyError):
    """It did not end in time."""


class Child:
    """A process in a session of its own. The kernel kills it should this process die; what it starts ends with it.

    Start it from the thread that runs the hub, which has to live as long: the kernel looks at the thread.
    """

    def __init__(self, argv: Sequence[str], environment: Mapping[str, str]) -> None:
        """Standard input is empty; standard output and error come to `read`. Raises OSError."""
        self._output, theirs = os.pipe2(os.O_CLOEXEC)
        try:
            self._process = Popen(
                argv, stdin=DEVNULL, stdout=theirs, stderr=STDOUT, env=environment,
                start_new_session=True, preexec_fn=_Prepare(os.getpid()),
            )  # fmt: skip
        except BaseException:
            os.close(self._output)
            raise
        finally:
            os.close(theirs)
        os.set_blocking(self._output, False)
        self._readable = Readiness(self._output, READ)

    @property
    def pid(self) -> int:
        """Its process id."""
        pid: int = self._process.pid
        return pid

    def read(self) -> bytes:
        """What it says next, waiting for it; empty = nobody is left who could say more."""
        while True:
            try:
                return os.read(self._output, _READ_AT_ONCE)
            except BlockingIOError:
                self._readable.wait()

    def read_now(self) -> bytes:
        """What was said and nobody has read."""
        try:
            return os.read(self._output, _READ_AT_ONCE)
        except BlockingIOError:
            return b""

    def wait(self) -> str:
        """Wait for its end, end what it has started itself, and say in words how it ended."""
        code: int = self._process.wait()
        self._signal(signal.SIGKILL)
        return f"killed by {signal.Signals(-code).name}" if code < 0 else f"exit status {code}"

    def end(self, patience: float) -> None:
        """Ask it to end, and make it end after so many seconds."""
        self._signal(signal.SIGTERM)
        try:
            with deadline(patience, _Late()):
                self.wait()
        except _Late:
            self._signal(signal.SIGKILL)
            self.wait()

    def close(self) -> None:
        """Hear it no more."""
        self._readable.close()
        os.close(self._output)

    def _signal(self, number: signal.Signals) -> None:
        try:
            os.killpg(self.pid, number)
        except ProcessLookupError:
            pass


class _Prepare:
    """What a child does before it becomes the program."""

    def __init__(self, parent: int) -> None:
        self._parent = parent
        self._set_handler = original("signal", "signal")

    def __call__(self) -> None:
        _libc.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
        if os.getppid() != self._parent:  # it died before that
            os._exit(1)
        # A program inherits what is ignored, and would never hear that it shall end.
        for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGUSR1, signal.SIGUSR2, signal.SIGCHLD):
            self._set_handler(number, signal.SIG_DFL)
        signal.pthread_sigmask(signal.SIG_SETMASK, [])
