"""The commands that speak to a running gproxy, here to a control socket that answers as the test wants."""

from __future__ import annotations

import json
import socket
import threading

import pytest

from gproxy.cli.admin import describe, duration, size
from gproxy.cli.main import main

COUNTERS = {"opened": 7, "active": 2, "up": 100, "down": 5 << 20, "statuses": {"ok": 3, "auth": 2}}


def generation(number, state="serving"):
    return {"number": number, "state": state, "age": 61.0, "active": 2, "workers": {"0": 11, "1": 12}}


def facts(*generations):
    return {
        "ok": True, "version": "9.9", "pid": 10, "uptime": 90_000.0, "listeners": ["127.0.0.1:1/tcp"],
        "generations": list(generations), "counters": COUNTERS,
    }  # fmt: skip


@pytest.fixture
def master(tmp_path):
    """Answers the questions in turn; `asked` is what they were."""

    class Master:
        path = str(tmp_path / "control.sock")

        def __init__(self):
            self.asked = []
            self.sock = socket.socket(socket.AF_UNIX)
            self.sock.bind(self.path)
            self.sock.listen()

        def answers(self, *answers):
            self.asked = []
            self.thread = threading.Thread(target=self.run, args=(answers,), daemon=True)
            self.thread.start()

        def run(self, answers):
            for answer in answers:
                client, _ = self.sock.accept()
                with client:
                    self.asked.append(json.loads(client.makefile().readline())["ask"])
                    client.sendall(answer if isinstance(answer, bytes) else json.dumps(answer).encode() + b"\n")

    master = Master()
    yield master
    master.sock.close()


def test_status_for_people(master, capsys):
    master.answers(facts(generation(2, "draining"), generation(3)))
    assert main(["status", "--control", master.path]) == 0
    assert capsys.readouterr().out.splitlines() == [
        "gproxy 9.9, process 10, up 1 d 1 h",
        "listening on 127.0.0.1:1/tcp",
        "generation 2 draining for 1 min 1 s, 2 clients, workers 11 12",
        "generation 3 serving for 1 min 1 s, 2 clients, workers 11 12",
        "clients: 2 now, 7 in all; 100 B from them, 5.0 MiB to them",
        "sessions ended: 3 ok, 2 auth",
    ]


def test_status_for_machines(master, capsys):
    master.answers(facts(generation(1)))
    assert main(["status", "--json", "--control", master.path]) == 0
    assert json.loads(capsys.readouterr().out) == facts(generation(1))


@pytest.mark.parametrize("state", ["loading", "forking", "taking over", "starting", "draining"])
def test_status_fails_while_nothing_serves(state, master, capsys):
    master.answers(facts(generation(1, state)))
    assert main(["status", "--control", master.path]) == 1
    assert f"generation 1 {state}" in capsys.readouterr().out


def test_status_of_one_that_has_just_begun():
    coming = {**generation(1, "loading"), "active": None, "workers": {}}
    told = describe({**facts(coming), "listeners": [], "counters": {**COUNTERS, "statuses": {}}})
    assert told[1:3] == ["listening on nothing", "generation 1 loading for 1 min 1 s, workers none yet"]
    assert len(told) == 4


@pytest.mark.parametrize(
    ("answer", "code"),
    [
        ({"ok": True, "generation": 4}, 0),
        ({"ok": False, "error": "x.toml:1:1: no", "code": 3}, 3),
        ({"ok": False, "error": "port taken", "code": 1}, 1),
        ({"ok": False, "error": "gproxy is stopping"}, 1),
    ],
)
def test_the_verdict_on_a_reload(answer, code, master, capsys):
    master.answers(answer)
    assert main(["reload", "--control", master.path]) == code
    out, err = capsys.readouterr()
    assert (out, err) == (
        ("generation 4 serves\n", "") if not code else ("", f"refused, nothing has changed:\n{answer['error']}\n")
    )


def test_an_upgrade_waits_for_the_new_generation(master, capsys):
    coming = generation(3, "loading")
    master.answers(
        facts(generation(2)),
        {"ok": True},
        facts(generation(2), coming),
        facts(generation(2, "draining"), generation(3)),
    )
    assert main(["upgrade", "--control", master.path]) == 0
    assert capsys.readouterr().out == "gproxy 9.9: generation 3 serves\n"
    assert master.asked == ["status", "upgrade", "status", "status"]


def test_an_upgrade_whose_generation_is_refused(master, capsys):
    master.answers(facts(generation(2)), {"ok": True}, facts(generation(2)))
    assert main(["upgrade", "--control", master.path]) == 1
    assert "the new generation was refused" in capsys.readouterr().err


def test_an_upgrade_that_does_not_begin(master, capsys):
    master.answers(facts(generation(2)), {"ok": False, "error": "a reload is under way"})
    assert main(["upgrade", "--control", master.path]) == 1
    assert "refused, nothing has changed: a reload is under way" in capsys.readouterr().err


def test_stop(master):
    master.answers({"ok": True})
    assert main(["stop", "--control", master.path]) == 0
    assert master.asked == ["stop"]


def test_nobody_is_there(tmp_path, capsys):
    path = tmp_path / "none.sock"
    for command in ("status", "reload", "upgrade", "stop"):
        assert main([command, "--control", str(path)]) == 1
        assert (
            capsys.readouterr().err == f"gproxy: no gproxy with workers answers at {path}: No such file or directory\n"
        )


def test_a_stale_socket(tmp_path, capsys):
    path = str(tmp_path / "stale.sock")
    with socket.socket(socket.AF_UNIX) as sock:
        sock.bind(path)
    assert main(["status", "--control", path]) == 1
    assert "Connection refused" in capsys.readouterr().err


@pytest.mark.parametrize("answer", [b"", b"no json\n"])
def test_somebody_else_is_there(answer, master, capsys):
    master.answers(answer)
    assert main(["status", "--control", master.path]) == 1
    assert "no gproxy with workers answers" in capsys.readouterr().err


def test_the_configuration_names_the_place(master, tmp_path, capsys):
    path = tmp_path / "c.toml"
    path.write_text(f'[runtime]\ncontrol = "{master.path}"\nnonsense = 1\n')
    master.answers({"ok": False, "error": "report", "code": 3})
    assert main(["-c", str(path), "reload"]) == 3


@pytest.mark.parametrize("text", ["", "[runtime]\n", "runtime = 1\n", "not toml", "[runtime]\ncontrol = 1\n"])
def test_else_it_is_the_usual_place(text, master, tmp_path, monkeypatch):
    monkeypatch.setattr("gproxy.cli.admin.default_path", lambda: master.path)
    path = tmp_path / "c.toml"
    path.write_text(text)
    master.answers({"ok": True})
    assert main(["stop", "-c", str(path)]) == 0


def test_units():
    assert [duration(value) for value in (0, 59.9, 60, 3600, 7260, 90000)] == [
        "0 s",
        "59 s",
        "1 min 0 s",
        "1 h 0 min",
        "2 h 1 min",
        "1 d 1 h",
    ]
    assert [size(value) for value in (0, 1023, 1024, 3 << 29, 1 << 50)] == [
        "0 B",
        "1023 B",
        "1.0 KiB",
        "1.5 GiB",
        "1024.0 TiB",
    ]


def test_breakers_and_bans_are_told():
    one = generation(3)
    one["breakers"] = {
        "out": {"closed": 1, "open": 2, "half-open": 0, "opened": 1},
        "gone": {"closed": 0, "open": 0, "half-open": 0, "opened": 3},
    }
    lines = describe({**facts(one), "bans": {"banned": 1, "total": 7}})
    assert lines[3:5] == [
        "  breaker of out: closed in 1, open in 2 of its workers, opened once",
        "  breaker of gone: in none of its workers, opened 3 times",
    ]
    assert "bans: 1 now, 7 in all" in lines
