"""Failures as SOCKS reply codes, and reply codes as failures: the one place that knows both."""

from __future__ import annotations

from gproxy.base.errors import DialError, DialReason, GproxyError, Rejected, Unsupported

SUCCEEDED = 0
GENERAL_FAILURE = 1
NOT_ALLOWED = 2
NETWORK_UNREACHABLE = 3
HOST_UNREACHABLE = 4
REFUSED = 5
TTL_EXPIRED = 6
COMMAND_NOT_SUPPORTED = 7
ADDRESS_TYPE_NOT_SUPPORTED = 8

# RFC 1928 has no code for a name that does not resolve nor for a timeout: 4 and 6 are what Tor and others say then.
_CODES: dict[str, int] = {
    "dns": HOST_UNREACHABLE,
    "refused": REFUSED,
    "unreachable": HOST_UNREACHABLE,
    "timeout": TTL_EXPIRED,
}

_REASONS: dict[int, tuple[DialReason, str]] = {
    GENERAL_FAILURE: ("declined", "general failure"),
    NOT_ALLOWED: ("declined", "not allowed by its rules"),
    NETWORK_UNREACHABLE: ("unreachable", "network unreachable"),
    HOST_UNREACHABLE: ("unreachable", "host unreachable"),
    REFUSED: ("refused", "connection refused"),
    TTL_EXPIRED: ("timeout", "TTL expired"),
    COMMAND_NOT_SUPPORTED: ("declined", "command not supported"),
    ADDRESS_TYPE_NOT_SUPPORTED: ("declined", "address type not supported"),
    91: ("declined", "rejected or failed"),
    92: ("declined", "the server can't reach an identd on this host"),
    93: ("declined", "the user id differs from identd's"),
}


def code_for(why: GproxyError) -> int:
    """The SOCKS5 reply code that tells a client why."""
    if isinstance(why, DialError):
        return _CODES.get(why.reason, GENERAL_FAILURE)
    if isinstance(why, Rejected):
        return NOT_ALLOWED
    if isinstance(why, Unsupported):
        return ADDRESS_TYPE_NOT_SUPPORTED if why.reason == "address" else COMMAND_NOT_SUPPORTED
    return GENERAL_FAILURE


def error_for(code: int) -> DialError:
    """What a server's refusal means: a SOCKS5 code, or a SOCKS4 one."""
    reason, words = _REASONS.get(code, ("declined", "an unknown code"))
    return DialError(f"the SOCKS server answered {words} ({code})", reason=reason)
