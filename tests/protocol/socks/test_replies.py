"""gproxy.protocol.socks.replies: failures and codes."""

from __future__ import annotations

import pytest

from gproxy.base.errors import AuthError, DialError, Overloaded, ProtocolError, Rejected, TooLarge, Unsupported
from gproxy.protocol.socks.replies import code_for, error_for


@pytest.mark.parametrize(
    ("why", "code"),
    [
        (DialError(reason="dns"), 4),
        (DialError(reason="refused"), 5),
        (DialError(reason="unreachable"), 4),
        (DialError(reason="timeout"), 6),
        (DialError(reason="tls"), 1),
        (DialError(reason="declined"), 1),
        (DialError(), 1),
        (Rejected(), 2),
        (Unsupported(reason="command"), 7),
        (Unsupported(reason="address"), 8),
        (ProtocolError(), 1),
        (AuthError(), 1),
        (TooLarge(), 1),
        (Overloaded(), 1),
    ],
)
def test_codes(why, code):
    assert code_for(why) == code


@pytest.mark.parametrize(
    ("code", "reason"),
    [(1, "declined"), (2, "declined"), (3, "unreachable"), (4, "unreachable"), (5, "refused"), (6, "timeout"),
     (7, "declined"), (8, "declined"), (9, "declined"), (91, "declined"), (92, "declined"), (93, "declined"),
     (255, "declined")],
)  # fmt: skip
def test_refusals(code, reason):
    error = error_for(code)
    assert error.reason == reason
    assert f"({code})" in str(error)


def test_a_refusal_passes_through_a_chain_of_proxies_unchanged():
    for code in (4, 5, 6):
        assert code_for(error_for(code)) == code
