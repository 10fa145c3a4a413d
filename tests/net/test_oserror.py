from __future__ import annotations

import errno

import pytest

from gproxy.net.oserror import closed, dial_failed


@pytest.mark.parametrize(
    ("code", "reason"),
    [
        (errno.ECONNREFUSED, "refused"), (errno.ENOENT, "refused"), (errno.ENETUNREACH, "unreachable"),
        (errno.EHOSTUNREACH, "unreachable"), (errno.EADDRNOTAVAIL, "unreachable"), (errno.EACCES, "unreachable"),
        (errno.ETIMEDOUT, "timeout"), (errno.EIO, "failed"), (0, "failed"), (99999, "failed"),
    ],
)  # fmt: skip
def test_a_failed_connect(code: int, reason: str) -> None:
    error = dial_failed("192.0.2.1:80", code)
    assert error.reason == reason
    assert str(error).startswith("192.0.2.1:80: ")


def test_it_says_what_the_system_says() -> None:
    assert str(dial_failed("x", errno.ECONNREFUSED)) == "x: connection refused"


@pytest.mark.parametrize(
    ("error", "reason"),
    [
        (ConnectionResetError(errno.ECONNRESET, "reset by peer"), "reset"),
        (BrokenPipeError(errno.EPIPE, "x"), "reset"),
        (TimeoutError(errno.ETIMEDOUT, "timed out"), "timeout"), (OSError("no number"), "reset"),
    ],
)  # fmt: skip
def test_a_broken_connection(error: OSError, reason: str) -> None:
    assert closed(error).reason == reason
    assert str(closed(error))
