"""The taxonomy of failures.

Each class owns a *status* word, which is the word in the log line and the label in the metrics, and a *blame*: whose
doing it was. Foreign exceptions are mapped to these once, in the room that calls the library, and never told apart by
their text.
"""

from __future__ import annotations

from typing import ClassVar, Literal

Blame = Literal["operator", "client", "peer", "upstream", "policy", "self", "either"]


class GproxyError(Exception):
    """A failure that gproxy understands. `status` and `blame` belong to the class, `reason` refines the status."""

    status: ClassVar[str] = "error"
    blame: ClassVar[Blame] = "self"

    def __init__(self, message: str = "", *, reason: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.reason = reason

    @property
    def word(self) -> str:
        """The status word with its reason: `dial-refused`, `auth`, `closed-eof`."""
        return f"{self.status}-{self.reason}" if self.reason else self.status

    def __str__(self) -> str:
        return self.message or self.word


class ConfigError(GproxyError):
    """The configuration can't be used. The report that explains it is made by gproxy.config."""

    status = "config"
    blame = "operator"


class ProtocolError(GproxyError):
    """The other side broke the protocol."""

    status = "protocol"
    blame = "client"


class AuthError(ProtocolError):
    """Credentials are missing or wrong."""

    status = "auth"


class ReplayError(ProtocolError):
    """A handshake that was seen before."""

    status = "replay"


class TooLarge(ProtocolError):
    """A message larger than its limit."""

    status = "limit"


class Unsupported(ProtocolError):
    """A well-formed request for something that this server does not do."""

    status = "unsupported"


DialReason = Literal[
    "dns", "refused", "unreachable", "timeout", "declined", "failed", "breaker", "tls",
    "tls-expired", "tls-not-yet", "tls-self-signed", "tls-untrusted", "tls-name", "tls-purpose", "tls-revoked",
    "tls-staple", "tls-pin", "tls-certificate",
]  # fmt: skip


class DialError(GproxyError):
    """The way to the target could not be opened: `reason` says at which step."""

    status = "dial"
    blame = "upstream"

    def __init__(self, message: str = "", *, reason: DialReason = "failed") -> None:
        super().__init__(message, reason=reason)


class Rejected(GproxyError):
    """A rule refused the session. `drop` asks for silence instead of a reply."""

    status = "rejected"
    blame = "policy"

    def __init__(self, message: str = "", *, drop: bool = False) -> None:
        super().__init__(message)
        self.drop = drop


class Denied(Rejected):
    """A client is not let in, or a target is not to be reached through gproxy: `reason` says by what."""

    status = "denied"

    def __init__(self, message: str = "", *, reason: Literal["address", "ban", "target"] = "address") -> None:
        super().__init__(message)
        self.reason = reason


LimitReason = Literal["connections", "rate", "sessions", "handshakes", "sources"]


class Limited(Rejected):
    """A configured limit refused the session: `reason` says which kind."""

    status = "limited"

    def __init__(self, message: str = "", *, reason: LimitReason = "connections") -> None:
        super().__init__(message)
        self.reason = reason


class Overloaded(GproxyError):
    """A limit of this server is reached."""

    status = "overload"
    blame = "self"


CloseReason = Literal[
    "eof", "reset", "timeout", "local", "idle", "killed", "drained", "pressure", "corrupt", "truncated"
]

ASKED: frozenset[str] = frozenset({"idle", "killed", "drained", "pressure"})
"""The reasons that come from outside the session: no side of it is to blame."""


class StreamClosed(GproxyError):
    """The stream or packet connection is over, by either side, and was not asked to end in order."""

    status = "closed"
    blame = "either"

    def __init__(self, message: str = "", *, reason: CloseReason = "reset") -> None:
        super().__init__(message, reason=reason)
