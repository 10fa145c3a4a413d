"""Who may use an HTTP inbound: Basic credentials, RFC 7617."""

from __future__ import annotations

from gproxy.base.errors import AuthError
from gproxy.protocol.http.wire import decode_basic
from gproxy.schema.users import Users
from gproxy.wire.http1 import Fields


def identify(users: Users, fields: Fields) -> str | None:
    """The user whose credentials are among the fields; None if there are no users, since then anybody may come.

    Raises AuthError, with the reason `missing` when the client has not tried.
    """
    if not users:
        return None
    given = fields.values(b"proxy-authorization")
    if not given:
        raise AuthError("no credentials", reason="missing")
    credentials = decode_basic(given[0]) if len(given) == 1 else None
    if credentials is None:
        raise AuthError("no Basic credentials")
    user = users.verify(*credentials)
    if user is None:
        raise AuthError("unknown user or wrong password")
    return user
