"""The container image: the same twice, read by others' tools, and run from its own configuration without an engine."""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import shlex
import shutil
import signal
import subprocess
import sys
import tarfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from gproxy import __version__
from tests.packaging.box import ROOT, wait_for
from tests.packaging.life import GREETING, ORIGIN

sys.path.insert(0, str(ROOT / "scripts"))
import deb
import image

# What an engine does with `--read-only --cap-drop=all --network=none`: a root that is read-only but for some mounts, a
# process 1 without a capability, a network with a loopback only.
ENGINE = """
set -e
ip link set lo up
mount --bind {root} {root}
mount -t proc proc {root}/proc
mount -t tmpfs tmpfs {root}/dev
for each in null zero full random urandom; do touch {root}/dev/$each; mount --bind /dev/$each {root}/dev/$each; done
{mounts}
mount -o remount,bind,ro {root}
exec setpriv --no-new-privs chroot --userspec={uid}:{uid} --groups= {root} \
    /usr/lib/gproxy/bin/python3 -I -c {start}
"""
TMP = "mount -t tmpfs -o mode=1777 tmpfs {root}/tmp"
RUN = "mount -t tmpfs -o mode=0750,uid={uid},gid={uid} tmpfs {root}/run/gproxy"
# There is no shell in the image, so Python does what runc would: environment, folder, program.
START = "import os; os.chdir({cwd!r}); os.execve({args[0]!r}, {args!r}, {env!r})"


@dataclass(frozen=True)
class Unpacked:
    """The image as umoci unpacks it: a root and what a runtime is told."""

    root: Path
    process: dict[str, Any]
    config: dict[str, Any]


@pytest.fixture(scope="module")
def twice(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    folder = tmp_path_factory.mktemp("image")
    deb.copy_tree(folder / "tree")
    when = image.committed()
    first = image.build(folder / "tree", folder / "first", "x86_64", when)
    shutil.copytree(folder / "tree", folder / "else/where", symlinks=True)
    build = f"import image; from pathlib import Path; image.build(Path({str(folder / 'else/where')!r}),"
    build += f" Path({str(folder / 'again')!r}), 'x86_64', {when})"
    environment = {**os.environ, "TZ": "Pacific/Chatham", "LC_ALL": "C", "PYTHONPATH": str(ROOT / "scripts")}
    subprocess.run([sys.executable, "-c", build], env=environment, umask=0o077, check=True, timeout=900)
    return first, folder / "again" / first.name


@pytest.fixture(scope="module")
def unpacked(twice: tuple[Path, Path], tmp_path_factory: pytest.TempPathFactory) -> Unpacked:
    folder = tmp_path_factory.mktemp("unpacked")
    run("skopeo", "copy", "--quiet", f"oci-archive:{twice[0]}:{__version__}", f"oci:{folder}/layout:it")
    run("umoci", "unpack", "--image", f"{folder}/layout:it", f"{folder}/bundle")
    runtime = json.loads((folder / "bundle/config.json").read_text())
    config = json.loads(run("skopeo", "inspect", "--config", f"oci-archive:{twice[0]}:{__version__}"))
    return Unpacked(folder / "bundle/rootfs", runtime["process"], config)


def run(*command: str) -> str:
    return subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True, timeout=120).stdout


def test_the_same_bytes_twice(twice: tuple[Path, Path]) -> None:
    first, again = twice
    assert hashlib.sha256(first.read_bytes()).digest() == hashlib.sha256(again.read_bytes()).digest()


def test_old_dockers_read_it_too(twice: tuple[Path, Path]) -> None:
    layers = json.loads(run("skopeo", "inspect", f"docker-archive:{twice[0]}"))["Layers"]
    assert len(layers) == 2


def test_the_settings(unpacked: Unpacked) -> None:
    assert unpacked.process["user"] == {"uid": image.USER, "gid": image.USER}
    assert unpacked.process["args"] == ["/usr/bin/gproxy", "run", "-c", image.CONFIG]
    assert unpacked.config["config"]["StopSignal"] == "SIGTERM"
    assert unpacked.config["os"] == "linux"
    assert unpacked.config["config"]["Labels"]["org.opencontainers.image.version"] == __version__


def test_the_health_check_is_in_the_configuration(twice: tuple[Path, Path]) -> None:
    with tarfile.open(twice[0]) as archive:
        (entry,) = json.load(archive.extractfile("manifest.json"))  # type: ignore[arg-type]
        config = json.load(archive.extractfile(entry["Config"]))  # type: ignore[arg-type]
    assert config["config"]["Healthcheck"]["Test"] == ["CMD", "/usr/bin/gproxy", "status", "-c", image.CONFIG]


def test_what_is_in_it(unpacked: Unpacked) -> None:
    root = unpacked.root
    programs = [path.name for folder in ("bin", "sbin", "usr/bin", "usr/sbin") for path in (root / folder).glob("*")]
    assert sorted(programs) == ["gproxy", f"python{image.PYTHON}"]
    assert os.readlink(root / "usr/lib/ssl/cert.pem") == "/etc/ssl/certs/ca-certificates.crt"
    assert "BEGIN CERTIFICATE" in (root / "etc/ssl/certs/ca-certificates.crt").read_text()
    assert (root / "var/lib/dpkg/status.d/libssl3").read_text().startswith("Package: libssl3\nSource: openssl\n")
    assert (root / "usr/share/doc/gproxy/sbom.cdx.json").exists()
    assert not [path for path in root.rglob("*") if path.lstat().st_mode & 0o6000]
    assert not [path for path in root.rglob("*") if path.is_file() and os.fsencode(ROOT) in path.read_bytes()]
    writable = {path.relative_to(root).as_posix() for path in root.rglob("*") if path.lstat().st_uid}
    assert writable == image.OWNED


@contextlib.contextmanager
def container(image_: Unpacked, mounts: str) -> Iterator[subprocess.Popen[str]]:
    """Run the image as an engine would; gives the engine."""
    process = image_.process
    env = dict(each.split("=", 1) for each in process["env"])
    start = START.format(cwd=process["cwd"], args=process["args"], env=env)
    names = {"root": shlex.quote(str(image_.root)), "uid": process["user"]["uid"], "start": shlex.quote(start)}
    script = ENGINE.format(mounts=mounts.format(**names), **names)
    unshare = ["unshare", "--net", "--pid", "--mount", "--ipc", "--uts", "--fork", "--kill-child", "sh", "-c", script]
    with subprocess.Popen(unshare, stdin=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True) as engine:
        try:
            yield engine
        finally:
            engine.kill()


def first_process(engine: subprocess.Popen[str]) -> int:
    """The number, outside, of the container's process 1."""
    children = Path(f"/proc/{engine.pid}/task/{engine.pid}/children")
    wait_for(lambda: children.read_text().split() != [], 30, "the container has a process")
    return int(children.read_text().split()[0])


def inside(pid: int, *command: str) -> subprocess.CompletedProcess[str]:
    """Run a program of this machine in the container's network."""
    enter = ["nsenter", "--target", str(pid), "--net", *command]
    return subprocess.run(enter, stdout=subprocess.PIPE, text=True, check=False, timeout=30)


def execute(pid: int, image_: Unpacked, *command: str) -> int:
    """Run a program of the image in the container, as `docker exec` does."""
    enter = ["nsenter", "--target", str(pid), "--net", "--pid", "--mount", "--root", "--wd"]
    user = [f"--setuid={image_.process['user']['uid']}", f"--setgid={image_.process['user']['gid']}"]
    return subprocess.run([*enter, *user, *command], stdout=subprocess.DEVNULL, check=False, timeout=30).returncode


@pytest.mark.parametrize("mounts", [TMP, RUN], ids=["tmp", "run"])
def test_it_serves_and_ends(unpacked: Unpacked, tmp_path: Path, mounts: str) -> None:
    (tmp_path / "hello").write_text(GREETING)
    check = image.SETTINGS["Healthcheck"]["Test"][1:]
    with container(unpacked, mounts) as engine:
        pid = first_process(engine)
        wait_for(lambda: execute(pid, unpacked, *check) == 0, 30, "it is healthy")
        status = dict(line.split(":\t", 1) for line in Path(f"/proc/{pid}/status").read_text().splitlines())
        assert status["Uid"].split() == [str(image.USER)] * 4
        assert (int(status["CapEff"], 16), status["NoNewPrivs"], status["NSpid"].split()[1]) == (0, "1", "1")
        server = ["-m", "http.server", "8000", "--bind", "127.0.0.1", "--directory", str(tmp_path)]
        command = ["nsenter", "--target", str(pid), "--net", sys.executable, *server]
        with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as origin:
            fetch = ["curl", "-sf", "--max-time", "10", "-x"]
            wait_for(lambda: inside(pid, "curl", "-sf", ORIGIN).stdout == GREETING, 30, "the origin answers")
            for proxy in ("http://127.0.0.1:1080", "socks5h://127.0.0.1:1080", "http://[::1]:1080"):
                assert inside(pid, *fetch, proxy, ORIGIN).stdout == GREETING
            origin.terminate()
        os.kill(pid, signal.SIGTERM)
        assert engine.wait(30) == 0


def test_with_no_place_for_its_control_socket_it_says_so(unpacked: Unpacked) -> None:
    with container(unpacked, "") as engine:
        said = engine.communicate(timeout=30)[1]
    assert engine.returncode == 1
    assert "no control socket at /tmp/" in said


# -- The files for those who have an engine. They can't be run here, so they are read. ---------------------------------

CONTAINER = ROOT / "packaging/container"


def instructions() -> list[tuple[str, str]]:
    """The Dockerfile's, in order."""
    lines = [line for line in (CONTAINER / "Dockerfile").read_text().splitlines() if not line.startswith("#")]
    text = "\n".join(lines).replace("\\\n", " ")
    return [(line.split(None, 1)[0], line.split(None, 1)[1]) for line in text.splitlines() if line.strip()]


def test_the_dockerfile_says_what_the_image_has() -> None:
    kinds = [kind for kind, _ in instructions()]
    last = dict(instructions()[len(kinds) - kinds[::-1].index("FROM") :])
    settings = image.SETTINGS
    assert last["USER"] == settings["User"]
    assert last["WORKDIR"] == settings["WorkingDir"]
    assert last["EXPOSE"].split() == list(settings["ExposedPorts"])
    assert last["STOPSIGNAL"] == settings["StopSignal"]
    assert json.loads(last["ENTRYPOINT"]) == settings["Entrypoint"]
    assert json.loads(last["CMD"]) == settings["Cmd"]
    times, _, test = last["HEALTHCHECK"].partition("CMD ")
    check = settings["Healthcheck"]
    assert ["CMD", *json.loads(test)] == check["Test"]
    seconds = [check[name] // 10**9 for name in ("Interval", "Timeout", "StartPeriod")]
    stated = "--interval={}s --timeout={}s --start-period={}s --retries={}".format(*seconds, check["Retries"])
    assert times.split() == stated.split()
    assert set(kinds) <= {"FROM", "RUN", "WORKDIR", "COPY", *last}


def test_what_the_dockerfile_copies_is_enough_to_build(tmp_path: Path) -> None:
    ignore = (CONTAINER / "Dockerfile.dockerignore").read_text().split()
    source = tmp_path / "src"
    source.mkdir()
    for kind, rest in instructions():
        if kind == "COPY" and not rest.startswith("--from"):
            *names, _to = rest.split()
            for name in names:
                assert f"!{name}" in ignore
                copy = shutil.copytree if (ROOT / name).is_dir() else shutil.copy
                copy(ROOT / name, source / Path(name).name)
    (source / "build").mkdir()
    (source / "build/wheelhouse").symlink_to(ROOT / "build/wheelhouse")
    ran = []
    for kind, rest in instructions():
        if kind == "RUN" and rest.startswith("python3 ") and "wheelhouse.py" not in rest:
            command = [str(tmp_path / "out") + each[4:] if each.startswith("/out") else each for each in rest.split()]
            subprocess.run([sys.executable, *command[1:]], cwd=source, check=True, timeout=120)
            ran.append(rest)
    assert len(ran) == 2
    assert list((tmp_path / "out").rglob("*.pyc"))
    assert (tmp_path / "out/usr/lib/gproxy/bin/gproxy").exists()


def test_the_compose_example() -> None:
    script = "import json, sys, yaml; json.dump(yaml.safe_load(sys.stdin), sys.stdout)"
    path = CONTAINER / "docker-compose.yml"
    command = ["/usr/bin/python3", "-c", script]
    done = subprocess.run(command, input=path.read_bytes(), stdout=subprocess.PIPE, check=True, timeout=30)
    service = json.loads(done.stdout)["services"]["gproxy"]
    assert service["image"] == f"gproxy:{__version__}"
    assert (CONTAINER / service["build"]["context"] / service["build"]["dockerfile"]).samefile(CONTAINER / "Dockerfile")
    assert service["healthcheck"]["test"] == image.SETTINGS["Healthcheck"]["Test"]
    assert all(port.startswith("127.0.0.1:") for port in service["ports"])
    assert (service["read_only"], service["cap_drop"]) == (True, ["ALL"])
    mounted, target, _ = service["volumes"][0].split(":")
    assert (CONTAINER / mounted).exists()
    assert target == image.CONFIG


def test_the_configuration_is_sound() -> None:
    command = [sys.executable, "-m", "gproxy", "check", "-c", str(CONTAINER / "config.toml")]
    subprocess.run(command, cwd=ROOT, check=True, timeout=30)
