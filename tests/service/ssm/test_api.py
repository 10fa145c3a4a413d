from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from gproxy import __version__
from gproxy.service.http import Answer, Request
from gproxy.service.management import Management
from gproxy.service.ssm.api import Api
from tests.support.audit import AuditFile

ADA = ["in", "ada", 1, 2, 3, 4, 5, 6]
NOTHING = {
    "downlinkBytes": 0, "uplinkBytes": 0, "downlinkPackets": 0, "uplinkPackets": 0, "tcpSessions": 0, "udpSessions": 0,
}  # fmt: skip
ADAS = {
    "downlinkBytes": 2, "uplinkBytes": 1, "downlinkPackets": 4, "uplinkPackets": 3, "tcpSessions": 5, "udpSessions": 6,
}  # fmt: skip


class Asked:
    """An API of one inbound, with a user."""

    def __init__(self) -> None:
        self.management = Management({"in": lambda password: "" if len(password) > 1 else "expected a key"})
        self.management.replace("in", {"ada": "key of ada"})
        self.management.books.add([ADA])
        self._api = Api("in", self.management, "api")

    def __call__(self, method: str, path: str, body: Any = None, **query: str) -> Answer:
        data = body if isinstance(body, bytes) else b"" if body is None else json.dumps(body).encode()
        parts = [part for part in path.split("/") if part]
        request = Request(method, parts, {key: [value] for key, value in query.items()}, data)
        return self._api.answer(request, parts)

    def json(self, path: str, **query: str) -> Any:
        answer = self("GET", path, **query)
        assert (answer.status, answer.kind) == (200, "application/json")
        return json.loads(answer.body)

    @property
    def users(self) -> dict[str, str]:
        return dict(self.management.users("in"))


@pytest.fixture
def ask() -> Asked:
    return Asked()


def test_what_it_is(ask: Asked) -> None:
    assert ask.json("server/v1") == {"server": f"gproxy {__version__}", "apiVersion": "v1"}


def test_reading_users(ask: Asked) -> None:
    ada = {"username": "ada", "uPSK": "key of ada", **ADAS}
    assert ask.json("server/v1/users") == {"users": [ada]}
    assert ask.json("server/v1/users/ada") == ada


def test_adding_changing_removing(ask: Asked) -> None:
    assert ask("POST", "server/v1/users", {"username": "bob", "uPSK": "key of bob", "more": 1}) == Answer(201)
    assert ask.users == {"ada": "key of ada", "bob": "key of bob"}
    assert ask("PUT", "server/v1/users/bob", {"uPSK": "another"}) == Answer(204)
    assert ask.users == {"ada": "key of ada", "bob": "another"}
    assert ask("PUT", "server/v1/users/bob", {"uPSK": "another"}) == Answer(204), "the same again"
    assert ask("DELETE", "server/v1/users/ada") == Answer(204)
    assert ask.users == {"bob": "another"}
    assert ask.json("server/v1/users/bob") == {"username": "bob", "uPSK": "another", **NOTHING}


def test_statistics(ask: Asked) -> None:
    ask.management.replace("in", {"ada": "key of ada", "bob": "key of bob"})
    ask.management.books.add([["in", "bob", 10, 0, 0, 0, 0, 0]])
    bobs = {**NOTHING, "uplinkBytes": 10}
    both = [{"username": "ada", **ADAS}, {"username": "bob", **bobs}]
    assert ask.json("server/v1/stats") == {**ADAS, "uplinkBytes": 11, "users": both}
    ask("DELETE", "server/v1/users/ada")
    last = {**ADAS, "uplinkBytes": 11, "users": [{"username": "bob", **bobs}]}
    assert ask.json("server/v1/stats") == ask.json("server/v1/stats", clear="yes") == last
    assert ask.json("server/v1/stats", clear="true") == last
    assert ask.json("server/v1/stats") == {**NOTHING, "users": [{"username": "bob", **NOTHING}]}


@pytest.mark.parametrize(
    ("body", "words"),
    [
        (None, b"JSON object"),
        (b"{", b"JSON object"),
        ([], b"JSON object"),
        ({}, b"username: expected 1 to 255"),
        ({"username": "", "uPSK": "key"}, b"username: expected 1 to 255"),
        ({"username": "x" * 256, "uPSK": "key"}, b"username: expected 1 to 255"),
        ({"username": "a/b", "uPSK": "key"}, b"username: expected 1 to 255"),
        ({"username": 5, "uPSK": "key"}, b"username: expected text"),
        ({"username": "ada", "uPSK": "key"}, b"user ada already exists"),
        ({"username": "bob"}, b"uPSK: expected a key"),
        ({"username": "bob", "uPSK": "x"}, b"uPSK: expected a key"),
        ({"username": "bob", "uPSK": None}, b"uPSK: expected text"),
        ({"username": "bob", "uPSK": "key of ada"}, b"uPSK: another user has the same"),
    ],
)
def test_who_can_not_be_added(ask: Asked, body: Any, words: bytes) -> None:
    answer = ask("POST", "server/v1/users", body)
    assert answer.status == 400
    assert words in answer.body
    assert ask.users == {"ada": "key of ada"}


@pytest.mark.parametrize("body", [b"x", {"uPSK": ""}, {"uPSK": "x"}, {"uPSK": []}, {}])
def test_what_can_not_be_a_key(ask: Asked, body: Any) -> None:
    assert ask("PUT", "server/v1/users/ada", body).status == 400
    assert ask.users == {"ada": "key of ada"}


@pytest.mark.parametrize("method", ["GET", "PUT", "DELETE"])
def test_nobody_of_that_name(ask: Asked, method: str) -> None:
    assert ask(method, "server/v1/users/eve", {"uPSK": "key"}).status == 404


@pytest.mark.parametrize("path", ["", "server", "server/v2", "server/v1/nothing", "server/v1/users/ada/x", "v1/users"])
def test_nothing_is_there(ask: Asked, path: str) -> None:
    assert ask("GET", path).status == 404


@pytest.mark.parametrize(
    ("method", "path", "allow"),
    [
        ("POST", "server/v1", "GET"),
        ("DELETE", "server/v1/users", "GET, POST"),
        ("POST", "server/v1/users/ada", "GET, PUT, DELETE"),
        ("HEAD", "server/v1/stats", "GET"),
    ],
)
def test_not_by_that_method(ask: Asked, method: str, path: str, allow: str) -> None:
    assert ask(method, path) == Answer(405, allow=allow)
    assert b"\r\nAllow: " + allow.encode() + b"\r\n" in ask(method, path).encode()


def test_what_is_changed_stands_in_the_audit_log(ask: Asked, tmp_path: Path) -> None:
    log = AuditFile(tmp_path)
    with log.open():
        ask("POST", "server/v1/users", {"username": "bob", "uPSK": "key of bob"})
        ask("POST", "server/v1/users", {"username": "eve", "uPSK": "x"})
        ask("PUT", "server/v1/users/ada", {"uPSK": "a new key"})
        ask("PUT", "server/v1/users/nobody", {"uPSK": "a new key"})
        ask("DELETE", "server/v1/users/ada")
        ask("GET", "server/v1/users")
        ask("GET", "server/v1/stats")
        ask("GET", "server/v1/stats", clear="true")
    facts = [(each["event"], each["result"], each.get("user"), each.get("detail")) for each in log.events()]
    assert facts == [
        ("user-add", "ok", "bob", None), ("user-add", "refused", "eve", "uPSK: expected a key"),
        ("user-change", "ok", "ada", None), ("user-remove", "ok", "ada", None), ("stats-clear", "ok", None, None),
    ]  # fmt: skip
    assert {(each["by"], each["inbound"], each["service"]) for each in log.events()} == {("api", "in", "api")}
    assert "key of" not in log.path.read_text()
    assert "new key" not in log.path.read_text()
