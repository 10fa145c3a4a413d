"""The system's errors in the house's words."""

from __future__ import annotations

import errno

from gproxy.base.errors import CloseReason, DialError, DialReason, StreamClosed

_DIAL: dict[int, DialReason] = {
    errno.ECONNREFUSED: "refused",
    errno.ENOENT: "refused",  # a unix socket that is not there
    errno.ENETUNREACH: "unreachable",
    errno.EHOSTUNREACH: "unreachable",
    errno.ENETDOWN: "unreachable",
    errno.EADDRNOTAVAIL: "unreachable",
    errno.EACCES: "unreachable",  # a broadcast address, or a firewall's "prohibited"
    errno.EPERM: "unreachable",
    errno.ETIMEDOUT: "timeout",
}


def closed(error: OSError) -> StreamClosed:
    """What a failed read or write of an open connection is."""
    reason: CloseReason = "timeout" if error.errno == errno.ETIMEDOUT else "reset"
    return StreamClosed(error.strerror or str(error), reason=reason)


def dial_failed(target: object, code: int) -> DialError:
    """What a failed connect is. `code` is an errno."""
    return DialError(f"{target}: {_strerror(code)}", reason=_DIAL.get(code, "failed"))


def _strerror(code: int) -> str:
    return errno.errorcode.get(code, str(code)) if code <= 0 else _os_strerror(code)


def _os_strerror(code: int) -> str:
    import os

    return os.strerror(code).lower()
