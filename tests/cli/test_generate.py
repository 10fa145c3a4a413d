from __future__ import annotations

import base64
import uuid

from gproxy.cli.main import main


def test_uuid(capsys):
    assert main(["generate", "uuid"]) == 0
    assert uuid.UUID(capsys.readouterr().out.strip()).version == 4


def test_rand(capsysbinary):
    main(["generate", "rand", "16", "--hex"])
    assert len(bytes.fromhex(capsysbinary.readouterr().out.decode().strip())) == 16
    main(["generate", "rand", "16", "--base64"])
    first = base64.b64decode(capsysbinary.readouterr().out.strip(), validate=True)
    main(["generate", "rand", "16"])
    second = capsysbinary.readouterr().out
    assert len(first) == len(second) == 16
    assert first != second


def test_rand_has_bounds(capsys):
    assert main(["generate", "rand", "0"]) == 2
    assert main(["generate", "rand", "9999999999"]) == 2
