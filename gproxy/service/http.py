"""HTTP for services: one request and one answer on a connection, in bounded time and space."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import Any, Final
from urllib.parse import parse_qs, unquote

from gproxy.base.errors import ProtocolError, StreamClosed, TooLarge, Unsupported
from gproxy.base.iface import Stream
from gproxy.net.body import read_body
from gproxy.net.buffered import Buffered
from gproxy.net.farewell import hear_out
from gproxy.rt.deadline import deadline
from gproxy.service.management import NOBODY, Peer
from gproxy.wire.http1 import MAX_HEAD, Fields, RequestHead, ResponseHead, check_host, decode_request

# How long a client may take for its request, and then for taking the answer, in seconds.
_PATIENCE: Final = 15.0

MOST: Final = 64 * 1024
"""Bytes of a request's body."""


@dataclass(frozen=True, slots=True)
class Request:
    """What is asked. `parts` are the decoded segments of the path; empty ones are left out."""

    method: str
    parts: list[str]
    query: dict[str, list[str]]
    body: bytes
    fields: Fields = field(default_factory=lambda: Fields([]))
    peer: Peer = NOBODY

    def json(self) -> dict[str, Any]:
        """The body as a JSON object. Raises ValueError."""
        try:
            value = json.loads(self.body)
        except (ValueError, RecursionError):
            value = None
        if isinstance(value, dict):
            return value
        raise ValueError("the body is not a JSON object")


@dataclass(frozen=True, slots=True)
class Answer:
    """A status, and the body if there is one."""

    status: int
    body: bytes = b""
    kind: str = "text/plain; charset=utf-8"
    allow: str = ""
    challenge: str = ""  # how to prove who one is

    @classmethod
    def of_json(cls, value: object) -> Answer:
        """200 with a JSON document."""
        return cls(
            200, json.dumps(value, separators=(",", ":"), ensure_ascii=False).encode() + b"\n", "application/json"
        )

    @classmethod
    def of_text(cls, status: int, text: str) -> Answer:
        """One line for people."""
        return cls(status, text.encode() + b"\n")

    def encode(self) -> bytes:
        """The response on the wire."""
        fields = Fields([])
        if self.body:
            fields.add(b"Content-Type", self.kind.encode())
            fields.add(b"Cache-Control", b"no-store")
        if self.allow:
            fields.add(b"Allow", self.allow.encode())
        if self.challenge:
            fields.add(b"WWW-Authenticate", self.challenge.encode())
        if self.status != HTTPStatus.NO_CONTENT:
            fields.add(b"Content-Length", b"%d" % len(self.body))
        fields.add(b"Connection", b"close")
        return ResponseHead(1, self.status, HTTPStatus(self.status).phrase.encode(), fields).encode() + self.body


def serve(stream: Stream, handle: Callable[[Request], Answer], peer: Peer = NOBODY) -> None:
    """Take one request and answer it. The caller closes the stream. Raises ProtocolError and StreamClosed.

    A browser says where a page comes from that makes it send a request (Origin). No page has business here, and one
    that could make its visitor's browser change something would need no answer: such requests are refused.
    """
    client = Buffered(stream)
    with deadline(_PATIENCE, ProtocolError("no HTTP request in time", reason="timeout")):
        try:
            head = client.decode(decode_request, MAX_HEAD)
            check_host(head)
            request = _request(head, read_body(client, head, MOST), peer)
        except ProtocolError as error:
            if error.reason not in {"empty", "truncated"}:
                _answer(stream, Answer.of_text(_status_of(error), str(error)))
            raise
    refused = head.fields.values(b"origin")
    _answer(stream, Answer.of_text(403, "not for web pages") if refused else handle(request))


def _answer(stream: Stream, answer: Answer) -> None:
    with deadline(_PATIENCE, StreamClosed("the answer is not taken", reason="timeout")):
        stream.sendall(answer.encode())
        hear_out(stream)


def _status_of(error: ProtocolError) -> int:
    if isinstance(error, TooLarge):
        return 413 if error.reason == "body" else 431
    return 501 if isinstance(error, Unsupported) else 400


def _request(head: RequestHead, body: bytes, peer: Peer) -> Request:
    target = head.target.decode("ascii")
    if not target.startswith("/"):
        raise ProtocolError("expected a path")
    path, _, query = target.partition("?")
    try:
        parts = [unquote(part, errors="strict") for part in path.split("/") if part]
    except UnicodeDecodeError as error:
        raise ProtocolError("a path that is not UTF-8") from error
    asked = parse_qs(query, keep_blank_values=True)
    return Request(head.method.decode("ascii"), parts, asked, body, head.fields, peer)
