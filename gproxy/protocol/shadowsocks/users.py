"""Who may use an inbound: its keys, ready to be tried."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

from gproxy.protocol.shadowsocks.wire.keys import key_hash, key_of_password, keys_of_password
from gproxy.protocol.shadowsocks.wire.methods import Method

# So many client addresses are remembered with their users, and so many users of each: a household, or a mobile
# operator's gateway.
_ADDRESSES = 65536
_USERS_EACH = 8


@dataclass(frozen=True, slots=True)
class Credential:
    """A key, and whose it is. `entry` is the destination that it stands for, in a relay."""

    name: str | None
    key: bytes
    entry: Any = None


class KeyRing:
    """The keys of one inbound. They can be replaced while it serves.

    With a 2022 method a client with a key of its own names it (SIP023). Otherwise keys are tried one after another,
    those first that were right for the same address before.
    """

    def __init__(self, method: Method, password: str, users: Iterable[tuple[str, str, Any]], *, several: bool) -> None:
        """`users`: name, password, and what a credential's `entry` shall be. `several`: there are or will be users."""
        self.method = method
        self.several = several
        self.version = 0
        self.key = b"" if several and method.kind != "2022" else self._key(password)
        self.only: Credential | None = None  # the one that there is, if there never are several
        self._all: tuple[Credential, ...] = ()
        self._by_hash: dict[bytes, Credential] = {}
        self._seen: OrderedDict[Any, tuple[Credential, ...]] = OrderedDict()
        if several:
            self.replace(users)
        else:
            self.only = Credential(None, self.key)
            self._all = (self.only,)

    def replace(self, users: Iterable[tuple[str, str, Any]]) -> None:
        """From now on these are the users."""
        self._all = tuple(Credential(name, self._key(password), entry) for name, password, entry in users)
        self._by_hash = {key_hash(credential.key): credential for credential in self._all}
        self._seen.clear()
        self.version += 1

    def _key(self, password: str) -> bytes:
        if self.method.kind == "2022":
            return keys_of_password(self.method, password)[0]
        return key_of_password(self.method, password)

    def named(self, name: bytes) -> Credential | None:
        """The credential that an identity header names."""
        return self._by_hash.get(name)

    def candidates(self, source: Any) -> Iterator[Credential]:
        """Every credential, those first that were right for this address before, the latest first."""
        seen = self._seen.get(source, ())
        yield from seen
        for credential in self._all:
            if credential not in seen:
                yield credential

    def remember(self, source: Any, credential: Credential) -> None:
        """This one was right for this address."""
        if len(self._all) == 1:
            return
        seen = self._seen.get(source, ())
        if not seen or seen[0] is not credential:
            others = (each for each in seen if each is not credential)
            self._seen[source] = (credential, *others)[:_USERS_EACH]
            if len(self._seen) > _ADDRESSES:
                self._seen.popitem(last=False)
        self._seen.move_to_end(source)
