"""Boxes: Debian systems with an init of their own, booted by systemd-nspawn on a machine that may have neither.

A box has its own network with a loopback only, and the packages under test in a local repository. Commands are run in
it through nsenter. The base of a box is kept in build/boxes, by the list of its packages, since making it takes half a
minute; unpacking it takes three seconds.
"""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import os
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent.parent
BASES = ROOT / "build/boxes"
SUITE = "bookworm"
COMMON = ["adduser", "ca-certificates", "curl", "iproute2", "logrotate", "lsb-base", "man-db", "procps", "python3.11"]
INITS = {
    "systemd": ["systemd-sysv", "dbus"],
    "dnf": ["systemd-sysv", "dbus", "dnf", "rpm"],
    "sysvinit": ["sysvinit-core", "sysv-rc", "initscripts", "bootlogd"],
}
PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
SOURCE = "deb [trusted=yes] file:/srv/repository ./\n"
LONG = 300.0


def base(init: str) -> Path:
    """The tar of a root with this init, made when it is not there yet."""
    packages = sorted([*COMMON, *INITS[init]])
    name = f"{init}-{hashlib.sha256(' '.join([SUITE, *packages]).encode()).hexdigest()[:12]}.tar"
    if not (BASES / name).exists():
        BASES.mkdir(parents=True, exist_ok=True)
        made = BASES / f"making-{os.getpid()}-{name}"
        command = ["mmdebstrap", "--quiet", "--variant=apt", f"--include={','.join(packages)}", SUITE, str(made)]
        subprocess.run(command, check=True, timeout=600)
        made.rename(BASES / name)
    return BASES / name


class Box:
    """A booted system."""

    def __init__(self, root: Path, nspawn: subprocess.Popen[bytes]) -> None:
        self.root = root
        self._nspawn = nspawn
        self._leader = 0

    def attach(self) -> None:
        """Find the box's process 1; wait until its init has finished booting."""
        wait_for(lambda: bool(self._inits()), 60, "nspawn has started an init")
        self._leader = self._inits()[0]
        self.root = Path(f"/proc/{self._leader}/root")  # as the box itself sees it, with what it has mounted
        if (self.root / "usr/bin/systemctl").exists():
            wait_for(lambda: "running" in self.try_("systemctl is-system-running").stdout, 180, "the box runs")
        else:
            wait_for(lambda: self.try_("runlevel").stdout.strip() == "N 2", 180, "the box is in runlevel 2")
        self.run("ip link set lo up")

    def _inits(self) -> list[int]:
        """The box's process 1, as soon as it is an init: first it is nspawn itself, whose helper is a child as well."""
        path = Path(f"/proc/{self._nspawn.pid}/task/{self._nspawn.pid}/children")
        return [int(each) for each in path.read_text().split() if "nspawn" not in _program(int(each))]

    def command(self, script: str) -> list[str]:
        """The command line that runs a shell's script in the box."""
        enter = ["nsenter", "--target", str(self._leader), "--mount", "--uts", "--ipc", "--net", "--pid", "--cgroup"]
        variables = [f"PATH={PATH}", "HOME=/root", "LC_ALL=C.UTF-8", "DEBIAN_FRONTEND=noninteractive"]
        return [*enter, "--root", "--wd", "env", "-i", *variables, "sh", "-c", script]

    def try_(self, script: str, limit: float = 60.0) -> subprocess.CompletedProcess[str]:
        """Run a script; its end, whatever it is. Raises subprocess.TimeoutExpired."""
        pipes = {"stdin": subprocess.DEVNULL, "stdout": subprocess.PIPE, "stderr": subprocess.STDOUT}
        return subprocess.run(self.command(script), text=True, timeout=limit, check=False, **pipes)  # type: ignore[call-overload]

    def run(self, script: str, limit: float = 60.0) -> str:
        """Run a script that must succeed; what it printed."""
        done = self.try_(script, limit)
        assert done.returncode == 0, f"`{script}` ended with {done.returncode}:\n{done.stdout}\n{self._journal()}"
        return done.stdout

    def _journal(self) -> str:
        """The newest lines of the log, for a failure's report."""
        return self.try_("journalctl --unit=gproxy --lines=40 --no-pager || tail -n 40 /var/log/gproxy/*.log").stdout

    @contextlib.contextmanager
    def background(self, script: str) -> Iterator[subprocess.Popen[str]]:
        """A script that runs beside the test. Its output is the test's to read."""
        with subprocess.Popen(self.command(f"exec {script}"), text=True, stdout=subprocess.PIPE) as process:
            try:
                yield process
            finally:
                process.kill()

    def apt(self, what: str) -> str:
        """Run apt-get, keeping what the administrator has edited, as unattended machines do."""
        keep = "-o Dpkg::Options::=--force-confdef -o Dpkg::Options::=--force-confold"
        return self.run(f"apt-get -qy {keep} {what}", LONG)

    def write(self, path: str, text: str) -> None:
        """Write a file, keeping its mode and owner if it is there."""
        target = self.root / path.lstrip("/")
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_text(text, "utf-8")

    def read(self, path: str) -> str:
        """A file's text."""
        return (self.root / path.lstrip("/")).read_text("utf-8")

    def poweroff(self) -> None:
        """Off, in order or else not."""
        with contextlib.suppress(ProcessLookupError):
            os.kill(self._leader or self._nspawn.pid, signal.SIGKILL)
        self._nspawn.wait(20)


@contextlib.contextmanager
def alone(folder: Path) -> Iterator[None]:
    """Let no other process in meanwhile."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_CLOEXEC)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)


@contextlib.contextmanager
def booted(init: str, repository: Path) -> Iterator[Box]:
    """A box with this init and the repository's packages at hand. It is gone afterwards, whatever happened in it.

    Two with systemd are never there at once: they would take each other's control groups for their own.
    """
    tar = base(init)
    with (
        contextlib.nullcontext() if init == "sysvinit" else alone(BASES),
        tempfile.TemporaryDirectory(prefix="gproxy-box-", dir=BASES) as folder,
    ):
        root = Path(folder) / "root"
        root.mkdir()
        subprocess.run(["tar", "-C", str(root), "-xf", str(tar)], check=True, timeout=300)
        shutil.copytree(repository, root / "srv/repository")
        (root / "etc/apt/sources.list").write_text(SOURCE)
        for other in (root / "etc/apt/sources.list.d").iterdir():
            other.unlink()
        box = Box(root, _boot(root, Path(folder) / "console"))
        try:
            box.attach()
            yield box
        finally:
            box.poweroff()


def _program(pid: int) -> str:
    """What a process runs; `nspawn` if it has just ended."""
    try:
        return os.readlink(f"/proc/{pid}/exe")
    except OSError:
        return "nspawn"


def _boot(root: Path, console: Path) -> subprocess.Popen[bytes]:
    """Keep its console read-only: nspawn would wait for a reader, or for a writer, on any other kind."""
    options = ["--quiet", "--register=no", "--keep-unit", "--private-network", "--console=read-only"]
    command = ["systemd-nspawn", *options, f"--machine=gproxy-{os.getpid()}", "--directory", str(root), "--boot"]
    with console.open("wb") as output:
        return subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=output, stderr=output)


def wait_for(condition, limit: float, what: str) -> None:  # type: ignore[no-untyped-def]
    """Wait until a condition holds. Fails, saying what did not come."""
    end = time.monotonic() + limit
    while not condition():
        assert time.monotonic() < end, f"not within {limit:g} s: {what}"
        time.sleep(0.05)
