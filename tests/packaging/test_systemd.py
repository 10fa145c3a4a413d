"""The Debian package's life under systemd. The tests are one story: each finds the box as the one before left it."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from gproxy import __version__
from tests.packaging.box import Box, wait_for
from tests.packaging.conftest import PREVIOUS
from tests.packaging.life import CONFIG, GREETING, edit, edited, fetch, leftovers, load, origin, second_port
from tests.support.tls import make_certificate

CAP_NET_BIND_SERVICE = 0x400
RESTART = "systemctl reset-failed gproxy && service gproxy restart"  # these tests restart it too often for the unit


@pytest.fixture(scope="module", autouse=True)
def _origin(systemd: Box) -> Iterator[None]:
    with origin(systemd):
        yield


def main_pid(box: Box) -> int:
    return int(box.run("systemctl show --property MainPID --value gproxy"))


def test_install_starts_it(systemd: Box) -> None:
    systemd.apt(f"install gproxy={PREVIOUS}")
    assert systemd.run("systemctl is-active gproxy; systemctl is-enabled gproxy") == "active\nenabled\n"
    assert systemd.try_("systemctl is-enabled gproxy.socket").stdout == "disabled\n"
    assert fetch(systemd) == GREETING
    assert systemd.run("gproxy version --name") == f"{PREVIOUS}\n"


def test_what_is_installed(systemd: Box) -> None:
    assert systemd.run(f"stat -c '%a %U:%G' {CONFIG}") == "640 root:gproxy\n"
    assert systemd.run("getent passwd gproxy | cut -d: -f6,7") == "/var/lib/gproxy:/usr/sbin/nologin\n"
    assert systemd.run("stat -c '%a %U:%G' /run/gproxy /var/lib/gproxy /var/log/gproxy") == "750 gproxy:gproxy\n" * 3
    assert systemd.run("dpkg --verify gproxy") == ""
    assert systemd.run("ls /usr/lib/gproxy/lib/python3.11/site-packages/gproxy/__pycache__") != ""
    assert len(systemd.run("man --where 1 gproxy; man --where 5 gproxy.toml").splitlines()) == 2


def test_completion_completes(systemd: Box) -> None:
    line = 'COMP_WORDS=(gproxy ver) COMP_CWORD=1; _gproxy_completion gproxy; echo "${COMPREPLY[@]}"'
    systemd.write("/srv/complete", f". /usr/share/bash-completion/completions/gproxy\n{line}\n")
    assert systemd.run("bash /srv/complete") == "version\n"


def test_every_file_of_the_libraries_is_what_their_record_says(systemd: Box) -> None:
    systemd.write("/srv/records.py", RECORDS)
    assert int(systemd.run("python3.11 /srv/records.py")) > 300


RECORDS = """
import base64, csv, hashlib, pathlib
site = pathlib.Path("/usr/lib/gproxy/lib/python3.11/site-packages")
checked = 0
for record in site.glob("*.dist-info/RECORD"):
    for name, digest, _ in csv.reader(record.open()):
        if digest:
            data = (site / name).read_bytes()
            found = base64.urlsafe_b64encode(hashlib.sha256(data).digest()).decode().rstrip("=")
            assert digest == f"sha256={found}", name
            checked += 1
print(checked)
"""


def test_the_kernels_view(systemd: Box) -> None:
    lines = systemd.run(f"cat /proc/{main_pid(systemd)}/status").splitlines()
    status = dict(line.split(":\t", 1) for line in lines)
    user = systemd.run("id -u gproxy").strip()
    assert status["Uid"].split() == [user] * 4
    assert {int(status[name], 16) for name in ("CapEff", "CapPrm", "CapBnd", "CapAmb")} == {CAP_NET_BIND_SERVICE}
    assert (status["NoNewPrivs"], status["Seccomp"]) == ("1", "2")


def test_a_low_port(systemd: Box) -> None:
    with edited(systemd, systemd.read(CONFIG) + second_port(80)):
        systemd.run(RESTART)
        assert fetch(systemd, 80) == GREETING
    systemd.run(RESTART)
    assert fetch(systemd, 80) == ""


def test_stop_start_and_status(systemd: Box) -> None:
    assert systemd.try_("service gproxy status").returncode == 0
    systemd.run("service gproxy stop")
    assert systemd.try_("service gproxy status").returncode == 3
    assert fetch(systemd) == ""
    assert systemd.try_("pgrep -u gproxy").stdout == ""
    systemd.run("service gproxy start")
    assert fetch(systemd) == GREETING


def test_reload_under_load(systemd: Box) -> None:
    pid = main_pid(systemd)
    with edited(systemd, systemd.read(CONFIG) + second_port(1081)), load(systemd, 50):
        for _ in range(3):
            systemd.run("service gproxy reload")
        assert fetch(systemd, 1081) == GREETING
    systemd.run("service gproxy reload")
    assert fetch(systemd, 1081) == ""
    assert main_pid(systemd) == pid


def test_reload_of_a_broken_file_changes_nothing(systemd: Box) -> None:
    pid = main_pid(systemd)
    with edited(systemd, "[[inbounds]]\ntype = 'mixxed'\n"), load(systemd, 5):
        assert systemd.try_("service gproxy reload").returncode != 0
    assert main_pid(systemd) == pid
    assert systemd.run("systemctl is-active gproxy") == "active\n"
    assert "mixxed" in systemd.run("journalctl -u gproxy")


def test_start_with_a_broken_file_is_not_tried_again(systemd: Box) -> None:
    with edited(systemd, "[[inbounds]]\ntype = 'mixxed'\n"):
        assert systemd.try_(RESTART).returncode != 0
        assert systemd.try_("systemctl is-active gproxy").stdout == "failed\n"
    systemd.run("systemctl reset-failed gproxy && service gproxy start")
    assert fetch(systemd) == GREETING


def test_restart_refuses_nobody(systemd: Box) -> None:
    with load(systemd, 1):
        systemd.run(RESTART)


def test_upgrade_keeps_an_edited_configuration_and_refuses_nobody(systemd: Box) -> None:
    edit(systemd, 'level = "info"', 'level = "debug"')
    with load(systemd, 20):
        systemd.apt("install gproxy")
    assert systemd.run("gproxy version --name") == f"{__version__}\n"
    assert 'level = "debug"' in systemd.read(CONFIG)
    assert "previous version" not in systemd.read(f"{CONFIG}.dpkg-dist")
    assert systemd.run(f"stat -c '%a %U:%G' {CONFIG}") == "640 root:gproxy\n"
    assert json.loads(systemd.run("gproxy status --json"))["version"] == __version__


def test_downgrade(systemd: Box) -> None:
    with load(systemd, 20):
        systemd.apt(f"install --allow-downgrades gproxy={PREVIOUS}")
    assert systemd.run("gproxy version --name") == f"{PREVIOUS}\n"
    assert 'level = "debug"' in systemd.read(CONFIG)
    systemd.apt("install gproxy")


def test_a_crash_is_got_over(systemd: Box) -> None:
    systemd.run("systemctl reset-failed gproxy")
    pid = main_pid(systemd)
    systemd.run(f"kill -SEGV {pid}")
    wait_for(lambda: main_pid(systemd) not in {0, pid} and fetch(systemd) == GREETING, 60, "it is back")


def test_the_watchdog_catches_one_that_hangs(systemd: Box) -> None:
    systemd.run("systemctl stop gproxy && systemctl reset-failed gproxy")
    systemd.write("/run/systemd/system/gproxy.service.d/short.conf", "[Service]\nWatchdogSec=2s\n")
    systemd.run("systemctl daemon-reload && systemctl start gproxy")
    pid = main_pid(systemd)
    systemd.run(f"kill -STOP {pid}")
    wait_for(lambda: main_pid(systemd) not in {0, pid} and fetch(systemd) == GREETING, 60, "it is back")
    assert "watchdog" in systemd.run("journalctl -u gproxy").lower()
    systemd.run(f"rm -r /run/systemd/system/gproxy.service.d && systemctl daemon-reload && {RESTART}")


@pytest.mark.parametrize("workers", ["0", "2"])
def test_with_and_without_workers(systemd: Box, workers: str) -> None:
    with edited(systemd, systemd.read(CONFIG).replace('workers = "auto"', f"workers = {workers}")):
        systemd.run(RESTART)
        assert fetch(systemd) == GREETING
    systemd.run(RESTART)


def test_the_first_client_starts_it(systemd: Box) -> None:
    systemd.run("systemctl stop gproxy && systemctl start gproxy.socket")
    assert systemd.try_("systemctl is-active gproxy.service").stdout == "inactive\n"
    assert fetch(systemd) == GREETING
    assert systemd.try_("systemctl is-active gproxy.service").stdout == "active\n"
    systemd.run("systemctl stop gproxy.socket gproxy.service && systemctl start gproxy.service")
    assert fetch(systemd) == GREETING


def test_instances_live_beside_it(systemd: Box) -> None:
    systemd.write("/etc/gproxy/other.toml", second_port(1082) + '[runtime]\nworkers = "auto"\n')
    systemd.run("systemctl start gproxy@other")
    assert (fetch(systemd), fetch(systemd, 1082)) == (GREETING, GREETING)
    systemd.run("systemctl reload gproxy@other")
    systemd.run(f"{RESTART} && systemctl reload gproxy@other")
    systemd.run("systemctl stop gproxy@other && rm /etc/gproxy/other.toml")
    assert (fetch(systemd), fetch(systemd, 1082)) == (GREETING, "")


# OpenSSL's own AEAD, one made of its ChaCha20, with blake3, one that cryptography calls decrepit, and pycryptodome's.
CIPHERS = (
    "aes-256-gcm",
    "chacha20-ietf-poly1305",
    "xchacha20-ietf-poly1305",
    "2022-blake3-aes-128-gcm",
    "bf-cfb",
    "salsa20",
)
RETIRED = ("bf-cfb", "salsa20")
SEALED = """
[[inbounds]]
type = "mixed"
tag = "in-{number}"
listen = "127.0.0.1"
listen_port = 91{number:02}
[[inbounds]]
type = "shadowsocks"
tag = "opens-{number}"
listen = "127.0.0.1"
listen_port = 92{number:02}
method = "{method}"
legacy = {legacy}
password = "AAAAAAAAAAAAAAAAAAAAAA=="
[[outbounds]]
type = "shadowsocks"
tag = "seals-{number}"
server = "127.0.0.1"
server_port = 92{number:02}
method = "{method}"
legacy = {legacy}
password = "AAAAAAAAAAAAAAAAAAAAAA=="
[[route.rules]]
inbound = "in-{number}"
outbound = "seals-{number}"
"""
WITH_TLS = """
[[inbounds]]
type = "mixed"
tag = "in-tls"
listen = "127.0.0.1"
listen_port = 9300
[[inbounds]]
type = "http"
tag = "opens-tls"
listen = "127.0.0.1"
listen_port = 9301
tls = { enabled = true, certificate_path = "/etc/gproxy/chain.pem", key_path = "/etc/gproxy/key.pem" }
[[outbounds]]
type = "http"
tag = "seals-tls"
server = "127.0.0.1"
server_port = 9301
tls = { enabled = true, certificate_path = "/etc/gproxy/ca.pem" }
[[route.rules]]
inbound = "in-tls"
outbound = "seals-tls"
"""


def test_ciphers_and_tls_run_under_the_units_restrictions(systemd: Box, tmp_path: Path) -> None:
    """Sealed by an outbound, opened by an inbound."""
    made = make_certificate(tmp_path)
    for name, path in (("ca", made.authority), ("chain", made.chain), ("key", made.key)):
        systemd.write(f"/etc/gproxy/{name}.pem", path.read_text())
    text = '[[outbounds]]\ntype = "direct"\ntag = "direct"\n' + WITH_TLS
    for number, method in enumerate(CIPHERS):
        text += SEALED.format(number=number, method=method, legacy=str(method in RETIRED).lower())
    systemd.write("/etc/gproxy/sealed.toml", text)
    systemd.run("systemctl start gproxy@sealed")
    ports = [9300, *(9100 + number for number in range(len(CIPHERS)))]
    assert {port: fetch(systemd, port) for port in ports} == dict.fromkeys(ports, GREETING)
    systemd.run("systemctl stop gproxy@sealed && rm /etc/gproxy/sealed.toml /etc/gproxy/*.pem")


def test_the_log_goes_on_after_rotation(systemd: Box) -> None:
    log = "/var/log/gproxy/gproxy.log"
    with edited(systemd, systemd.read(CONFIG).replace("[log]", f'[log]\noutput = "{log}"')):
        systemd.run(RESTART)
        assert fetch(systemd) == GREETING
        wait_for(lambda: "8000" in systemd.read(log), 30, "the session is in the log")
        systemd.run("logrotate --force /etc/logrotate.d/gproxy")
        assert "8000" in systemd.read(f"{log}.1")
        assert fetch(systemd) == GREETING
        wait_for(lambda: "8000" in systemd.read(log), 30, "the next one is in the new log")
        assert systemd.run(f"stat -c '%a %U:%G' {log}") == "640 gproxy:adm\n"
    systemd.run(RESTART)


@pytest.mark.parametrize("addition", ["tun", "process", "netns"])
def test_additions_give_more_rights(systemd: Box, addition: str) -> None:
    before = int(systemd.run(f"awk '/^CapEff/ {{print $2}}' /proc/{main_pid(systemd)}/status"), 16)
    folder = "/etc/systemd/system/gproxy.service.d"
    systemd.run(f"mkdir -p {folder} && ln -s /usr/share/gproxy/systemd/{addition}.conf {folder}/")
    systemd.run(f"systemctl daemon-reload && {RESTART}")
    assert fetch(systemd) == GREETING
    after = int(systemd.run(f"awk '/^CapEff/ {{print $2}}' /proc/{main_pid(systemd)}/status"), 16)
    assert after & before == before
    assert after != before
    systemd.run(f"rm -r {folder} && systemctl daemon-reload && {RESTART}")


def test_remove_keeps_the_configuration(systemd: Box) -> None:
    systemd.apt("remove gproxy")
    assert systemd.try_("pgrep -u gproxy").stdout == ""
    assert not (systemd.root / "usr/lib/gproxy").exists()
    assert 'level = "debug"' in systemd.read(CONFIG)
    systemd.apt("install gproxy")
    assert 'level = "debug"' in systemd.read(CONFIG)
    assert fetch(systemd) == GREETING


def test_purge_leaves_nothing(systemd: Box) -> None:
    systemd.apt("purge gproxy")
    systemd.run("systemctl daemon-reload")
    assert leftovers(systemd) == []
    assert systemd.run("systemctl --failed --no-legend") == ""
