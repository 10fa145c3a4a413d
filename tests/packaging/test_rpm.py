"""The rpm: what it holds, what it needs, and its life under dnf and systemd, in a Debian that plays an EL base."""

from __future__ import annotations

import hashlib
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from gproxy import __version__
from tests.packaging.box import LONG, ROOT, Box, booted
from tests.packaging.conftest import PREVIOUS, replaced
from tests.packaging.life import CONFIG, GREETING, edit, fetch, load, origin

sys.path.insert(0, str(ROOT / "scripts"))
import audit
import deb

import rpm

# What RHEL 8 has; its newest glibc symbols are those of 2.28.
NEWEST = {"GLIBC": (2, 28), "GLIBCXX": (3, 4, 25), "CXXABI": (1, 3, 11), "GCC": (8, 0, 0)}
LIBRARIES = {
    "ld-linux-x86-64.so.2",
    "libc.so.6",
    "libdl.so.2",
    "libgcc_s.so.1",
    "libm.so.6",
    "libpthread.so.0",
    "librt.so.1",
}
LIBRARIES |= {"libstdc++.so.6", "linux-vdso.so.1"}
NAMES = {"/bin/sh", "findutils", "rtld(GNU_HASH)", "shadow-utils", "systemd"}

# Everything beside the bundle: path, mode, group, whether it is configuration, and the file of the tree it comes from.
BESIDE = [
    ("/etc/gproxy/config.toml", 0o640, "gproxy", True, None),
    ("/etc/logrotate.d/gproxy", 0o644, "root", True, "packaging/gproxy.logrotate"),
    ("/etc/sysconfig/gproxy", 0o644, "root", True, None),
    ("/usr/lib/systemd/system/gproxy.service", 0o644, "root", False, "packaging/gproxy.service"),
    ("/usr/lib/systemd/system/gproxy.socket", 0o644, "root", False, "packaging/gproxy.socket"),
    ("/usr/lib/systemd/system/gproxy@.service", 0o644, "root", False, "packaging/gproxy@.service"),
    ("/usr/lib/sysusers.d/gproxy.conf", 0o644, "root", False, "packaging/gproxy.sysusers"),
    ("/usr/lib/tmpfiles.d/gproxy.conf", 0o644, "root", False, "packaging/gproxy.tmpfiles"),
    ("/usr/share/bash-completion/completions/gproxy", 0o644, "root", False, None),
    ("/usr/share/doc/gproxy/operations.md", 0o644, "root", False, "docs/operations.md"),
    ("/usr/share/doc/gproxy/rpm.md", 0o644, "root", False, "docs/rpm.md"),
    ("/usr/share/fish/vendor_completions.d/gproxy.fish", 0o644, "root", False, None),
    ("/usr/share/gproxy/systemd/netns.conf", 0o644, "root", False, "packaging/additions/netns.conf"),
    ("/usr/share/gproxy/systemd/process.conf", 0o644, "root", False, "packaging/additions/process.conf"),
    ("/usr/share/gproxy/systemd/tun.conf", 0o644, "root", False, "packaging/additions/tun.conf"),
    ("/usr/share/licenses/gproxy/LICENSE", 0o644, "root", False, "LICENSE"),
    ("/usr/share/man/man1/gproxy.1.gz", 0o644, "root", False, None),
    ("/usr/share/man/man5/gproxy.toml.5.gz", 0o644, "root", False, None),
    ("/usr/share/zsh/site-functions/_gproxy", 0o644, "root", False, None),
]


class Built:
    """The rpms: for EL's Python twice, for the box's Python in two versions, packed in a hurry."""

    def __init__(self, folder: Path) -> None:
        self.tree = folder / "tree/gproxy"
        deb.copy_tree(self.tree)
        with ThreadPoolExecutor(2) as pool:
            first = pool.submit(rpm.build, self.tree, folder / "el")
            again = pool.submit(self._elsewhere, folder / "again/elsewhere", folder / "again/el")
            ours = pool.submit(self._ours, folder / "ours/gproxy", folder / "repository")
            previous = pool.submit(self._previous, folder / "previous/gproxy", folder / "repository")
        self.el, self.again = first.result(), again.result()
        self.repository = ours.result().parent
        previous.result()

    def _copy(self, to: Path) -> None:
        to.parent.mkdir(parents=True, exist_ok=True)
        shutil.copytree(self.tree, to, symlinks=True)

    def _elsewhere(self, tree: Path, to: Path) -> Path:
        """Build it in another folder, with another file mode mask, time zone and language."""
        self._copy(tree)
        build = f"import pathlib, rpm; rpm.build(pathlib.Path({str(tree)!r}), pathlib.Path({str(to)!r}))"
        environment = {**os.environ, "TZ": "Pacific/Chatham", "LC_ALL": "C", "PYTHONPATH": str(ROOT / "scripts")}
        subprocess.run([sys.executable, "-c", build], env=environment, umask=0o077, check=True, timeout=900)
        return next(to.glob("*.rpm"))

    def _ours(self, tree: Path, to: Path) -> Path:
        """The package for the box."""
        self._copy(tree)
        return self._packed(tree, to)

    @staticmethod
    def _packed(tree: Path, to: Path) -> Path:
        spec = tree / "rpm/gproxy.spec"
        spec.write_text(replaced(spec.read_text(), "w7.xzdio", "w1.gzdio"))
        return rpm.build(tree, to, "3.11")

    def _previous(self, tree: Path, to: Path) -> Path:
        """The package of an older version, whose configuration had one more line."""
        self._copy(tree)
        rpm.restate(tree, PREVIOUS)
        with (tree / "packaging/config.toml").open("a") as config:
            config.write("# A remark of the previous version.\n")
        return self._packed(tree, to)


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Built:
    return Built(tmp_path_factory.mktemp("rpms"))


def query(package: Path, *what: str) -> str:
    command = ["rpm", "--query", "--package", *what, str(package)]
    return subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True, timeout=60).stdout


def test_the_same_bytes_twice(built: Built) -> None:
    assert hashlib.sha256(built.el.read_bytes()).digest() == hashlib.sha256(built.again.read_bytes()).digest()


def test_rpmlint(built: Built) -> None:
    command = ["rpmlint", "--config", "rpm/rpmlint.toml", str(built.el), "rpm/gproxy.spec"]
    done = subprocess.run(command, cwd=built.tree, stdout=subprocess.PIPE, text=True, check=False, timeout=120)
    assert "1 packages and 1 specfiles checked; 0 errors, 0 warnings" in done.stdout, done.stdout


def test_an_el_base_has_what_it_requires(built: Built) -> None:
    requires = set(query(built.el, "--requires").splitlines())
    assert "/usr/bin/python3.12" in requires
    for each in sorted(requires):
        if each in NAMES or each.startswith(("rpmlib(", "config(gproxy)", "/usr/bin/python3.12")):
            continue
        match = re.fullmatch(r"([^(]+)\((?:([A-Z]+)_([0-9.]+))?\)\(64bit\)", each)
        assert match, f"nobody has thought of {each}"
        assert match[1] in LIBRARIES
        if match[2]:
            assert tuple(map(int, match[3].split("."))) <= NEWEST[match[2]], each


def test_it_provides_only_itself(built: Built) -> None:
    assert {line.split(" ")[0] for line in query(built.el, "--provides").splitlines()} == {
        "config(gproxy)",
        "gproxy",
        "gproxy(x86-64)",
    }


def lay_out(built: Built, root: Path) -> None:
    """The bundle that the package must hold."""
    when = query(built.el, "--queryformat", "%{BUILDTIME}")
    command = [sys.executable, "-B", str(built.tree / "scripts/bundle.py"), str(root), "--python", rpm.PYTHON]
    subprocess.run(command, env={**os.environ, "SOURCE_DATE_EPOCH": when}, check=True, timeout=120)


def digest_of(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def test_every_file_is_the_bundles_or_named_here(built: Built, tmp_path: Path) -> None:
    lay_out(built, tmp_path)
    found = {}
    for line in query(built.el, "--dump").splitlines():
        path, _size, _mtime, digest, mode, owner, group, config, _doc, _rdev, target = line.split(" ")
        found[path] = (int(mode, 8), owner, group, config == "1", target if target != "X" else digest)
    files = {path: rest for path, rest in found.items() if rest[0] & 0o170000 != 0o040000}
    expected = {}
    for path in tmp_path.rglob("*"):
        name = "/" + path.relative_to(tmp_path).as_posix()
        if path.is_symlink():
            expected[name] = (0o120777, "root", "root", False, os.readlink(path))
        elif path.is_file():
            expected[name] = (path.stat().st_mode, "root", "root", False, digest_of(path))
    for name, mode, group, config, source in BESIDE:
        digest = digest_of(built.tree / source) if source else files[name][4]
        expected[name] = (0o100000 | mode, "root", group, config, digest)
    assert files == expected
    assert {rest[:3] for rest in found.values() if rest[0] & 0o170000 == 0o040000} == {(0o040755, "root", "root")}
    assert not [path for path in found if path.endswith((".pyc", "direct_url.json"))]


def test_every_library_runs_on_the_oldest_glibc(built: Built, tmp_path: Path) -> None:
    lay_out(built, tmp_path)
    libraries = sorted(tmp_path.rglob("*.so*"))
    assert len(libraries) > 10
    for library in libraries:
        command = ["readelf", "--wide", "--version-info", "--dynamic", str(library)]
        text = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True, timeout=60).stdout
        needed = text.partition(".gnu.version_r")[2]
        for family, version in re.findall(r"Name: (GLIBC|GLIBCXX|CXXABI|GCC)_([0-9.]+)", needed):
            assert tuple(map(int, version.split("."))) <= NEWEST[family], f"{library.name} needs {family}_{version}"
        assert set(re.findall(r"\(NEEDED\).*\[(.+)\]", text)) <= LIBRARIES, library.name


def test_the_licence_names_those_of_all_parts(built: Built, tmp_path: Path) -> None:
    lay_out(built, tmp_path)
    stated = set(query(built.el, "--queryformat", "%{LICENSE}").split(" AND "))
    sbom = (tmp_path / "usr/share/doc/gproxy/sbom.cdx.json").read_text()
    expressions = re.findall(r'"(?:id|expression)": "([^"]+)"', sbom)
    assert len(expressions) > 5
    assert [each for each in expressions if not audit.permits(each, stated)] == []


def test_it_installs_and_verifies_in_an_empty_root(built: Built, tmp_path: Path) -> None:
    (tmp_path / "etc").mkdir()
    (tmp_path / "etc/passwd").write_text("root:x:0:0::/root:/bin/sh\ngproxy:x:990:990::/:/bin/false\n")
    (tmp_path / "etc/group").write_text("root:x:0:\ngproxy:x:990:\n")
    command = ["rpm", "--root", str(tmp_path), "--dbpath", "/var/lib/rpm"]
    subprocess.run([*command, "--install", "--nodeps", "--noscripts", str(built.el)], check=True, timeout=120)
    verified = subprocess.run(
        [*command, "--verify", "--nodeps", "gproxy"], stdout=subprocess.PIPE, check=False, timeout=60
    )
    assert verified.stdout == b""
    assert (tmp_path / "etc/gproxy/config.toml").stat().st_mode & 0o777 == 0o640


# -- Its life: one story, as that of the Debian package ----------------------------------------------------------------

STUB = """
Name: el-base
Version: 1
Release: 1
Summary: What an EL base provides
License: none
BuildArch: noarch
{provides}
%description
What an EL base provides.
%files
"""
# By hand, so that the solver proves that nothing else is needed.
PROVIDED = {
    "libc.so.6": "GLIBC_2.2.5 GLIBC_2.3 GLIBC_2.3.2 GLIBC_2.3.4 GLIBC_2.4 GLIBC_2.5 GLIBC_2.6 GLIBC_2.7 GLIBC_2.8 "
    "GLIBC_2.9 GLIBC_2.10 GLIBC_2.11 GLIBC_2.12 GLIBC_2.13 GLIBC_2.14 GLIBC_2.15 GLIBC_2.16 GLIBC_2.17 GLIBC_2.18 "
    "GLIBC_2.22 GLIBC_2.23 GLIBC_2.24 GLIBC_2.25 GLIBC_2.26 GLIBC_2.27 GLIBC_2.28",
    "libm.so.6": "GLIBC_2.2.5 GLIBC_2.27",
    "libdl.so.2": "GLIBC_2.2.5 GLIBC_2.3.3 GLIBC_2.3.4",
    "librt.so.1": "GLIBC_2.2.5 GLIBC_2.3.4 GLIBC_2.7",
    "libpthread.so.0": "GLIBC_2.2.5 GLIBC_2.3.2 GLIBC_2.3.3 GLIBC_2.3.4 GLIBC_2.4 GLIBC_2.11 GLIBC_2.12 "
    "GLIBC_2.18 GLIBC_2.28",
    "ld-linux-x86-64.so.2": "GLIBC_2.2.5 GLIBC_2.3 GLIBC_2.4",
    "libgcc_s.so.1": "GCC_3.0 GCC_3.3 GCC_3.3.1 GCC_3.4 GCC_4.2.0 GCC_4.3.0",
    "libstdc++.so.6": "CXXABI_1.3 "
    + " ".join(f"CXXABI_1.3.{minor}" for minor in range(1, 12))
    + " GLIBCXX_3.4 "
    + " ".join(f"GLIBCXX_3.4.{minor}" for minor in range(1, 26)),
}
REPOSITORY = "[local]\nname=local\nbaseurl=file:///srv/repository\nenabled=1\ngpgcheck=0\n"
REPOSITORY_FILE = "/etc/yum.repos.d/local.repo"


def make_stub(folder: Path, to: Path) -> None:
    """The rpm that stands for the system."""
    names = [*NAMES, "/usr/bin/python3.11", "ca-certificates", "logrotate"]
    for library, versions in PROVIDED.items():
        names += [f"{library}()(64bit)", *(f"{library}({version})(64bit)" for version in versions.split())]
    spec = folder / "el-base.spec"
    spec.write_text(STUB.format(provides="\n".join(f"Provides: {name}" for name in names)))
    defines = ["--define", f"_topdir {folder}", "--define", f"_rpmdir {folder}/rpms"]
    pipes = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
    subprocess.run(["rpmbuild", "-bb", *defines, str(spec)], check=True, timeout=60, **pipes)  # type: ignore[call-overload]
    shutil.copy(next((folder / "rpms").rglob("*.rpm")), to)


@pytest.fixture(scope="module")
def el(built: Built, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Box]:
    make_stub(tmp_path_factory.mktemp("stub"), built.repository)
    subprocess.run(["createrepo_c", "--quiet", str(built.repository)], check=True, timeout=60)
    with booted("dnf", built.repository) as box:
        box.write(REPOSITORY_FILE, REPOSITORY)
        box.write("/etc/rpm/macros", "%_dbpath /var/lib/rpm\n")
        with origin(box):
            yield box


def dnf(box: Box, what: str) -> str:
    return box.run(f"dnf --assumeyes --quiet {what}", LONG)


def test_install(el: Box) -> None:
    dnf(el, f"install gproxy-{PREVIOUS}")
    assert el.run(f"stat -c '%a %U:%G' {CONFIG}") == "640 root:gproxy\n"
    assert el.run("getent passwd gproxy | cut -d: -f6,7") == "/var/lib/gproxy:/sbin/nologin\n"
    assert el.run("rpm --verify gproxy") == ""
    assert el.try_("systemctl is-active gproxy").stdout == "inactive\n"
    assert el.run("ls /usr/lib/gproxy/lib/python3.11/site-packages/gproxy/__pycache__") != ""
    el.run("systemctl enable --now gproxy")
    assert fetch(el) == GREETING


def test_upgrade_keeps_an_edited_configuration_and_refuses_nobody(el: Box) -> None:
    edit(el, 'level = "info"', 'level = "debug"')
    with load(el, 50):
        dnf(el, "upgrade gproxy")
    assert el.run("gproxy version --name") == f"{__version__}\n"
    assert 'level = "debug"' in el.read(CONFIG)
    assert "previous version" not in el.read(f"{CONFIG}.rpmnew")
    # Only the edited file differs, and no bytecode is left of what is gone.
    assert [line.split()[-1] for line in el.try_("rpm --verify gproxy").stdout.splitlines()] == [CONFIG]
    assert el.run("systemctl is-active gproxy") == "active\n"


def test_downgrade(el: Box) -> None:
    with load(el, 50):
        dnf(el, f"downgrade gproxy-{PREVIOUS}")
    assert el.run("gproxy version --name") == f"{PREVIOUS}\n"
    dnf(el, "upgrade gproxy")
    assert fetch(el) == GREETING


def test_reload(el: Box) -> None:
    with load(el, 20):
        el.run("systemctl reload gproxy")


def test_removal_keeps_the_edited_configuration_and_nothing_else(el: Box) -> None:
    dnf(el, "remove gproxy")
    assert el.try_("pgrep -u gproxy").stdout == ""
    assert 'level = "debug"' in el.read(f"{CONFIG}.rpmsave")
    found = el.run("find /etc /usr /run -xdev -name '*gproxy*'").split()
    assert found == ["/etc/gproxy"]
    assert el.run("systemctl --failed --no-legend") == ""
