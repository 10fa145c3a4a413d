"""The control socket, in a loop of the test's own, asked by friends and by others."""

from __future__ import annotations

import contextlib
import json
import os
import selectors
import socket
import threading
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from gproxy.proc import admin
from gproxy.proc.admin import AdminServer, Request, ask, default_path


class Loop:
    """Runs a server until told to stop, in a thread; remembers what was asked."""

    def __init__(self, path: str) -> None:
        self.selector = selectors.DefaultSelector()
        self.server = AdminServer(self.selector, self.obey)
        self.requests: list[Request] = []
        self.path = path
        self.late = False
        self._stop_read, self._stop_write = os.pipe()
        self._over = False
        self.selector.register(self._stop_read, selectors.EVENT_READ, self._end)
        self._thread = threading.Thread(target=self._run)

    def start(self) -> Loop:
        self.server.listen(self.path)
        self._thread.start()
        return self

    def obey(self, request: Request) -> None:
        self.requests.append(request)
        if not self.late:
            request.answer(ok=True, you_said=request.values)

    def _end(self) -> None:
        self._over = True

    def _run(self) -> None:
        while not self._over:
            for key, _ in self.selector.select():
                key.data()

    def stop(self) -> None:
        os.write(self._stop_write, b"x")
        self._thread.join()
        self.server.close()
        for key in list(self.selector.get_map().values()):
            if isinstance(key.fileobj, socket.socket):
                key.fileobj.close()
        self.selector.close()
        os.close(self._stop_read)
        os.close(self._stop_write)


@pytest.fixture
def loop(tmp_path: Path) -> Iterator[Loop]:
    loop = Loop(str(tmp_path / "new/control.sock")).start()
    yield loop
    loop.stop()


def client(loop: Loop) -> socket.socket:
    sock = socket.socket(socket.AF_UNIX)
    sock.connect(loop.path)
    sock.settimeout(30)
    return sock


def heard(sock: socket.socket) -> Any:
    with sock, sock.makefile() as file:
        return json.loads(file.read())


def test_a_question_and_its_answer(loop: Loop) -> None:
    assert ask(loop.path, 5, ask="status") == {"ok": True, "you_said": {"ask": "status"}}


def test_an_answer_may_come_later(loop: Loop) -> None:
    loop.late = True
    with ExitStack() as stack:
        first, second = (stack.enter_context(client(loop)) for _ in range(2))
        for number, sock in enumerate((first, second)):
            sock.sendall(b'{"n": %d}\n' % number)
        while len(loop.requests) < 2:
            pass
        for request in reversed(loop.requests):
            request.answer(n=request.values["n"])
        assert (heard(first), heard(second)) == ({"n": 0}, {"n": 1})


def test_a_client_that_has_gone_harms_nobody(loop: Loop) -> None:
    loop.late = True
    with client(loop) as sock:
        sock.sendall(b"{}\n")
        while not loop.requests:
            pass
    loop.requests[0].answer(ok=True, long="x" * 1_000_000)


@pytest.mark.parametrize(
    "text",
    [
        b"\n",
        b"no json\n",
        b"[]\n",
        b"1\n",
        b'"status"\n',
        b"\xff\n",
        b"[" * 4000 + b"\n",
        b"x" * 65535 + b"\n",
    ],
)
def test_what_is_no_question(text: bytes, loop: Loop) -> None:
    sock = client(loop)
    sock.sendall(text)
    assert heard(sock) == {"ok": False, "error": "not a JSON object"}
    assert loop.requests == []
    assert ask(loop.path, 5)["ok"]


def test_a_question_that_is_too_long(loop: Loop) -> None:
    sock = client(loop)
    sock.sendall(b"\0" * 65536)
    assert heard(sock) == {"ok": False, "error": "a request has less than 65536 bytes"}
    assert loop.requests == []
    assert ask(loop.path, 5, long="x" * 60_000)["ok"]


def test_more_than_a_question(loop: Loop) -> None:
    """It is cut off; with what it still had to say unread, that may come as a reset."""
    with client(loop) as sock, contextlib.suppress(ConnectionError):
        sock.sendall(b"x" * 1_000_000)
        while sock.recv(100):
            pass
    assert loop.requests == []
    assert ask(loop.path, 5)["ok"]


def test_nothing_and_then_the_end(loop: Loop) -> None:
    sock = client(loop)
    sock.shutdown(socket.SHUT_WR)
    assert heard(sock)["ok"] is False


def test_a_question_in_pieces(loop: Loop) -> None:
    sock = client(loop)
    for octet in b'{"ask": "x"}\n':
        sock.sendall(bytes([octet]))
    assert heard(sock)["you_said"] == {"ask": "x"}


def test_a_line_end_is_not_needed_at_the_end(loop: Loop) -> None:
    sock = client(loop)
    sock.sendall(b'{"ask": "x"}')
    sock.shutdown(socket.SHUT_WR)
    assert heard(sock)["you_said"] == {"ask": "x"}


def test_the_silent_keep_nobody_out(loop: Loop) -> None:
    with ExitStack() as stack:
        silent = [stack.enter_context(client(loop)) for _ in range(100)]
        assert [sock.recv(1) for sock in silent[:68]] == [b""] * 68, "the oldest had to go"
        assert ask(loop.path, 5)["ok"]
        silent[-1].sendall(b"{}\n")
        assert silent[-1].recv(1) == b"{"


def test_it_is_for_its_owner_alone(loop: Loop) -> None:
    assert Path(loop.path).stat().st_mode & 0o777 == 0o600
    assert Path(loop.path).parent.stat().st_mode & 0o777 == 0o700


def test_listening_elsewhere(loop: Loop, tmp_path: Path) -> None:
    before, loop.path = loop.path, str(tmp_path / "other.sock")
    loop.server.listen(loop.path)
    assert not Path(before).exists()
    assert ask(loop.path, 5)["ok"]
    loop.server.listen(loop.path)
    assert ask(loop.path, 5)["ok"]


def test_a_place_that_can_t_be_had_changes_nothing(loop: Loop, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    for bad in (tmp_path / "file/x.sock", tmp_path / "file", tmp_path / ("x" * 200)):
        with pytest.raises(OSError):
            loop.server.listen(str(bad))
    assert (tmp_path / "file").exists()
    assert ask(loop.path, 5)["ok"]


def test_a_served_socket_is_left_alone_and_a_stale_one_is_not(loop: Loop, tmp_path: Path) -> None:
    other = AdminServer(selectors.DefaultSelector(), lambda _: None)
    with pytest.raises(OSError, match="in use"):
        other.listen(loop.path)
    stale = str(tmp_path / "stale.sock")
    with socket.socket(socket.AF_UNIX) as sock:
        sock.bind(stale)
    other.listen(stale)
    other.close()
    assert not Path(stale).exists()
    assert ask(loop.path, 5)["ok"]


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give a folder away")
def test_a_folder_of_somebody_else(tmp_path: Path) -> None:
    folder = tmp_path / "theirs"
    folder.mkdir()
    os.chown(folder, 12345, 12345)
    with pytest.raises(PermissionError):
        AdminServer(selectors.DefaultSelector(), lambda _: None).listen(str(folder / "control.sock"))


def test_an_adopted_socket_goes_on(tmp_path: Path) -> None:
    loop = Loop(str(tmp_path / "x.sock"))
    with socket.socket(socket.AF_UNIX) as sock:
        sock.bind(loop.path)
        sock.listen()
        loop.server.adopt(loop.path, sock.detach())
    loop.start()
    assert ask(loop.path, 5)["ok"]
    loop.stop()
    assert not Path(loop.path).exists()


def test_closed_it_has_no_descriptor(tmp_path: Path) -> None:
    server = AdminServer(selectors.DefaultSelector(), lambda _: None)
    assert server.fileno() == -1
    server.listen(str(tmp_path / "x.sock"))
    assert server.fileno() >= 0
    server.close()
    server.close()
    assert (server.fileno(), server.path) == (-1, "")


def test_asking_nobody(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        ask(str(tmp_path / "none"), 1)


def test_asking_one_who_does_not_answer(tmp_path: Path) -> None:
    path = str(tmp_path / "silent.sock")
    with socket.socket(socket.AF_UNIX) as sock:
        sock.bind(path)
        sock.listen()
        with pytest.raises(TimeoutError):
            ask(path, 0.05)


@pytest.mark.parametrize(
    ("root", "variables", "place"),
    [
        (True, {"XDG_RUNTIME_DIR": "/run/user/0"}, admin.SYSTEM_PATH),
        (False, {"XDG_RUNTIME_DIR": "/run/user/7"}, "/run/user/7/gproxy/control.sock"),
        (False, {}, "/tmp/gproxy-7/control.sock"),
    ],
)
def test_the_usual_place(root: bool, variables: dict[str, str], place: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(admin.os, "geteuid", lambda: 0 if root else 7)
    monkeypatch.setattr(admin.os, "access", lambda *_: False)
    monkeypatch.delenv("XDG_RUNTIME_DIR", raising=False)
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    assert default_path() == place
