"""Who may use an HTTP inbound."""

from __future__ import annotations

from collections.abc import Iterable
from hmac import compare_digest

from gproxy.base.errors import AuthError
from gproxy.protocol.http.wire import decode_basic
from gproxy.schema.groups import User
from gproxy.wire.http1 import Fields


class Users:
    """Names with their passwords. A name may stand more than once, and then has several passwords."""

    __slots__ = ("_passwords",)

    def __init__(self, users: Iterable[User]) -> None:
        self._passwords: dict[bytes, list[bytes]] = {}
        for user in users:
            self._passwords.setdefault(user.username.encode(), []).append(user.password.reveal().encode())

    def identify(self, fields: Fields) -> str | None:
        """The user whose credentials are among the fields; None if there are no users, since then anybody may come.

        Raises AuthError, with the reason `missing` when the client has not tried. How long it takes tells nothing about
        a password.
        """
        if not self._passwords:
            return None
        given = fields.values(b"proxy-authorization")
        if not given:
            raise AuthError("no credentials", reason="missing")
        credentials = decode_basic(given[0]) if len(given) == 1 else None
        if credentials is None:
            raise AuthError("no Basic credentials")
        name, password = credentials
        right = [compare_digest(password, known) for known in self._passwords.get(name, (b"",))]
        if any(right) and name in self._passwords:
            return name.decode()
        raise AuthError("unknown user or wrong password")
