r"""What a service manager is told, and what it hands over: the protocol of sd_notify(3) and sd_listen_fds(3).

One datagram of lines to the socket that NOTIFY_SOCKET names; descriptors travel with it (SCM_RIGHTS):

    READY=1\nSTATUS=listening on 127.0.0.1:1080

Started by hand, none of this is there, and every call does nothing. Standard library only: the master speaks it too.
"""

from __future__ import annotations

import fcntl
import os
from _socket import AF_UNIX, SCM_RIGHTS, SOCK_CLOEXEC, SOCK_DGRAM, SOL_SOCKET, socket
from array import array
from collections.abc import MutableMapping, Sequence

from gproxy.base.clock import now

_FIRST_FD = 3  # sd_listen_fds(3): where the descriptors begin
_MAX_FDS = 253  # of one message: unix(7), SCM_MAX_FD
_MAX_NAME = 255  # of a descriptor: sd_listen_fds_with_names(3)
_PATIENCE = 1.0  # seconds for a manager whose queue is full
_STOP_MARGIN = 10.0  # seconds for what comes after the sessions have ended
_PATS_PER_LIMIT = 3
_USEC = 1_000_000


class Notifier:
    """Speaks to the service manager that started this process.

    No method raises OSError: the socket may be gone (`start-stop-daemon` takes it away after READY), and no daemon
    should die of that. Text is made one line. The variables are read once, when this is made.
    """

    def __init__(self, environ: MutableMapping[str, str] = os.environ) -> None:
        self._address = _address(environ.get("NOTIFY_SOCKET", ""))
        self._watchdog_limit = _watchdog_limit(environ)

    @property
    def managed(self) -> bool:
        """Whether a service manager listens."""
        return bool(self._address)

    def ready(self, status: str = "") -> None:
        """All that was asked for is being served; also ends a reload."""
        self._send("READY=1", *_status(status))

    def reloading(self, status: str = "") -> None:
        """A new configuration is being read. `ready` must follow, even when it was refused."""
        self._send("RELOADING=1", f"MONOTONIC_USEC={int(now() * _USEC)}", *_status(status))

    def stopping(self, grace: float = 0.0, status: str = "") -> None:
        """The end has begun and may take `grace` seconds, even where the unit's own time-out is shorter."""
        self._send("STOPPING=1", f"EXTEND_TIMEOUT_USEC={int((grace + _STOP_MARGIN) * _USEC)}", *_status(status))

    def status(self, text: str) -> None:
        """One line for `systemctl status`."""
        self._send(*_status(text))

    def watchdog(self) -> None:
        """A sign of life, due every `watchdog_interval` seconds."""
        self._send("WATCHDOG=1")

    def watchdog_interval(self) -> float | None:
        """Seconds between signs of life: a third of what the manager waits for. None if it expects none from us."""
        return self._watchdog_limit / _PATS_PER_LIMIT if self._watchdog_limit else None

    def store(self, name: str, descriptors: Sequence[int]) -> None:
        """Give copies of descriptors into safe keeping; the next process of this service gets them from `inherited`.

        Those that the store holds already are not added twice. Raises ValueError for a name that systemd refuses.
        """
        # systemd drops a descriptor that polls as broken, which a UDP socket with an ICMP error does: FDPOLL=0.
        lines = ("FDSTORE=1", f"FDNAME={_checked(name)}", "FDPOLL=0")
        for first in range(0, len(descriptors), _MAX_FDS):
            self._send(*lines, descriptors=descriptors[first : first + _MAX_FDS])

    def remove(self, name: str) -> None:
        """Drop all descriptors of this name from the store. Raises ValueError for a name that systemd refuses."""
        self._send("FDSTOREREMOVE=1", f"FDNAME={_checked(name)}")

    def _send(self, *lines: str, descriptors: Sequence[int] = ()) -> None:
        if not self._address:
            return
        rights = [(SOL_SOCKET, SCM_RIGHTS, array("i", descriptors))] if descriptors else []
        # Not the `socket` module's: patched, it would wait in the hub, and signal handlers run there.
        sock = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC)
        try:
            sock.settimeout(_PATIENCE)
            sock.connect(self._address)
            sock.sendmsg(["\n".join(lines).encode()], rights)
        except OSError:
            pass
        finally:
            sock.close()


def inherited(environ: MutableMapping[str, str] = os.environ) -> list[tuple[str, int]]:
    """The descriptors that the manager handed to this process, with their names; they close on exec now.

    From socket units or from the store. The variables are removed: a second call, or a child, gets none. One without
    a name is called `unknown`. The first number that is not open ends the list. What was meant for another process
    (LISTEN_PID) is left alone.
    """
    pid, count, names = (environ.pop(key, "") for key in ("LISTEN_PID", "LISTEN_FDS", "LISTEN_FDNAMES"))
    if pid != str(os.getpid()) or not count.isascii() or not count.isdigit():
        return []
    given = names.split(":") if names else []
    result = []
    for index in range(int(count)):
        fd = _FIRST_FD + index
        if not _close_on_exec(fd):
            break
        result.append((given[index] if index < len(given) else "unknown", fd))
    return result


def _close_on_exec(fd: int) -> bool:
    """Set the flag; False if there is no such descriptor."""
    try:
        fcntl.fcntl(fd, fcntl.F_SETFD, fcntl.FD_CLOEXEC)
    except OSError:
        return False
    return True


def _address(place: str) -> str:
    """NOTIFY_SOCKET as an address: a path, or an abstract one; empty for those of another family."""
    if place.startswith("@"):
        return "\0" + place[1:]
    return place if place.startswith("/") else ""


def _watchdog_limit(environ: MutableMapping[str, str]) -> float:
    """Seconds; 0 if nothing is expected from this process."""
    limit, pid = environ.get("WATCHDOG_USEC", ""), environ.get("WATCHDOG_PID", "")
    if not limit.isascii() or not limit.isdigit() or pid not in {"", str(os.getpid())}:
        return 0.0
    return int(limit) / _USEC


def _status(text: str) -> list[str]:
    return [f"STATUS={' '.join(text.split())}"] if text else []


def _checked(name: str) -> str:
    if not name or len(name) > _MAX_NAME or ":" in name or not name.isascii() or not name.isprintable():
        raise ValueError(f"not a name for a descriptor: {name!r}")
    return name
