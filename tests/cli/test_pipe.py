from __future__ import annotations

import os
import subprocess
import sys

import pytest

from tests.support.origin import tcp_echo, udp_echo


@pytest.fixture
def config(tmp_path):
    path = tmp_path / "c.toml"
    path.write_text('[[outbounds]]\ntype = "direct"\ntag = "d"\n')
    return str(path)


def tools(config: str, *arguments: str, text: bytes) -> subprocess.CompletedProcess[bytes]:
    command = [sys.executable, "-m", "gproxy", "tools", "connect", "-c", config, *arguments]
    return subprocess.run(command, input=text, capture_output=True, timeout=30, check=False)


def test_a_stream_between_input_and_output(config):
    text = os.urandom(300_000)
    with tcp_echo() as server:
        done = tools(config, server.authority, text=text)
    assert done.stderr == b""
    assert done.stdout == text
    assert done.returncode == 0


def test_packets_between_input_and_output(config):
    with udp_echo() as server:
        done = tools(config, server.authority, "-n", "udp", "-o", "d", text=b"hello")
    assert (done.returncode, done.stdout) == (0, b"hello")


def test_a_target_that_refuses(config):
    with tcp_echo() as server:
        gone = server.authority
    done = tools(config, gone, text=b"")
    assert done.returncode == 1
    assert done.stderr.startswith(b"gproxy: ")
    assert b"refused" in done.stderr
