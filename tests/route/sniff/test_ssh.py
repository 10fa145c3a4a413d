"""gproxy.route.sniff.ssh; its laws are in laws_sniff.py."""

from __future__ import annotations

import pytest

from gproxy.route.sniff.ssh import sniff_ssh
from gproxy.wire.cursor import Cursor
from tests.route.sniff.first import SSH


@pytest.mark.parametrize("text", [b"caf\xc3\xa9", b"\x1b[2J", b"a\0b"])
def test_a_client_that_is_no_text_is_not_shown(text: bytes) -> None:
    assert sniff_ssh(Cursor(b"SSH-2.0-" + text + b"\n")).client == ""


def test_what_follows_the_line_is_left() -> None:
    cursor = Cursor(SSH + b"\0\0\1\2")
    assert sniff_ssh(cursor).client == "OpenSSH_9.2p1 Debian-2"
    assert cursor.left() == 4
