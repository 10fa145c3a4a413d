"""Who may use an inbound: the `users` option, ready to be asked."""

from __future__ import annotations

from collections.abc import Iterable
from hmac import compare_digest

from gproxy.schema.groups import User


class Users:
    """Names with their passwords. A name may stand more than once, and then has several passwords."""

    __slots__ = ("_passwords",)

    def __init__(self, users: Iterable[User]) -> None:
        self._passwords: dict[bytes, list[bytes]] = {}
        for user in users:
            self._passwords.setdefault(user.username.encode(), []).append(user.password.reveal().encode())

    def __bool__(self) -> bool:
        return bool(self._passwords)

    def verify(self, name: bytes, password: bytes) -> str | None:
        """The user whose name and password these are, or None. How long it takes tells nothing about the password."""
        right = [compare_digest(password, known) for known in self._passwords.get(name, (b"",))]
        return name.decode() if any(right) and name in self._passwords else None
