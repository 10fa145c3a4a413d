"""The files of an authority's accounts and certificates.

    FOLDER/AUTHORITY/account-HASH.json     {"url": …, "key": PEM}
    FOLDER/AUTHORITY/NAME-HASH.pem         the private key, and the chain behind it
    FOLDER/AUTHORITY/NAME-HASH.json        {"failures": 2, "tried": 1700000000.0, "wait": 240.0}: what has failed since

Each is replaced as a whole, and is readable for its owner alone. HASH is made of what must be the same for the file to
be of use: other options make another file.
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from hashlib import sha256
from pathlib import Path
from typing import Any, Final
from urllib.parse import urlsplit

from gproxy.base.clock import wall
from gproxy.schema.acme import Acme, AcmeProvider
from gproxy.service.acme.answers import table_of
from gproxy.service.acme.certificates import Issued
from gproxy.service.acme.jws import Key
from gproxy.service.files import state_folder, write

_BEGIN: Final = b"-----BEGIN CERTIFICATE-----"
_MOST: Final = 1 << 20  # bytes of a file
_LONGEST: Final = 100  # characters of a name: systems don't take all that DNS does


@dataclass(frozen=True, slots=True)
class Failures:
    """How often an order has failed in a row, when the last time, and how long to wait from then on, in seconds."""

    failures: int = 0
    tried: float = 0.0
    wait: float = 0.0


class Store:
    """The files of one provider's certificate."""

    def __init__(self, options: Acme) -> None:
        root = Path(options.data_directory) if options.data_directory else state_folder() / "acme"
        own = options if isinstance(options, AcmeProvider) else None
        directory, names = options.directory(), options.names()
        bound = options.external_account.key_id if options.external_account else ""
        given = own.account_key.reveal() if own else ""
        parts = urlsplit(directory)
        self._folder = root / (parts.hostname or "authority")
        self._names = names
        account = _hash(directory, options.email, bound, given)
        what = _hash(directory, *sorted(names), own.key_type if own else "p256", own.profile if own else "")
        self._account = self._folder / f"account-{account}.json"
        name = names[0].replace("*", "_").replace(":", "_")[:_LONGEST]
        self._certificate = self._folder / f"{name}-{what}.pem"
        self._failures = self._certificate.with_suffix(".json")

    def __str__(self) -> str:
        return str(self._certificate)

    def certificate(self) -> Issued | None:
        """What was kept; None if there is nothing. Raises OSError, and ValueError for what can't be used."""
        text = _read(self._certificate)
        key, found, chain = text.partition(_BEGIN)
        return Issued.read(key, found + chain, self._names) if text else None

    def keep(self, issued: Issued) -> None:
        """Keep this one, in the place of the one before. Raises OSError."""
        write(self._certificate, issued.key + issued.chain)

    def account(self) -> tuple[Key, str] | None:
        """The account's key and its URL, if there is one. Raises OSError, and ValueError for what can't be used."""
        text = _read(self._account)
        if not text:
            return None
        table = table_of(text)
        return Key.read(str(table.get("key")).encode()), str(table.get("url", ""))

    def keep_account(self, key: Key, url: str) -> None:
        """Keep it. Raises OSError."""
        write(self._account, _json({"url": url, "key": key.pem().decode()}))

    def failures(self) -> Failures:
        """What has failed lately, as far as anybody knows."""
        try:
            table = table_of(_read(self._failures) or b"{}")
            found = Failures(int(table.get("failures", 0)), float(table.get("tried", 0)), float(table.get("wait", 0)))
        except (OSError, ValueError, TypeError, OverflowError):
            return Failures()
        return found if 0 <= found.tried <= wall() and found.wait >= 0 else Failures()

    def note(self, failures: Failures) -> None:
        """Remember it. Raises OSError."""
        if failures.failures:
            write(self._failures, _json(asdict(failures)))
        else:
            self._failures.unlink(missing_ok=True)


def _read(path: Path) -> bytes:
    try:
        with path.open("rb") as file:
            return file.read(_MOST)
    except FileNotFoundError:
        return b""


def _json(value: dict[str, Any]) -> bytes:
    return json.dumps(value, indent=2).encode() + b"\n"


def _hash(*parts: str) -> str:
    return sha256("\0".join(parts).encode()).hexdigest()[:12]
