"""The life of the process: its start, what stops it from starting, signals, and its end."""

from __future__ import annotations

import re
import signal
import socket
import sys
import time
from pathlib import Path

import pytest

from tests.e2e.clients import connect, everything, exactly, tunnel
from tests.e2e.proxy import Launcher, Proxy, inbound, outbound
from tests.e2e.servers import serving
from tests.e2e.tools import needs
from tests.support.origin import HELLO, Server, content
from tests.support.ports import LOOPBACK, free_port, listening
from tests.support.procs import Processes, curl, run, write_config
from tests.support.wait import wait_until

GPROXY = (sys.executable, "-m", "gproxy")
ROOT = Path(__file__).resolve().parent.parent.parent
FAILED, REFUSED = 1, 3


def test_the_configuration_of_a_newcomer(processes: Processes, site: Server) -> None:
    process = processes.start(*GPROXY, "run", "-c", str(ROOT / "etc/config.toml"), tcp=[1080])
    for scheme in ("socks5h", "http"):
        assert curl("-x", f"{scheme}://127.0.0.1:1080", f"http://{site.authority}/") == HELLO
    process.wait_log("is ready")
    assert process.stop() == 0
    assert len(re.findall(rf"-> {re.escape(site.authority)} .* ok$", process.log, re.MULTILINE)) == 2


def test_how_long_a_start_takes(processes: Processes, record_property: object) -> None:
    """Measured, and only held to what a loaded machine can do: the bench has the bar."""
    port = free_port()
    path = write_config(processes.folder, 0, {"inbounds": [inbound("mixed", port)]})
    began = time.monotonic()
    processes.start(*GPROXY, "run", "-c", str(path), tcp=[port])
    with connect(port) as sock:
        sock.sendall(b"\x05\x01\x00")
        assert exactly(sock, 2) == b"\x05\x00"
    took = time.monotonic() - began
    assert callable(record_property)
    record_property("seconds", took)
    assert took < 10


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_it_lets_sessions_end(number: signal.Signals, proxy: Proxy) -> None:
    size = 4_000_000

    def slow(sock: socket.socket) -> None:
        exactly(sock, 1)
        for piece in content(size):
            sock.sendall(piece)

    with serving(slow) as server, tunnel(proxy.port, (server.host, server.port)) as sock:
        sock.sendall(b"x")
        assert sock.recv(1)
        proxy.process.signal(number)
        assert len(everything(sock)) == size - 1
    assert proxy.process.wait() == 0
    assert proxy.session()["status"] == "ok"
    assert "stopped: 1 clients served" in proxy.process.log
    proxy.check_log()


def test_it_waits_for_nobody_for_ever(proxy: Proxy, echo: Server) -> None:
    with tunnel(proxy.port, (echo.host, echo.port)) as sock:
        began = time.monotonic()
        proxy.process.signal(signal.SIGTERM)
        assert everything(sock) == b""
        assert 3 < time.monotonic() - began < 12
    assert proxy.process.wait() == 0
    assert proxy.session()["status"] == "closed-drained"
    assert "1 sessions ended early" in proxy.process.log


def test_told_twice_it_ends_at_once(proxy: Proxy, echo: Server) -> None:
    with tunnel(proxy.port, (echo.host, echo.port)), connect(proxy.port):
        began = time.monotonic()
        proxy.stop_now()
        assert time.monotonic() - began < 3
    assert not listening(proxy.port)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGUSR1])
def test_signals_as_soon_as_it_listens(number: signal.Signals, processes: Processes, tmp_path: Path) -> None:
    """There is no moment at which it has sockets and a signal is not heeded."""
    path = tmp_path / "in.sock"
    config = write_config(tmp_path, 0, {"inbounds": [inbound("mixed", listen=f"unix:{path}")]})
    for _ in range(4):
        process = processes.start(*GPROXY, "run", "-c", str(config))
        wait_until(path.exists, "it makes no socket", 15)
        process.signal(number)
        if number == signal.SIGUSR1:
            process.wait_log("is ready")
            process.signal(signal.SIGTERM)
        assert process.wait() == 0
        assert not path.exists()
        assert "Traceback" not in process.log


def test_the_log_moves_on(launch: Launcher, site: Server, tmp_path: Path) -> None:
    log, moved = tmp_path / "gproxy.log", tmp_path / "gproxy.log.1"
    proxy = launch(log={"output": str(log), "format": "human"})
    curl("-x", proxy.url("http"), f"http://{site.authority}/bytes/1")
    wait_until(lambda: " ok" in log.read_text(), "no line in the log")
    log.rename(moved)
    proxy.process.signal(signal.SIGUSR1)
    wait_until(log.exists, "the log was not opened anew")
    curl("-x", proxy.url("http"), f"http://{site.authority}/bytes/22")
    wait_until(lambda: " ok" in log.read_text(), "no line in the new log")
    assert moved.read_text().count(" ok") == 1
    proxy.process.signal(signal.SIGUSR1)
    assert proxy.process.log == ""


def test_a_log_that_can_t_be_opened_anew(launch: Launcher, site: Server, tmp_path: Path) -> None:
    folder = tmp_path / "logs"
    folder.mkdir()
    proxy = launch(log={"output": str(folder / "gproxy.log"), "format": "human"})
    folder.rename(tmp_path / "gone")
    proxy.process.signal(signal.SIGUSR1)
    assert curl("-x", proxy.url("http"), f"http://{site.authority}/") == HELLO
    log = tmp_path / "gone/gproxy.log"
    wait_until(lambda: "opened anew" in log.read_text() and " ok" in log.read_text(), "the old log did not go on")


def test_a_full_disk_stops_nothing(launch: Launcher, site: Server) -> None:
    proxy = launch(log={"output": "/dev/full", "level": "trace", "format": "human"})
    for scheme in ("socks5h", "http") * 3:
        assert curl("-x", proxy.url(scheme), f"http://{site.authority}/") == HELLO
    proxy.stop_now()


@pytest.mark.parametrize("output", ["", "nested/too/deep/gproxy.log"])
def test_ports_that_are_taken(output: str, processes: Processes, tmp_path: Path) -> None:
    """All that can't be had is named, nothing is served meanwhile, and nothing stays behind."""
    unix = tmp_path / "x.sock"
    with socket.create_server((LOOPBACK, 0)) as taken, socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as datagrams:
        datagrams.bind((LOOPBACK, 0))
        free, port, datagram_port = free_port(), taken.getsockname()[1], datagrams.getsockname()[1]
        config = {
            "log": {"output": str(tmp_path / output)} if output else {},
            "inbounds": [
                inbound("mixed", free, tag="good"),
                inbound("mixed", tag="unix", listen=f"unix:{unix}"),
                inbound("mixed", port, tag="tcp"),
                inbound("direct", datagram_port, tag="udp", network="udp", override_address="127.0.0.1"),
                inbound("mixed", tag="far", listen="192.0.2.55", listen_port=free),
            ],
        }
        done = run(*GPROXY, "run", "-c", str(write_config(tmp_path, 0, config)), seconds=50)
    errors = done.stderr.decode()
    assert done.returncode == FAILED
    assert "Traceback" not in errors
    if output:
        assert "nested/too/deep" in errors
    else:
        assert f"{LOOPBACK}:{port}/tcp: Address already in use" in errors
        assert f"{LOOPBACK}:{datagram_port}/udp: Address already in use" in errors
        assert f"192.0.2.55:{free}/tcp: Cannot assign requested address" in errors
    assert str(free) not in errors.replace(f"192.0.2.55:{free}", "")
    assert not unix.exists()
    assert not listening(free)


def test_a_unix_socket_that_is_served_is_left_alone(launch: Launcher, site: Server, tmp_path: Path) -> None:
    path = tmp_path / "in.sock"
    proxy = launch(inbound("mixed", listen=f"unix:{path}"))
    config = {"inbounds": [inbound("mixed", listen=f"unix:{path}")]}
    second = run(*GPROXY, "run", "-c", str(write_config(tmp_path, 9, config)), seconds=50)
    assert second.returncode == FAILED
    assert f"unix:{path}: Address already in use" in second.stderr.decode()
    with tunnel(str(path), (site.host, site.port)) as sock:
        sock.sendall(b"GET / HTTP/1.0\r\n\r\n")
        assert everything(sock).endswith(HELLO)
    proxy.session(status="ok")


def test_a_port_that_is_not_for_everybody(tmp_path: Path) -> None:
    needs("setpriv")
    config = write_config(tmp_path, 0, {"inbounds": [inbound("mixed", 80)]})
    setpriv = ("setpriv", "--bounding-set", "-net_bind_service", "--inh-caps", "-net_bind_service")
    done = run(*setpriv, *GPROXY, "run", "-c", str(config), seconds=50)
    assert done.returncode == FAILED
    assert done.stderr.decode().splitlines()[-1] == f"gproxy: can't listen on {LOOPBACK}:80/tcp: Permission denied"


def test_a_broken_file(tmp_path: Path) -> None:
    port = free_port()
    path = tmp_path / "broken.toml"
    path.write_text(f"""
[[inbounds]]
type = "mixed"
listen_prot = {port}
users = [{{ username = "u", password = ["hunter2secret"] }}]
[[outbounds]]
type = "direct"
detour = "nowhere"
""")
    for command in ("run", "check"):
        done = run(*GPROXY, command, "-c", str(path), seconds=50)
        errors = done.stderr.decode()
        assert done.returncode == REFUSED
        assert done.stdout == b""
        assert f"{path}:4:1: inbounds[0].listen_prot" in errors
        assert "listen_port" in errors
        assert "nowhere" in errors
        assert "hunter2secret" not in errors
        assert "Traceback" not in errors


@pytest.mark.parametrize("path", ["no-such-file.toml", "/", "/dev/null/x"])
def test_a_file_that_can_t_be_read(path: str) -> None:
    done = run(*GPROXY, "run", "-c", path, seconds=50)
    assert done.returncode == REFUSED
    assert path in done.stderr.decode()
    assert "Traceback" not in done.stderr.decode()


def test_secrets_stay_secret(processes: Processes, launch: Launcher, site: Server) -> None:
    """At the most talkative level, with right and wrong passwords, on all ways."""
    upstream = launch(inbound("mixed", users=[{"username": "up", "password": "upstream-hush"}]))
    users = [{"username": "bob", "password": "${E2E_PASSWORD}"}]
    proxy = launch(
        inbound("mixed", users=users),
        inbound("mixed", tag="other", users=users),
        outbounds=(
            outbound("socks", upstream.port, username="up", password="upstream-hush"),
            outbound("http", upstream.port, username="up", password="other-hush", headers={"X-Key": "key-hush"}),
        ),
        rules=({"inbound": "other", "outbound": "http"},),
        log={"level": "trace"},
        env={"E2E_PASSWORD": "inbound-hush"},
    )
    url = f"http://{site.authority}/"
    for port in proxy.ports:
        for scheme in ("socks5h", "http"):
            for password in ("inbound-hush", "guessed-hush"):
                run("curl", "-sS", "-x", f"{scheme}://bob:{password}@{LOOPBACK}:{port}", url)
                run("curl", "-sS", "-p", "-x", f"{scheme}://bob:{password}@{LOOPBACK}:{port}", url)
        run("curl", "-sS", "-x", f"http://{LOOPBACK}:{port}", "--proxy-header", "Proxy-Authorization: x-hush", url)
    proxy.wait_sessions(4, status="ok")
    proxy.wait_sessions(4, status="dial-declined")
    proxy.wait_sessions(10, status="auth")
    for one in (proxy, upstream):
        assert "-hush" not in one.process.log
        assert "-hush" not in Path(f"/proc/{one.process.pid}/cmdline").read_text()


def test_json_lines_have_what_was_promised(launch: Launcher, site: Server) -> None:
    users = [{"username": "bob", "password": "p"}]
    rule = {"domain": "site.test", "outbound": "direct", "override_address": site.host, "override_port": site.port}
    proxy = launch(inbound("http", users=users), outbounds=(outbound("direct"),), rules=(rule,))
    curl("-x", proxy.url("http", "bob:p"), "http://site.test:81/bytes/1000")
    session = proxy.session()
    assert session.keys() == {
        "time", "level", "logger", "message", "session", "network", "inbound", "source", "target", "asked", "user",
        "rule", "outbound", "up", "down", "seconds", "status",
    }  # fmt: skip
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}[+-]\d\d:\d\d", session["time"])
    assert session["source"].startswith(f"{LOOPBACK}:")
    assert (session["network"], session["inbound"], session["user"]) == ("tcp", "in", "bob")
    assert (session["asked"], session["target"]) == ("site.test:81", site.authority)
    assert (session["outbound"], session["status"], session["level"]) == ("direct", "ok", "info")
    assert session["down"] > 1000
    assert 0 < session["up"] < 1000
    assert 0 <= session["seconds"] < 5
