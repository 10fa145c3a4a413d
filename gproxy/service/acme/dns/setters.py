"""Who sets a TXT record: acme-dns, Cloudflare, or a program."""

from __future__ import annotations

import json
import logging
import os
from collections.abc import Mapping
from typing import Any, Final, Protocol
from urllib.parse import quote

from gproxy.base.errors import GproxyError
from gproxy.rt.child import Child
from gproxy.rt.deadline import deadline
from gproxy.rt.group import Group
from gproxy.schema.acme import AcmeDns, Cloudflare, DnsChallenge, Exec
from gproxy.service.acme.answers import printable, table_of
from gproxy.service.acme.client import AcmeError
from gproxy.service.acme.web import Ask, Response

CLOUDFLARE: Final = "https://api.cloudflare.com/client/v4"
_AUTOMATIC: Final = 1  # Cloudflare's word for its own choice of a time to live
_JSON: Final = {"Content-Type": "application/json"}

# How long a program may take for one record, and for its end when that was too long, in seconds.
_PROGRAM: Final = 120.0
_LAST_WORDS: Final = 2.0
_SAID: Final = 500  # characters of its last words that are told


class Setter(Protocol):
    """Sets records. Both calls raise GproxyError."""

    def present(self, record: str, value: str) -> None:
        """Add a TXT record of this name, without an ending dot."""

    def cleanup(self, record: str, value: str) -> None:
        """Remove it."""


def setter(options: DnsChallenge, ask: Ask, log: logging.Logger) -> Setter:
    """The one that the options want."""
    if isinstance(options, AcmeDns):
        return ByAcmeDns(options, ask)
    if isinstance(options, Cloudflare):
        return ByCloudflare(options, ask)
    assert isinstance(options, Exec), "there is no fourth one"
    return ByProgram(options, log)


class ByAcmeDns:
    """A server that keeps the last two records of a subdomain, to which `_acme-challenge` is an alias."""

    def __init__(self, options: AcmeDns, ask: Ask) -> None:
        self._options = options
        self._ask = ask

    def present(self, record: str, value: str) -> None:
        """See Setter."""
        options = self._options
        body = json.dumps({"subdomain": options.subdomain, "txt": value}).encode()
        fields = {"X-Api-User": options.username, "X-Api-Key": options.password.reveal(), **_JSON}
        response = self._ask("POST", f"{options.server_url.rstrip('/')}/update", body, fields)
        if response.status != 200:
            raise AcmeError(f"acme-dns: it answers {response.status}{_reason(response)}")

    def cleanup(self, record: str, value: str) -> None:
        """See Setter: it forgets by itself."""


class ByCloudflare:
    """Cloudflare's API, version 4."""

    def __init__(self, options: Cloudflare, ask: Ask) -> None:
        self._options = options
        self._ask = ask
        self._set: dict[tuple[str, str], str] = {}  # where records are, by name and value

    def present(self, record: str, value: str) -> None:
        """See Setter."""
        place = f"{CLOUDFLARE}/zones/{self._zone(record)}/dns_records"
        new = {"type": "TXT", "name": record, "content": value, "ttl": int(self._options.ttl) or _AUTOMATIC}
        made = self._call("POST", place, self._options.api_token.reveal(), new)
        self._set[record, value] = f"{place}/{_id(made)}"

    def cleanup(self, record: str, value: str) -> None:
        """See Setter."""
        place = self._set.pop((record, value), "")
        if place:
            self._call("DELETE", place, self._options.api_token.reveal())

    def _zone(self, record: str) -> str:
        """The id of the zone that the record is in: the longest end of its name that is one."""
        token = (self._options.zone_token or self._options.api_token).reveal()
        labels = record.split(".")
        for first in range(len(labels) - 1):
            name = ".".join(labels[first:])
            found = self._call("GET", f"{CLOUDFLARE}/zones?name={quote(name)}", token)
            if isinstance(found, list) and found:
                return _id(found[0])
        raise AcmeError(f"Cloudflare: no zone of this token has {record}")

    def _call(self, method: str, url: str, token: str, new: Mapping[str, Any] | None = None) -> Any:
        body = b"" if new is None else json.dumps(new).encode()
        fields = {"Authorization": f"Bearer {token}", **(_JSON if body else {})}
        response = self._ask(method, url, body, fields)
        try:
            table = table_of(response.body)
        except ValueError as error:
            raise AcmeError(f"Cloudflare: it answers {response.status}") from error
        if table.get("success") is not True:
            raise AcmeError(f"Cloudflare: it answers {response.status}{_reason(response)}")
        return table.get("result")


def _id(value: Any) -> str:
    name = value.get("id") if isinstance(value, dict) else None
    if not isinstance(name, str) or not name.isalnum():
        raise AcmeError("Cloudflare: something without an id")
    return name


def _reason(response: Response) -> str:
    """What an answer says is wrong, if it says so as one of the two does."""
    try:
        table = table_of(response.body)
    except ValueError:
        return ""
    errors = table.get("errors")
    text = table.get("error")
    if isinstance(errors, list) and errors and isinstance(errors[0], dict):
        text = errors[0].get("message")
    return f": {printable(text)[:_SAID]}" if isinstance(text, str) and text else ""


class _Late(GproxyError):
    """A program takes too long."""


class ByProgram:
    """A program of the operator's, run once for each record and each end of one."""

    def __init__(self, options: Exec, log: logging.Logger) -> None:
        self._options = options
        self._log = log

    def present(self, record: str, value: str) -> None:
        """See Setter."""
        self._run("present", record, value)

    def cleanup(self, record: str, value: str) -> None:
        """See Setter."""
        self._run("cleanup", record, value)

    def _run(self, what: str, record: str, value: str) -> None:
        argv = [*self._options.command, what, record, value]
        environment = {"PATH": os.environ.get("PATH", os.defpath), "ACME_TTL": str(int(self._options.ttl))}
        try:
            child = Child(argv, environment)
        except OSError as error:
            raise AcmeError(f"{argv[0]} can't be started: {error.strerror}") from error
        end, said = _hear(child)
        if end != "exit status 0":
            words = " ".join(said.decode("utf-8", "replace").split())[-_SAID:]
            raise AcmeError(f"{argv[0]} {what}: {end}{f' ({printable(words)})' if words else ''}")
        self._log.debug("%s %s %s: done", argv[0], what, record)


def _hear(child: Child) -> tuple[str, bytes]:
    """How it ended, and what it said last."""
    said = bytearray()

    def listen() -> None:
        while data := child.read():
            said.extend(data)
            del said[:-_SAID]

    ended = ""
    try:
        with Group("program's words") as listener, deadline(_PROGRAM, _Late()):
            listener.spawn(listen)
            ended = child.wait()
    except _Late:
        ended = f"killed, since it took more than {_PROGRAM:g} s"
        child.end(_LAST_WORDS)
    except BaseException:
        child.end(_LAST_WORDS)
        raise
    finally:
        said += child.read_now()
        child.close()
    return ended, bytes(said)
