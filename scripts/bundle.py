"""Lays out gproxy with its locked libraries as an environment of its own: what the deb, the rpm and the image hold.

    /usr/lib/gproxy/pyvenv.cfg                        makes the folder a virtual environment
    /usr/lib/gproxy/bin/python3 -> /usr/bin/python3.11
    /usr/lib/gproxy/bin/gproxy                        the command; /usr/bin/gproxy is a link to it
    /usr/lib/gproxy/lib/python3.11/site-packages/     the wheels, byte for byte, without tests, sources and what
                                                      gproxy has no use for; gproxy

Needs the wheelhouse and the standard library: no network, no pip, no compiler. The Python of the target need not be on
this machine. The same tree and wheels give the same bytes, whatever the umask, the folder and the time.
"""

from __future__ import annotations

import argparse
import base64
import csv
import hashlib
import io
import os
import platform
import re
import sys
import zipfile
from collections.abc import Iterable, Iterator
from pathlib import Path, PurePosixPath

sys.path.insert(0, str(Path(__file__).parent))
from locked import Locked, read_lock
from sbom import Component, read_component, sbom
from wheelhouse import tag

ROOT = Path(__file__).resolve().parent.parent
PREFIX = PurePosixPath("/usr/lib/gproxy")
BUILD_TOOLS = {"setuptools"}  # locked too, since it installs a working copy in place
UNWANTED_FOLDERS = {"tests", "testing", "__pycache__"}
UNWANTED_SUFFIXES = {".c", ".cc", ".cpp", ".h", ".hpp", ".pxd", ".pxi", ".pyi", ".pyx", ".pyc"}
# pycryptodome is here for ciphers that cryptography has let go: the rest of it would be a sixth of the packages.
# tests/packaging/test_bundle.py holds that all of what gproxy imports is there.
UNUSED = tuple(f"Crypto/{part}/" for part in ("IO", "Math", "Protocol", "PublicKey", "SelfTest", "Signature"))


def main() -> None:
    """Lay out the bundle. Exits with a message when the lock and the wheelhouse disagree."""
    parser = argparse.ArgumentParser(description="Lay out gproxy with its libraries, for a package or an image.")
    parser.add_argument("destination", type=Path, help="root of the target: usr/lib/gproxy is made in it")
    parser.add_argument("--python", default="3.11", help="version of the Python that will run it (3.11)")
    parser.add_argument("--machine", default=platform.machine(), help="machine that will run it, as `uname -m` says it")
    parser.add_argument("--interpreter", help="path of the target's Python (/usr/bin/pythonX.Y)")
    parser.add_argument("--wheelhouse", type=Path, help="folder of wheels (build/wheelhouse/TAG)")
    options = parser.parse_args()
    wheelhouse = options.wheelhouse or ROOT / "build/wheelhouse" / tag(options.python, options.machine)
    interpreter = options.interpreter or f"/usr/bin/python{options.python}"
    home = options.destination / PREFIX.relative_to("/")
    site = home / f"lib/python{options.python}/site-packages"
    lock = read_lock(ROOT / "requirements.lock", options.python)
    components = [unpack(wheel, locked, site) for locked, wheel in find(wheelhouse, lock)]
    version = add_project(site)
    make_environment(home, interpreter, options.python)
    write(options.destination / "usr/share/doc/gproxy/sbom.cdx.json", sbom(version, components, epoch()))
    settle(options.destination)
    refuse_build_path(home)


def find(wheelhouse: Path, lock: Iterable[Locked]) -> Iterator[tuple[Locked, Path]]:
    """What running needs: each line of the lock with the one wheel that it vouches for."""
    by_hash = {hashlib.sha256(path.read_bytes()).hexdigest(): path for path in sorted(wheelhouse.glob("*.whl"))}
    for locked in lock:
        if locked.name in BUILD_TOOLS:
            continue
        found = sorted(by_hash[each] for each in locked.hashes & by_hash.keys())
        if len(found) != 1:
            sys.exit(f"{wheelhouse} has {len(found)} wheels for {locked.name} {locked.version}: run `make wheelhouse`")
        yield locked, found[0]


def unpack(wheel: Path, locked: Locked, site: Path) -> Component:
    """Unpack what is wanted of a wheel, every file checked against the wheel's own record."""
    with zipfile.ZipFile(wheel) as archive:
        record = next(name for name in archive.namelist() if re.fullmatch(r"[^/]+\.dist-info/RECORD", name))
        kept = []
        for name, digest, size in csv.reader(io.StringIO(archive.read(record).decode())):
            if name == record or not wanted(name):
                continue
            data = archive.read(name)
            if digest != record_hash(data):
                sys.exit(f"{wheel.name}: {name} is not what its RECORD says")
            write(site / name, data)
            kept.append((name, digest, size))
        component = read_component(archive, locked.name, locked.version, hashlib.sha256(wheel.read_bytes()).hexdigest())
    write(site / record, record_text(kept, record))
    return component


def wanted(name: str) -> bool:
    """Whether running needs a file, or its licence does. Raises ValueError for one that would leave the folder."""
    path = PurePosixPath(name)
    if path.is_absolute() or ".." in path.parts:
        raise ValueError(f"a wheel wants to write {name}")
    sources = path.suffix in UNWANTED_SUFFIXES or path.name == "direct_url.json"
    folders = UNWANTED_FOLDERS & set(path.parts[:-1]) or path.parts[0].endswith(".data") or name.startswith(UNUSED)
    return not sources and not folders


def add_project(site: Path) -> str:
    """Copy gproxy itself, with the little that importlib.metadata wants to know of it; gives its version."""
    version = re.search(r'^__version__ = "([^"]+)"$', (ROOT / "gproxy/__init__.py").read_text("utf-8"), re.MULTILINE)
    if version is None:
        sys.exit("gproxy/__init__.py states no __version__")
    info = f"gproxy-{version[1]}.dist-info"
    metadata = f"Metadata-Version: 2.1\nName: gproxy\nVersion: {version[1]}\nLicense: Apache-2.0\n"
    files = {
        path.relative_to(ROOT).as_posix(): path.read_bytes()
        for path in (ROOT / "gproxy").rglob("*")
        if path.suffix == ".py" or path.name == "py.typed"
    }
    files |= {f"{info}/METADATA": metadata.encode(), f"{info}/licenses/LICENSE": (ROOT / "LICENSE").read_bytes()}
    for name, data in files.items():
        write(site / name, data)
    rows = [(name, record_hash(data), str(len(data))) for name, data in files.items()]
    write(site / info / "RECORD", record_text(rows, f"{info}/RECORD"))
    return version[1]


def make_environment(home: Path, interpreter: str, python: str) -> None:
    """What turns the folder into a virtual environment with one command.

    -I keeps PYTHONPATH, the user's own packages and the current folder out: administrators run this as root.
    """
    base = PurePosixPath(interpreter).parent
    write(home / "pyvenv.cfg", f"home = {base}\ninclude-system-site-packages = false\nversion = {python}\n")
    write(home / "bin/gproxy", f"#!{PREFIX}/bin/python3 -I\nfrom gproxy.__main__ import main\n\nmain()\n", 0o755)
    link(home / "bin/python3", interpreter)
    link(home.parent.parent / "bin/gproxy", "../lib/gproxy/bin/gproxy")


def record_hash(data: bytes) -> str:
    """As RECORD writes it."""
    return "sha256=" + base64.urlsafe_b64encode(hashlib.sha256(data).digest()).decode().rstrip("=")


def record_text(rows: list[tuple[str, str, str]], name: str) -> str:
    """A RECORD, sorted. It lists itself, without a hash."""
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerows(sorted([*rows, (name, "", "")]))
    return text.getvalue()


def write(path: Path, data: bytes | str, mode: int = 0o644) -> None:
    """Write a file and the folders above it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data.encode() if isinstance(data, str) else data)
    path.chmod(mode)


def link(path: Path, target: str) -> None:
    """Make a symbolic link, or make it anew."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.unlink(missing_ok=True)
    path.symlink_to(target)


def epoch() -> int | None:
    """When the sources were released, for what carries a time (reproducible-builds.org)."""
    text = os.environ.get("SOURCE_DATE_EPOCH")
    return int(text) if text else None


def settle(destination: Path) -> None:
    """Give every folder one mode, and everything one time if there is one."""
    when = epoch()
    for folder, folders, names in os.walk(destination, topdown=False):
        for path in (Path(folder, name) for name in [*folders, *names]):
            if path.is_dir() and not path.is_symlink():
                path.chmod(0o755)
            if when is not None:
                os.utime(path, (when, when), follow_symlinks=False)


def refuse_build_path(home: Path) -> None:
    """The bundle must not say where it was made."""
    needle = os.fsencode(ROOT)
    for path in home.rglob("*"):
        if path.is_file() and not path.is_symlink() and needle in path.read_bytes():
            sys.exit(f"{path} names {ROOT}")


if __name__ == "__main__":
    main()
