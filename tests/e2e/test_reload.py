"""A new generation: what changes, what does not, and what is refused."""

from __future__ import annotations

import json
import signal
import socket
import sys
from collections import Counter
from contextlib import ExitStack
from pathlib import Path

import pytest

from gproxy.proc.admin import ask
from tests.e2e.clients import connect, everything, exactly, tunnel
from tests.e2e.load import watchful_echo
from tests.e2e.proxy import inbound
from tests.e2e.servers import CrowdEcho
from tests.e2e.supervised import Supervised, alive, children, family, kill, pss, tunnel_config
from tests.e2e.tools import needs
from tests.support.origin import HELLO, Server, udp_echo
from tests.support.ports import LOOPBACK, free_port, listening
from tests.support.procs import Processes, curl, run, write_config
from tests.support.wait import wait_until

GPROXY = (sys.executable, "-m", "gproxy")
FAILED, REFUSED = 1, 3
MIB = 1 << 20


def still_echoes(sock: socket.socket) -> None:
    sock.sendall(b"still here?")
    assert exactly(sock, 11) == b"still here?"


def fetched(port: int, site: Server) -> bool:
    return curl("-x", f"socks5h://{LOOPBACK}:{port}", f"http://{site.authority}/") == HELLO


@pytest.fixture
def gproxy(processes: Processes) -> Supervised:
    return Supervised.start(processes, inbound("mixed", free_port()))


def port_of(gproxy: Supervised) -> int:
    port: int = gproxy.config["inbounds"][0]["listen_port"]
    return port


# -- what is refused ---------------------------------------------------------------------------------------------------


def test_a_broken_file_changes_nothing(gproxy: Supervised, echo: Server, site: Server) -> None:
    port, workers = port_of(gproxy), gproxy.workers()
    good = gproxy.path.read_text()
    with tunnel(port, (echo.host, echo.port)) as open_session:
        gproxy.path.write_text(good.replace('"listen_port"', '"listen_prot"'))
        done = run(*GPROXY, "-c", str(gproxy.path), "reload")
        assert done.returncode == REFUSED
        assert b"refused, nothing has changed" in done.stderr
        assert b"inbounds[0].listen_prot" in done.stderr
        assert b"did you mean" in done.stderr.lower() or b"listen_port" in done.stderr
        gproxy.process.wait_log("generation 2 was refused")
        gproxy.process.wait_log("inbounds[0].listen_prot")
        gproxy.send(signal.SIGHUP)
        gproxy.process.wait_log("generation 3 was refused")
        still_echoes(open_session)
        assert gproxy.workers() == workers
        assert fetched(port, site)
        gproxy.path.write_text(good)
        done = run(*GPROXY, "-c", str(gproxy.path), "reload")
        assert (done.returncode, done.stdout) == (0, b"generation 4 serves\n")
        still_echoes(open_session)
    gproxy.wait_alone()
    gproxy.stop()


@pytest.mark.parametrize("network", ["tcp", "udp"])
def test_a_port_that_is_taken(network: str, gproxy: Supervised, site: Server) -> None:
    port, fresh = port_of(gproxy), free_port()
    kind = socket.SOCK_STREAM if network == "tcp" else socket.SOCK_DGRAM
    with socket.socket(socket.AF_INET, kind) as taken:
        taken.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)  # as another gproxy with workers would
        taken.bind((LOOPBACK, 0))
        if network == "tcp":
            taken.listen()
        number = taken.getsockname()[1]
        others = [inbound("mixed", fresh, tag="new"), tunnel_config(number, 9, network, tag="taken")]
        gproxy.write(inbounds=[*gproxy.config["inbounds"], *others])
        answer = gproxy.ask("reload")
        assert not answer["ok"]
        assert answer["code"] == FAILED
        assert f"{LOOPBACK}:{number}/{network}: Address already in use" in answer["error"]
        assert not listening(fresh)
        assert fetched(port, site)
    assert gproxy.ask("reload")["ok"]
    assert fetched(fresh, site)
    gproxy.stop()


def test_a_log_that_can_t_be_opened(gproxy: Supervised, site: Server, tmp_path: Path) -> None:
    """Not a matter of syntax; nothing of the new generation is left."""
    fresh = free_port()
    gproxy.write(
        inbounds=[*gproxy.config["inbounds"], inbound("mixed", fresh, tag="new")],
        log={"output": str(tmp_path / "no/such/folder/log")},
    )
    answer = gproxy.ask("reload")
    assert not answer["ok"]
    assert "can't open the log" in answer["error"]
    assert not listening(fresh)
    assert fetched(port_of(gproxy), site)
    wait_until(lambda: len(children(gproxy.process.pid)) == 1, "the refused generation is left")
    gproxy.stop()


# -- what changes ------------------------------------------------------------------------------------------------------


def test_listeners_come_and_go(gproxy: Supervised, echo: Server, site: Server) -> None:
    old, new = port_of(gproxy), free_port()
    with tunnel(old, (echo.host, echo.port)) as open_session:
        gproxy.write(inbounds=[inbound("mixed", new)])
        gproxy.next_generation()
        assert fetched(new, site)
        with pytest.raises(ConnectionRefusedError):
            connect(old)
        still_echoes(open_session)
        assert len(gproxy.ask("status")["generations"]) == 2
    gproxy.wait_alone()
    assert gproxy.ask("status")["listeners"] == [f"{LOOPBACK}:{new}/tcp"]
    gproxy.stop()


def test_the_grace_ends(processes: Processes, echo: Server) -> None:
    gproxy = Supervised.start(processes, inbound("mixed", free_port()), runtime={"grace": "1s"})
    with tunnel(port_of(gproxy), (echo.host, echo.port)) as open_session:
        still_echoes(open_session)
        gproxy.next_generation()
        still_echoes(open_session)
        assert everything(open_session) == b""
    gproxy.wait_alone()
    assert gproxy.ask("status")["counters"]["statuses"] == {"closed-drained": 1}
    gproxy.stop()


def test_without_grace_sessions_end_at_once(processes: Processes, echo: Server) -> None:
    gproxy = Supervised.start(processes, inbound("mixed", free_port()), runtime={"grace": "0s"})
    with tunnel(port_of(gproxy), (echo.host, echo.port)) as open_session:
        gproxy.next_generation()
        assert everything(open_session) == b""
    gproxy.wait_alone()
    gproxy.stop()


def test_other_numbers_of_workers(processes: Processes, site: Server) -> None:
    """Two, three, one: all sockets are read, and a UDP flow goes on."""
    port, datagram_port = free_port(), free_port()
    with udp_echo() as target, socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        gproxy = Supervised.start(
            processes, inbound("mixed", port), tunnel_config(datagram_port, target.port, "udp"), log={"level": "debug"}
        )
        sock.settimeout(30)
        sock.connect((LOOPBACK, datagram_port))
        for workers in (2, 3, 1, 2):
            gproxy.write(runtime={**gproxy.config["runtime"], "workers": workers})
            gproxy.next_generation()
            assert len(gproxy.workers()) == workers
            for number in range(20):  # more than enough to meet every slot
                assert fetched(port, site) if number < 5 else connect(port).close() is None
                with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as stranger:
                    stranger.settimeout(30)
                    stranger.connect((LOOPBACK, datagram_port))
                    stranger.send(b"hello")
                    assert stranger.recv(10) == b"hello"
            sock.send(b"again")
            assert sock.recv(10) == b"again"
        gproxy.stop()


def test_options_of_a_listener_change(gproxy: Supervised, echo: Server, site: Server) -> None:
    """Its sockets stay, with who waits there."""
    port = port_of(gproxy)
    with tunnel(port, (echo.host, echo.port)) as open_session:
        for workers in (2, 1, 1):
            fast = not gproxy.config["inbounds"][0].get("tcp_fast_open", False)
            runtime = {**gproxy.config["runtime"], "workers": workers}
            gproxy.write(inbounds=[inbound("mixed", port, tcp_fast_open=fast)], runtime=runtime)
            answer = gproxy.ask("reload")
            assert answer["ok"], answer
            assert all(fetched(port, site) for _ in range(4))
            still_echoes(open_session)
    gproxy.stop()


def test_flows_outlive_the_options_of_their_listener(processes: Processes) -> None:
    port = free_port()
    with watchful_echo() as echo, socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as client:
        gproxy = Supervised.start(processes, tunnel_config(port, echo.port, "udp"))
        client.connect((LOOPBACK, port))
        client.settimeout(15)
        for reuse in (True, False, True):
            client.send(b"still here?")
            assert client.recv(100) == b"still here?"
            gproxy.write(inbounds=[{**tunnel_config(port, echo.port, "udp"), "reuse_addr": reuse}])
            assert gproxy.ask("reload")["ok"]
        client.send(b"still here?")
        assert client.recv(100) == b"still here?"
        assert len(echo.sources) == 1
        gproxy.stop()


def test_a_unix_listener_outlives_generations(processes: Processes, site: Server, tmp_path: Path) -> None:
    path = tmp_path / "in.sock"
    gproxy = Supervised.start(processes, inbound("mixed", listen=f"unix:{path}"))
    for _ in range(2):
        with tunnel(str(path), (site.host, site.port)) as sock:
            sock.sendall(b"GET / HTTP/1.0\r\n\r\n")
            assert everything(sock).endswith(HELLO)
        gproxy.next_generation()
    gproxy.write(inbounds=[inbound("mixed", free_port())])
    gproxy.next_generation()
    assert not path.exists()
    gproxy.stop()


def test_a_reload_that_comes_during_another(gproxy: Supervised, site: Server) -> None:
    """The first may have read the file before it changed, so there is a second."""
    gproxy.send(signal.SIGHUP)
    wait_until(lambda: len(gproxy.ask("status")["generations"]) == 2, "no reload begins")
    for _ in range(10):
        gproxy.send(signal.SIGHUP)
    gproxy.wait_generation(3)
    gproxy.wait_alone()
    serving = gproxy.serving()
    assert serving is not None
    assert serving["number"] == 3
    assert fetched(port_of(gproxy), site)
    gproxy.stop()


def test_too_many_generations(gproxy: Supervised, echo: Server) -> None:
    """Each is held by a session of its own; the oldest has to go."""
    port = port_of(gproxy)
    with ExitStack() as stack:
        sessions = []
        for _ in range(9):
            sessions.append(stack.enter_context(tunnel(port, (echo.host, echo.port))))
            gproxy.next_generation()
        assert everything(sessions[0]) == b""
        for each in sessions[1:]:
            still_echoes(each)
    gproxy.process.wait_log("generation 1 ends early: too many are draining")
    gproxy.wait_alone()
    gproxy.stop()


# -- the control socket ------------------------------------------------------------------------------------------------


def test_status(gproxy: Supervised, site: Server) -> None:
    port = port_of(gproxy)
    assert fetched(port, site)

    def counted() -> bool:
        counters = gproxy.ask("status")["counters"]
        return (counters["opened"], counters["active"], counters["statuses"]) == (1, 0, {"ok": 1})

    wait_until(counted, lambda: str(gproxy.ask("status")))
    before = gproxy.ask("status")["counters"]
    gproxy.next_generation()
    gproxy.wait_alone()
    assert gproxy.ask("status")["counters"] == before
    shown = run(*GPROXY, "status", "-c", str(gproxy.path))
    assert shown.returncode == 0
    assert f"listening on {LOOPBACK}:{port}/tcp" in shown.stdout.decode()
    assert json.loads(run(*GPROXY, "status", "--json", "-c", str(gproxy.path)).stdout)["pid"] == gproxy.process.pid
    gproxy.stop()


def test_the_control_socket_is_its_owner_s(gproxy: Supervised) -> None:
    assert Path(gproxy.control).stat().st_mode & 0o777 == 0o600
    gproxy.stop()
    assert not Path(gproxy.control).exists()


def test_a_missing_control_socket(gproxy: Supervised) -> None:
    """Somebody has removed its file: signals still work, and a reload to another place brings it back."""
    Path(gproxy.control).unlink()
    assert run(*GPROXY, "status", "-c", str(gproxy.path)).returncode == FAILED
    gproxy.write(runtime={**gproxy.config["runtime"], "control": gproxy.control + "2"})
    gproxy.send(signal.SIGHUP)
    gproxy.control += "2"
    gproxy.wait_generation(2)
    gproxy.stop()


def test_a_stale_control_socket(processes: Processes) -> None:
    gproxy = Supervised.start(processes, inbound("mixed", free_port()))
    gproxy.process._popen.kill()  # nothing is tidied up
    gproxy.process._popen.wait()
    assert Path(gproxy.control).exists()
    assert run(*GPROXY, "status", "--control", gproxy.control).returncode == FAILED
    again = Supervised.start(processes, inbound("mixed", free_port()), runtime={"control": gproxy.control})
    assert again.ask("status")["pid"] == again.process.pid
    again.stop()


def test_two_instances(processes: Processes, site: Server) -> None:
    one, other = (Supervised.start(processes, inbound("mixed", free_port())) for _ in range(2))
    assert one.ask("stop")["ok"]
    assert one.process.wait() == 0
    assert fetched(port_of(other), site)
    # A third can take neither the port nor the control socket of the second.
    third = processes.gproxy({**other.config, "runtime": {**other.config["runtime"], "control": one.control}}, tcp=())
    assert third.wait(50) == FAILED
    assert "Address already in use" in third.log
    fourth = processes.gproxy({**other.config, "inbounds": [inbound("mixed", free_port())]}, tcp=())
    assert fourth.wait(50) == FAILED
    assert f"no control socket at {other.control}" in fourth.log
    assert fetched(port_of(other), site)
    assert other.ask("status")["pid"] == other.process.pid
    other.stop()


# -- the log -----------------------------------------------------------------------------------------------------------


def test_the_log_of_all_workers_moves_on(processes: Processes, site: Server, tmp_path: Path) -> None:
    log, moved = tmp_path / "gproxy.log", tmp_path / "gproxy.log.1"
    gproxy = Supervised.start(processes, inbound("mixed", free_port()), log={"output": str(log)})
    port = port_of(gproxy)
    log.rename(moved)
    gproxy.send(signal.SIGUSR1)
    wait_until(log.exists, "the log was not opened anew")
    pids = [*gproxy.workers().values()]

    def reopened() -> bool:
        return all(str(log) in _open_files(pid) and str(moved) not in _open_files(pid) for pid in pids)

    wait_until(reopened, "not all workers have opened it anew")
    for _ in range(10):
        assert fetched(port, site)
    wait_until(lambda: log.read_text().count(" ok") == 10, "lines are missing")
    assert "generation 1 serves" not in gproxy.process.log
    assert "generation 1 serves" in moved.read_text()
    gproxy.stop()


def _open_files(pid: int) -> list[str]:
    return [str(path.readlink()) for path in Path(f"/proc/{pid}/fd").iterdir() if path.is_symlink()]


# -- figures -----------------------------------------------------------------------------------------------------------


def test_memory_of_the_idle_service(processes: Processes, record_property: object) -> None:
    sums = []
    for workers in (2, 4):
        gproxy = Supervised.start(processes, inbound("mixed", free_port()), workers=workers, log={})
        sums.append(sum(map(pss, family(gproxy.process.pid))))
        gproxy.stop()
    each = (sums[1] - sums[0]) / 2
    assert callable(record_property)
    record_property("pss", [round(value / MIB, 1) for value in (*sums, each)])
    print("PSS in MiB: two workers, four, one more:", [round(value / MIB, 1) for value in (*sums, each)])
    assert sums[0] <= 80 * MIB
    assert each <= 8 * MIB


def test_the_kernel_spreads_clients(processes: Processes, record_property: object) -> None:
    """2000 connections at once from many addresses, counted where they arrive."""
    gproxy = Supervised.start(processes, inbound("mixed", free_port()), log={"level": "error"})
    port = port_of(gproxy)
    with CrowdEcho() as crowd, ExitStack() as stack:
        for number in range(2000):
            sock = stack.enter_context(socket.socket())
            sock.settimeout(20)
            sock.bind((f"127.1.{number // 200}.{number % 200 + 1}", 0))
            sock.connect((LOOPBACK, port))
        pids = list(gproxy.workers().values())
        wait_until(lambda: sum(_sockets(pid) for pid in pids) >= 2000, "they are not accepted", 20)
        shares = Counter({pid: _sockets(pid) for pid in pids})
        assert crowd.open == 0
    low = min(shares.values()) / sum(shares.values())
    assert callable(record_property)
    record_property("share", round(low, 3))
    print("the smaller share:", round(low, 3))
    assert low >= 0.4
    gproxy.stop()


def _sockets(pid: int) -> int:
    return sum(name.startswith("socket:") for name in _open_files(pid))


def test_the_template_has_no_hub(gproxy: Supervised) -> None:
    """It would assert itself, and die. A hub would show as an epoll descriptor; the workers have one each."""
    template = children(gproxy.process.pid)[0]
    assert not [name for name in _open_files(template) if "eventpoll" in name]
    for pid in children(template):
        assert [name for name in _open_files(pid) if "eventpoll" in name]
    kill(gproxy.workers()["0"])
    wait_until(lambda: len(children(template)) == 3 and all(map(alive, children(template))), "not replaced")
    gproxy.stop()


def test_hostile_questions(gproxy: Supervised) -> None:
    for text in (b"", b"\n", b"[" * 4000 + b"\n", b"x" * 100_000, b'{"ask": {}}\n', b"\xff\xfe\n", b"1" * 4090 + b"\n"):
        with socket.socket(socket.AF_UNIX) as sock:
            sock.settimeout(30)
            sock.connect(gproxy.control)
            sock.sendall(text)
            sock.shutdown(socket.SHUT_WR)
            assert b'"ok": false' in everything(sock)
    assert ask(gproxy.control, 5, ask="status")["ok"]
    gproxy.stop()


# -- bad surroundings --------------------------------------------------------------------------------------------------


def test_a_full_disk_for_the_log(processes: Processes, site: Server) -> None:
    gproxy = Supervised.start(processes, inbound("mixed", free_port()), log={"output": "/dev/full", "level": "trace"})
    for _ in range(2):
        assert all(fetched(port_of(gproxy), site) for _ in range(4))
        gproxy.send(signal.SIGUSR1)
        gproxy.next_generation()
    gproxy.stop()


def test_a_port_that_is_not_for_everybody(tmp_path: Path) -> None:
    needs("setpriv")
    runtime = {"workers": 2, "control": str(tmp_path / "control.sock")}
    path = write_config(tmp_path, 0, {"inbounds": [inbound("mixed", 80)], "runtime": runtime})
    setpriv = ("setpriv", "--bounding-set", "-net_bind_service", "--inh-caps", "-net_bind_service")
    done = run(*setpriv, *GPROXY, "run", "-c", str(path), seconds=50)
    assert done.returncode == FAILED
    assert f"can't listen on {LOOPBACK}:80/tcp: Permission denied" in done.stderr.decode()
    assert not (tmp_path / "control.sock").exists()


def test_a_broken_file_at_the_start(tmp_path: Path) -> None:
    """It is found before there is a master."""
    path = write_config(tmp_path, 0, {"runtime": {"workers": 2}, "nonsense": 1})
    done = run(*GPROXY, "run", "-c", str(path), seconds=50)
    assert done.returncode == REFUSED
    assert b"nonsense" in done.stderr
