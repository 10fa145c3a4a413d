from __future__ import annotations

import json
import logging
from pathlib import Path
from typing import Any

import pytest

from gproxy.observe.books import Traffic
from gproxy.rt.group import Group
from gproxy.schema.model import read
from gproxy.service import files
from gproxy.service.management import Management, ServiceWiring
from gproxy.service.ssm import SERVICE, cache
from gproxy.service.ssm.options import SsmApiOptions
from gproxy.service.ssm.service import SsmApi
from tests.support.pipe import pipe

pytestmark = pytest.mark.usefixtures("no_leaks")


def problem(password: str) -> str:
    return "" if password.startswith("key") else "no key"


class Case:
    """A service with two inbounds."""

    def __init__(self, path: Path | str = "") -> None:
        tree = {
            "type": "ssm-api", "listen_port": 1, "servers": {"/": "one", "/two/": "two"}, "cache_path": str(path),
        }  # fmt: skip
        options = read(SsmApiOptions, tree, (), [])
        assert options is not None
        self.management = Management({"one": problem, "two": problem})
        wiring = ServiceWiring("0", self.management, logging.getLogger("gproxy.test"))
        self.service: SsmApi = SERVICE.build(options, wiring)

    def ask(self, method: str, path: str, body: Any = None) -> tuple[int, bytes]:
        """The status and the body."""
        client, server = pipe()
        data = b"" if body is None else json.dumps(body).encode()
        with Group("test") as group:
            group.spawn(self._serve, server)
            head = f"{method} {path} HTTP/1.1\r\nHost: x\r\nContent-Length: {len(data)}\r\n\r\n"
            client.sendall(head.encode() + data)
            client.close_write()
            heard = b""
            while piece := client.recv():
                heard += piece
            assert group.join(30)
        client.close()
        head, _, answer = heard.partition(b"\r\n\r\n")
        return int(head.split()[1]), answer

    def _serve(self, server: Any) -> None:
        try:
            self.service.accept(server)
        finally:
            server.close()

    def add(self, name: str = "ada", prefix: str = "") -> int:
        return self.ask("POST", f"{prefix}/server/v1/users", {"username": name, "uPSK": f"key of {name}"})[0]


def test_each_path_has_its_inbound() -> None:
    case = Case()
    assert case.add("ada") == 201
    assert case.add("bob", "/two") == 201
    assert case.management.users("one") == {"ada": "key of ada"}
    assert case.management.users("two") == {"bob": "key of bob"}
    assert case.ask("GET", "/two/server/v1/users/ada")[0] == 404
    assert case.ask("GET", "/three/server/v1")[0] == 404
    assert case.ask("GET", "/server/v1/")[0] == 200


def test_a_name_of_any_letters() -> None:
    case = Case()
    assert case.ask("POST", "/server/v1/users", {"username": "Ada Ü?", "uPSK": "key"})[0] == 201
    status, body = case.ask("GET", "/server/v1/users/Ada%20%C3%9C%3F")
    assert (status, json.loads(body)["username"]) == (200, "Ada Ü?")


def test_users_are_saved_when_they_are_changed(tmp_path: Path) -> None:
    path = tmp_path / "users.json"
    case = Case(path)
    for method, where, body, left in (
        ("POST", "users", {"username": "ada", "uPSK": "key 1"}, {"ada": "key 1"}),
        ("PUT", "users/ada", {"uPSK": "key 2"}, {"ada": "key 2"}),
        ("DELETE", "users/ada", None, {}),
    ):
        assert case.ask(method, f"/server/v1/{where}", body)[0] in {201, 204}
        assert cache.read(path)["/"].users == left


def test_what_was_saved_is_taken_up(tmp_path: Path) -> None:
    path = tmp_path / "users.json"
    before = Case(path)
    before.add("ada")
    before.add("bob", "/two")
    before.add("eve")
    before.management.books.add([["one", "ada", 1, 2, 3, 4, 5, 6], ["one", "eve", 10, 0, 0, 0, 1, 0]])
    before.ask("DELETE", "/server/v1/users/eve")
    before.service.save()
    after = Case(path)
    after.service.load(["one", "two"])
    assert after.management.users("one") == {"ada": "key of ada"}
    assert after.management.users("two") == {"bob": "key of bob"}
    assert after.management.books.of("one", "ada") == Traffic(1, 2, 3, 4, 5, 6)
    assert after.management.books.total("one") == Traffic(11, 2, 3, 4, 6, 6)
    assert after.ask("GET", "/server/v1/stats") == before.ask("GET", "/server/v1/stats")


def test_only_what_nobody_else_knows_is_taken_up(tmp_path: Path) -> None:
    path = tmp_path / "users.json"
    before = Case(path)
    before.add("ada")
    before.add("bob", "/two")
    before.management.books.add([["one", "ada", 1, 0, 0, 0, 0, 0], ["two", "bob", 1, 0, 0, 0, 0, 0]])
    before.service.save()
    after = Case(path)
    after.management.inherit("one", {"ada": "key of now", "new": "key"})
    after.service.load(["one"])
    assert after.management.users("one") == {"ada": "key of now", "new": "key"}, "others know better"
    assert after.management.books.of("one", "ada") == Traffic(up=1)
    assert not after.management.known("two")
    assert after.management.books.total("two") == Traffic()


def test_keys_of_another_method_are_left_out(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    path = tmp_path / "users.json"
    users = {"ada": "key of ada", "bob": "something else"}
    files.write(path, cache.encode({"/": cache.Saved(users, {"bob": Traffic(up=1)}, Traffic(up=1))}))
    case = Case(path)
    case.service.load(["one"])
    assert case.management.users("one") == {"ada": "key of ada"}
    assert "user bob of one is left out: no key" in caplog.text
    assert "something else" not in caplog.text
    assert case.management.books.total("one") == Traffic(up=1), "what was moved was moved"


def test_a_damaged_file_is_put_aside(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    path = tmp_path / "users.json"
    path.write_text("{")
    case = Case(path)
    case.service.load(["one", "two"])
    assert "is kept as" in caplog.text
    assert case.add() == 201
    assert cache.read(path)["/"].users == {"ada": "key of ada"}
    assert (tmp_path / "users.json.damaged").read_text() == "{"


def test_no_right_to_the_file(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    path = tmp_path / "folder"
    path.mkdir()
    case = Case(path)
    case.service.load(["one"])
    assert "can't read" in caplog.text
    assert case.add() == 201, "it goes on without"
    assert "can't save users" in caplog.text


def test_without_a_file_nothing_is_saved(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    case = Case()
    case.service.load(["one"])
    assert case.add() == 201
    case.service.save()
    assert list(tmp_path.iterdir()) == []


def test_what_has_not_changed_is_not_written(tmp_path: Path) -> None:
    path = tmp_path / "users.json"
    case = Case(path)
    case.add()
    before = path.stat().st_ino
    case.service.save()
    assert path.stat().st_ino == before
    case.management.books.add([["one", "ada", 1, 0, 0, 0, 0, 0]])
    case.service.save()
    assert path.stat().st_ino != before


def test_while_another_process_takes_over(tmp_path: Path) -> None:
    """All is saved before, and nothing is changed or written after."""
    path = tmp_path / "users.json"
    case = Case(path)
    case.add()
    case.management.books.add([["one", "ada", 1, 0, 0, 0, 0, 0]])
    case.service.hold()
    assert cache.read(path)["/"].traffic["ada"] == Traffic(up=1)
    path.unlink()
    assert case.add("bob") == 503
    assert case.ask("GET", "/server/v1/stats?clear=true")[0] == 503
    assert case.ask("GET", "/server/v1/users")[0] == 200, "reading does no harm"
    case.management.books.add([["one", "ada", 1, 0, 0, 0, 0, 0]])
    case.service.save()
    assert not path.exists()
    case.service.go_on()
    assert case.add("bob") == 201
    assert cache.read(path)["/"].users == {"ada": "key of ada", "bob": "key of bob"}
