"""What an authority says: JSON documents as values (RFC 8555 section 7.1, RFC 9773 for renewal information).

Whatever is missing or of another type is an answer that can't be used: ValueError, which says what was expected.
"""

from __future__ import annotations

import datetime
import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final
from urllib.parse import urlsplit

_MOST: Final = 200  # members of any list
_LONGEST: Final = 300  # characters of an explanation that are told

KINDS: Final = ("http-01", "tls-alpn-01", "dns-01")
"""The challenges that are known here."""

Table = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Directory:
    """Where things are. `renewal_info` is empty where the authority has none."""

    new_nonce: str
    new_account: str
    new_order: str
    renewal_info: str
    external: bool  # accounts must be bound to one elsewhere
    profiles: tuple[str, ...]

    @classmethod
    def read(cls, body: bytes) -> Directory:
        """Raises ValueError."""
        table = table_of(body)
        meta = table.get("meta")
        meta = meta if isinstance(meta, dict) else {}
        profiles = meta.get("profiles")
        return cls(
            _url(table, "newNonce"), _url(table, "newAccount"), _url(table, "newOrder"),
            _url(table, "renewalInfo") if "renewalInfo" in table else "",
            meta.get("externalAccountRequired") is True,
            tuple(map(str, profiles)) if isinstance(profiles, dict) else (),
        )  # fmt: skip


@dataclass(frozen=True, slots=True)
class Problem:
    """An error (RFC 7807). `kind` is the last part of its type, such as `badNonce`; `detail` is safe to print."""

    kind: str
    detail: str

    @classmethod
    def of(cls, value: object) -> Problem:
        """Of any value: what is no problem document has no kind."""
        table = value if isinstance(value, dict) else {}
        kind = str(table.get("type", "")).rpartition(":")[2]
        detail = str(table.get("detail", ""))
        subs = table.get("subproblems")
        if isinstance(subs, list) and subs and isinstance(subs[0], dict):
            detail += f" ({subs[0].get('detail', '')})"
        return cls(printable(kind)[:40], printable(detail)[:_LONGEST])

    @classmethod
    def read(cls, body: bytes) -> Problem:
        """Of a body, whatever it is."""
        try:
            return cls.of(table_of(body))
        except ValueError:
            return cls("", "")

    def __str__(self) -> str:
        return ": ".join(part for part in (self.kind, self.detail) if part) or "no reason given"


@dataclass(frozen=True, slots=True)
class Order:
    """What was ordered, and how far it has come."""

    status: str
    authorizations: tuple[str, ...]
    finalize: str
    certificate: str
    problem: Problem

    @classmethod
    def read(cls, body: bytes) -> Order:
        """Raises ValueError."""
        table = table_of(body)
        authorizations = tuple(as_url(each, "authorizations") for each in _list(table, "authorizations"))
        certificate = _url(table, "certificate") if table.get("certificate") else ""
        return cls(
            _text(table, "status"), authorizations, _url(table, "finalize"), certificate, Problem.of(table.get("error"))
        )


@dataclass(frozen=True, slots=True)
class Challenge:
    """One way to prove something."""

    kind: str
    url: str
    token: str
    status: str
    problem: Problem


@dataclass(frozen=True, slots=True)
class Authorization:
    """What is to be proved of one name, and in which ways it may be."""

    status: str
    kind: str  # dns or ip
    name: str
    challenges: Mapping[str, Challenge]  # those that are known here

    @classmethod
    def read(cls, body: bytes) -> Authorization:
        """Raises ValueError."""
        table = table_of(body)
        identifier = table.get("identifier")
        if not isinstance(identifier, dict):
            raise ValueError("expected an identifier")  # noqa: TRY004 - it is what the other side sent
        challenges = {}
        for each in _list(table, "challenges"):
            if isinstance(each, dict) and each.get("type") in KINDS:
                kind = _text(each, "type")
                challenges[kind] = Challenge(
                    kind, _url(each, "url"), _token(each), _text(each, "status"), Problem.of(each.get("error"))
                )
        return cls(_text(table, "status"), _text(identifier, "type"), _text(identifier, "value"), challenges)

    def problem(self) -> Problem:
        """Why it is invalid."""
        failed = [each.problem for each in self.challenges.values() if each.status == "invalid"]
        return failed[0] if failed else Problem("", "")


@dataclass(frozen=True, slots=True)
class Window:
    """When a certificate should be renewed, in seconds since the epoch."""

    start: float
    end: float

    @classmethod
    def read(cls, body: bytes) -> Window:
        """Raises ValueError."""
        window = table_of(body).get("suggestedWindow")
        if not isinstance(window, dict):
            raise ValueError("expected a suggestedWindow")  # noqa: TRY004 - as above
        start, end = (_moment(_text(window, key)) for key in ("start", "end"))
        if end < start:
            raise ValueError("a window that ends before it begins")
        return cls(start, end)


def table_of(body: bytes) -> dict[str, Any]:
    """A JSON object. Raises ValueError."""
    try:
        value = json.loads(body)
    except RecursionError as error:
        raise ValueError("too deep") from error
    except ValueError as error:
        raise ValueError("expected JSON") from error
    if not isinstance(value, dict):
        raise ValueError("expected a JSON object")  # noqa: TRY004 - it is what the other side sent
    return value


def printable(text: str) -> str:
    """What others say, safe for a line of the log."""
    return "".join(character if character.isprintable() else " " for character in text)


def _moment(text: str) -> float:
    moment = datetime.datetime.fromisoformat(text)
    if moment.tzinfo is None:
        raise ValueError("a moment without its zone")
    return moment.timestamp()


def _text(table: Table, key: str) -> str:
    value = table.get(key)
    if not isinstance(value, str) or not value:
        raise ValueError(f"expected text in {key}")
    return value


def _url(table: Table, key: str) -> str:
    return as_url(table.get(key), key)


def as_url(value: object, key: str) -> str:
    """An https URL that can stand in a request. Raises ValueError."""
    if not isinstance(value, str) or not value.isascii() or not value.isprintable() or " " in value:
        raise ValueError(f"expected a URL in {key}")
    if urlsplit(value).scheme != "https":
        raise ValueError(f"expected an https URL in {key}")
    return value


def _list(table: Table, key: str) -> list[Any]:
    value = table.get(key)
    if not isinstance(value, list) or len(value) > _MOST:
        raise ValueError(f"expected a list in {key}")
    return value


def _token(table: Table) -> str:
    """It becomes part of a path and of a record: nothing but base64url (RFC 8555 section 8.3)."""
    token = _text(table, "token")
    if not token.isascii() or not token.replace("-", "").replace("_", "").isalnum() or len(token) > 256:
        raise ValueError("expected a token in base64url")
    return token
