"""Who may use an inbound: the keys of its users, ready to be asked for."""

from __future__ import annotations

import os
from collections.abc import Iterable
from hashlib import blake2b
from hmac import compare_digest

from gproxy.protocol.trojan.wire import KEY_SIZE, key_of


class Users:
    """The users by their keys.

    They are found by a keyed hash of what a client says. So how long the search takes tells nothing about a key:
    whoever doesn't know the hash's key can't aim at one. What is found is confirmed in constant time.
    """

    __slots__ = ("_by_digest", "_secret")

    def __init__(self, users: Iterable[tuple[str, str]]) -> None:
        """`users`: names and passwords."""
        self._secret = os.urandom(32)
        self._by_digest = {self._digest(key): (key, name) for name, key in ((name, key_of(pw)) for name, pw in users)}

    def _digest(self, key: bytes) -> bytes:
        return blake2b(key, key=self._secret, digest_size=32).digest()  # a fifth of what an HMAC costs

    def find(self, key: bytes) -> str | None:
        """The name of the user whose key this is, or None."""
        known, name = self._by_digest.get(self._digest(key), _NOBODY)
        return name if compare_digest(key, known) else None


_NOBODY = (bytes(KEY_SIZE), None)
