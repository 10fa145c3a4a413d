"""`gproxy ban`, here to a control socket that answers as a master would."""

from __future__ import annotations

import json
import re
import socket
import threading

import pytest

from gproxy.cli.main import main
from gproxy.limit.memory import Memory
from gproxy.proc.banning import BanDesk


class Request:
    def __init__(self, values):
        self.values = values

    def answer(self, **values):
        self.said = values


@pytest.fixture
def control(tmp_path):
    """A control socket with a desk behind it; its path."""
    memory = Memory()
    desk = BanDesk(lambda: memory, lambda level, text: None)
    sock = socket.socket(socket.AF_UNIX)
    sock.bind(str(tmp_path / "control.sock"))
    sock.listen()

    def run():
        while True:
            try:
                client, _ = sock.accept()
            except OSError:
                return
            with client:
                request = Request(json.loads(client.makefile().readline()))
                assert request.values["ask"] == "ban"
                desk.answer(request, ["127.0.0.0/8"])
                client.sendall(json.dumps(request.said).encode() + b"\n")

    thread = threading.Thread(target=run, daemon=True)
    thread.start()
    yield str(tmp_path / "control.sock")
    sock.shutdown(socket.SHUT_RDWR)
    sock.close()
    thread.join()


def ban(control, *arguments):
    return main(["ban", *arguments, "--control", control])


def test_there_and_back(control, capsys):
    assert ban(control, "add", "192.0.2.7", "--for", "90m") == 0
    assert ban(control, "add", "2001:db8::/32") == 0
    assert capsys.readouterr().out.splitlines() == [
        "192.0.2.7 is banned for 1 h 30 min", "2001:db8::/32 is banned for 1 d 0 h"
    ]  # fmt: skip
    assert ban(control, "list") == 0
    said = capsys.readouterr()
    first, second = said.out.splitlines()
    assert re.fullmatch(r"2001:db8::/32 for (1 d 0 h|23 h 59 min) of 1 d 0 h, for the 1st time: as an admin.*", first)
    assert re.fullmatch(r"192\.0\.2\.7 for 1 h (30|29) min of 1 h 30 min, for the 1st time: as an admin.*", second)
    assert said.err == "2 banned now, 2 bans so far\n"
    assert ban(control, "remove", "192.0.2.7") == 0
    assert ban(control, "remove", "192.0.2.7") == 1
    said = capsys.readouterr()
    assert (said.out, said.err) == ("192.0.2.7 is banned no more\n", "192.0.2.7 is not banned\n")


def test_for_machines(control, capsys):
    ban(control, "add", "192.0.2.7")
    capsys.readouterr()
    assert ban(control, "list", "--json") == 0
    told = json.loads(capsys.readouterr().out)
    assert [each["network"] for each in told["bans"]] == ["192.0.2.7"]
    assert told["bans"][0]["reason"] == "manual"
    assert told["total"] == 1


def test_what_is_refused(control, capsys):
    assert ban(control, "add", "127.0.0.9") == 1
    assert "127.0.0.9 is never banned: `bans.allow` has 127.0.0.0/8" in capsys.readouterr().err
    assert ban(control, "add", "nobody") == 1
    assert "expected an IP address" in capsys.readouterr().err
    assert ban(control, "add", "192.0.2.7", "--for", "soon") == 2
    assert "expected a duration" in capsys.readouterr().err


def test_without_a_gproxy(tmp_path, capsys):
    assert ban(str(tmp_path / "nowhere"), "list") == 1
    assert "no gproxy with workers answers" in capsys.readouterr().err
