"""Builds a container image into dist/, with no container engine and no registry.

    layer 1    what Python needs of Debian, out of its packages: no shell, no package manager
    layer 2    gproxy and its libraries, as scripts/bundle.py lays them out, and a configuration that listens for all

The Debian packages are fetched once, by mmdebstrap, into build/debs; after that no network is needed. It is built from
the commit that is checked out. The same commit and the same Debian packages give the same bytes.
"""

from __future__ import annotations

import argparse
import hashlib
import os
import platform
import re
import shlex
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parent))
from deb import copy_tree
from oci import Blob, layer, write_image

ROOT = Path(__file__).resolve().parent.parent
PYTHON = "3.11"
SUITE = "bookworm"
PACKAGES = ("base-files", "ca-certificates", "libstdc++6", f"python{PYTHON}")
# Fetched because others depend on them, for what happens at an installation only.
DROPPED = {"debconf", "dpkg", "libacl1", "libmd0", "libpcre2-8-0", "libselinux1", "mawk", "openssl", "tar"}
UNWANTED = ("usr/share/man", "usr/share/locale", "usr/share/lintian", "usr/share/info", "usr/share/applications")
ARCHITECTURES = {"x86_64": "amd64", "aarch64": "arm64"}  # of machines, as Debian and Go call them
USER = 65532  # nobody's on any distribution
OWNED = {"run/gproxy", "var/lib/gproxy"}
PASSWD = f"root:x:0:0:root:/:/nonexistent\ngproxy:x:{USER}:{USER}:gproxy:/var/lib/gproxy:/nonexistent\n"
FILES = {
    "etc/passwd": PASSWD,
    "etc/group": f"root:x:0:\ngproxy:x:{USER}:\n",
    "etc/nsswitch.conf": "passwd: files\ngroup: files\nhosts: files dns\nservices: files\nprotocols: files\n",
}
CONFIG = "/etc/gproxy/config.toml"
SETTINGS: dict[str, Any] = {
    "User": f"{USER}:{USER}",
    "Env": ["PATH=/usr/bin"],
    "WorkingDir": "/var/lib/gproxy",
    "Entrypoint": ["/usr/bin/gproxy"],
    "Cmd": ["run", "-c", CONFIG],
    "ExposedPorts": {"1080/tcp": {}},
    "StopSignal": "SIGTERM",
    # Docker's; the specification of images leaves it to Docker. Times are nanoseconds.
    "Healthcheck": {
        "Test": ["CMD", "/usr/bin/gproxy", "status", "-c", CONFIG],
        "Interval": 30_000_000_000,
        "Timeout": 5_000_000_000,
        "StartPeriod": 10_000_000_000,
        "Retries": 3,
    },
}


def main() -> None:
    """Build; prints the image's path."""
    parser = argparse.ArgumentParser(description="Build a container image without a container engine.")
    parser.add_argument("--to", type=Path, default=ROOT / "dist", help="folder for the image (dist)")
    parser.add_argument("--machine", default=platform.machine(), choices=ARCHITECTURES, help="machine that will run it")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        tree = Path(folder) / "gproxy"
        copy_tree(tree)
        print(build(tree, options.to, options.machine, committed()))


def committed() -> int:
    """When the commit was made, unless SOURCE_DATE_EPOCH says another time."""
    command = ["git", "log", "-1", "--format=%ct"]
    done = subprocess.run(command, cwd=ROOT, stdout=subprocess.PIPE, check=True)
    return int(os.environ.get("SOURCE_DATE_EPOCH") or done.stdout)


def build(tree: Path, to: Path, machine: str, when: int) -> Path:
    """Build the image of a tree, with `when` as the time of everything in it; gives its path in the folder `to`."""
    if not sys.version.startswith(f"{PYTHON}."):
        sys.exit(f"the image's bytecode is compiled by Python {PYTHON}, and this is {platform.python_version()}")
    architecture = ARCHITECTURES[machine]
    with tempfile.TemporaryDirectory() as folder:
        layers = [
            make_layer(Path(folder) / "base", when, lambda root: lay_base(root, fetch(architecture))),
            make_layer(Path(folder) / "app", when, lambda root: lay_app(root, tree, machine, when)),
        ]
    version = re.findall(r'^__version__ = "(.+)"$', (tree / "gproxy/__init__.py").read_text("utf-8"), re.MULTILINE)[0]
    labels = {
        "org.opencontainers.image.title": "gproxy",
        "org.opencontainers.image.description": "universal proxy server",
        "org.opencontainers.image.version": version,
        "org.opencontainers.image.licenses": "Apache-2.0",
    }
    to.mkdir(parents=True, exist_ok=True)
    path = to / f"gproxy-{version}-{architecture}.oci.tar"
    write_image(path, layers, SETTINGS, architecture, labels, f"gproxy:{version}", when)
    return path


def make_layer(root: Path, when: int, lay: Any) -> Blob:
    """Fill a folder, compile its Python, pack it."""
    root.mkdir()
    lay(root)
    for folder in root.rglob("*"):
        if folder.is_dir() and not folder.is_symlink() and not folder.stat().st_mode & 0o1000:
            folder.chmod(0o755)
    compile_python(root)
    return layer(root, when, lambda name: USER if name in OWNED else 0)


def compile_python(root: Path) -> None:
    """Compile the Python files, for the paths they will have: nothing is ever written in the image."""
    options = ["-I", "-m", "compileall", "-q", "-s", str(root), "-p", "/", "--invalidation-mode", "unchecked-hash"]
    command = [sys.executable, *options, str(root / "usr/lib")]
    subprocess.run(command, env={"PYTHONHASHSEED": "0"}, umask=0o022, check=True, timeout=300)


def fetch(architecture: str) -> list[Path]:
    """The Debian packages, fetched unless they are there."""
    name = hashlib.sha256(" ".join((SUITE, architecture, *PACKAGES)).encode()).hexdigest()[:12]
    place = ROOT / f"build/debs/{SUITE}-{architecture}-{name}"
    if not place.exists():
        place.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=place.parent) as folder:
            hook = f'cp "$1"/var/cache/apt/archives/*.deb {shlex.quote(folder)}'
            options = ["--quiet", "--variant=extract", f"--architectures={architecture}", f"--extract-hook={hook}"]
            command = ["mmdebstrap", *options, f"--include={','.join(PACKAGES)}", "--format=null", SUITE, "-"]
            subprocess.run(command, stdout=subprocess.DEVNULL, check=True, timeout=600)
            shutil.copytree(folder, place)
    return sorted(place.glob("*.deb"))


def lay_base(root: Path, packages: list[Path]) -> None:
    """Unpack the packages, without running anything of theirs; write what their scripts would have written."""
    for package in packages:
        control = ask(["dpkg-deb", "--field", str(package)])
        name = re.findall(r"^Package: (.+)$", control, re.MULTILINE)[0]
        if name in DROPPED:
            continue
        ask(["dpkg-deb", "--extract", str(package), str(root)])
        # Where scanners look for the packages of an image that has no package manager.
        write(root / "var/lib/dpkg/status.d" / name, control)
    prune(root)
    certificates = sorted((root / "usr/share/ca-certificates").rglob("*.crt"))
    write(root / "etc/ssl/certs/ca-certificates.crt", "".join(path.read_text() for path in certificates))
    (root / "usr/lib/ssl").mkdir(parents=True, exist_ok=True)
    (root / "usr/lib/ssl/cert.pem").symlink_to("/etc/ssl/certs/ca-certificates.crt")
    for name, text in FILES.items():
        write(root / name, text)


def prune(root: Path) -> None:
    """Take away the programs, but for Python, and what only people read, but for the licences."""
    for folder in ("bin", "sbin", "usr/bin", "usr/sbin"):
        for path in (root / folder).glob("*"):
            if path.name != f"python{PYTHON}":
                path.unlink()
    for name in UNWANTED:
        shutil.rmtree(root / name, ignore_errors=True)
    for path in (root / "usr/share/doc").glob("*/*"):
        if path.name != "copyright":
            shutil.rmtree(path) if path.is_dir() and not path.is_symlink() else path.unlink()


def lay_app(root: Path, tree: Path, machine: str, when: int) -> None:
    """Lay out the bundle and the configuration."""
    command = [
        sys.executable,
        "-B",
        str(tree / "scripts/bundle.py"),
        str(root),
        "--python",
        PYTHON,
        "--machine",
        machine,
    ]
    subprocess.run(command, env={**os.environ, "SOURCE_DATE_EPOCH": str(when)}, check=True, timeout=120)
    write(root / CONFIG.lstrip("/"), (tree / "packaging/container/config.toml").read_text("utf-8"))
    for name in OWNED:
        (root / name).mkdir(parents=True)


def ask(command: list[str]) -> str:
    """What a program prints."""
    return subprocess.run(command, stdout=subprocess.PIPE, check=True, timeout=120).stdout.decode()


def write(path: Path, text: str) -> None:
    """Write a file and the folders above it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, "utf-8")
    path.chmod(0o644)


if __name__ == "__main__":
    main()
