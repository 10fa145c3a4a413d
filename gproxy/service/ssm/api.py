"""What is answered to whom. Paths, fields and codes are those of sing-box 1.14.

    GET    /server/v1                  {"server", "apiVersion"}
    GET    /server/v1/users            {"users": [user, …]}
    POST   /server/v1/users            {"username", "uPSK"} → 201; 400 for one that is there or can't be
    GET    /server/v1/users/NAME       user; 404
    PUT    /server/v1/users/NAME       {"uPSK"} → 204; 404
    DELETE /server/v1/users/NAME       204; 404
    GET    /server/v1/stats            the totals, and {"users": [user without its key, …]}; ?clear=true begins anew

A user is {"username", "uPSK", "downlinkBytes", "uplinkBytes", "downlinkPackets", "uplinkPackets", "tcpSessions",
"udpSessions"}. What is wrong is answered with one line of text.
"""

from __future__ import annotations

from http import HTTPStatus
from typing import Any

from gproxy import __version__
from gproxy.observe import audit
from gproxy.observe.books import Traffic
from gproxy.observe.events import Event
from gproxy.service.http import Answer, Request
from gproxy.service.management import Management

_PREFIX = ["server", "v1"]
_LONGEST_NAME = 255


class Api:
    """The API of one inbound."""

    def __init__(self, inbound: str, management: Management, service: str = "") -> None:
        """`service` is its name in the audit log."""
        self._inbound = inbound
        self._management = management
        self._service = service

    def answer(self, request: Request, parts: list[str]) -> Answer:
        """Obey. `parts` are those of the path behind the configured one."""
        method = request.method
        match parts[2:] if parts[:2] == _PREFIX else None:
            case []:
                return self._info() if method == "GET" else _only("GET")
            case ["users"] if method == "POST":
                return self._add(request)
            case ["users"]:
                return self._list() if method == "GET" else _only("GET, POST")
            case ["users", name]:
                return self._user(request, name)
            case ["stats"]:
                return self._stats(request) if method == "GET" else _only("GET")
        return Answer.of_text(404, "there is nothing here")

    @staticmethod
    def _info() -> Answer:
        return Answer.of_json({"server": f"gproxy {__version__}", "apiVersion": "v1"})

    def _list(self) -> Answer:
        users = self._management.users(self._inbound)
        return Answer.of_json({"users": [self._shown(name, password) for name, password in users.items()]})

    def _add(self, request: Request) -> Answer:
        try:
            values = request.json()
            name, password = _text(values, "username"), _text(values, "uPSK")
        except ValueError as error:
            return Answer.of_text(400, str(error))
        if not name or len(name) > _LONGEST_NAME or "/" in name:
            return Answer.of_text(400, f"username: expected 1 to {_LONGEST_NAME} characters, without a slash")
        if name in self._management.users(self._inbound):
            return Answer.of_text(400, f"user {name} already exists")
        return self._told(request, "user-add", name, self._set(name, password, Answer(201)))

    def _user(self, request: Request, name: str) -> Answer:
        users = self._management.users(self._inbound)
        if request.method not in {"GET", "PUT", "DELETE"}:
            return _only("GET, PUT, DELETE")
        if name not in users:
            return Answer.of_text(404, "no such user")
        if request.method == "GET":
            return Answer.of_json(self._shown(name, users[name]))
        if request.method == "DELETE":
            self._management.replace(self._inbound, {each: users[each] for each in users if each != name})
            return self._told(request, "user-remove", name, Answer(204))
        try:
            password = _text(request.json(), "uPSK")
        except ValueError as error:
            return Answer.of_text(400, str(error))
        return self._told(request, "user-change", name, self._set(name, password, Answer(204)))

    def _set(self, name: str, password: str, done: Answer) -> Answer:
        users = self._management.users(self._inbound)
        if problem := self._management.problem(self._inbound, password):
            return Answer.of_text(400, f"uPSK: {problem}")
        if any(password == other for each, other in users.items() if each != name):
            return Answer.of_text(400, "uPSK: another user has the same")  # nobody could tell them apart
        self._management.replace(self._inbound, {**users, name: password})
        return done

    def _stats(self, request: Request) -> Answer:
        books = self._management.books
        users = [self._shown(name) for name in self._management.users(self._inbound)]
        answer = Answer.of_json({**_fields(books.total(self._inbound)), "users": users})
        if request.query.get("clear") == ["true"]:
            self._management.clear(self._inbound)
            return self._told(request, "stats-clear", "", answer)
        return answer

    def _told(self, request: Request, event: str, user: str, answer: Answer) -> Answer:
        """The answer, when it stands in the audit log."""
        if audit.wanted():
            done, peer = answer.status < HTTPStatus.BAD_REQUEST, request.peer
            audit.write(
                Event(
                    event, "ok" if done else "refused", "api", peer.uid, peer.pid, peer.source, inbound=self._inbound,
                    service=self._service, user=user, detail="" if done else answer.body.decode().strip(),
                )
            )  # fmt: skip
        return answer

    def _shown(self, name: str, password: str = "") -> dict[str, Any]:
        key = {"uPSK": password} if password else {}
        return {"username": name, **key, **_fields(self._management.books.of(self._inbound, name))}


def _only(methods: str) -> Answer:
    return Answer(405, allow=methods)


def _text(values: dict[str, Any], key: str) -> str:
    value = values.get(key, "")
    if isinstance(value, str):
        return value
    raise ValueError(f"{key}: expected text")


def _fields(traffic: Traffic) -> dict[str, int]:
    return {
        "downlinkBytes": traffic.down,
        "uplinkBytes": traffic.up,
        "downlinkPackets": traffic.down_packets,
        "uplinkPackets": traffic.up_packets,
        "tcpSessions": traffic.tcp,
        "udpSessions": traffic.udp,
    }
