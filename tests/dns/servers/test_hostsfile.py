"""gproxy.dns.servers.hostsfile: what is written down, and how changes are noticed."""

from __future__ import annotations

import logging
from ipaddress import ip_address

import pytest

from gproxy.dns.servers import hostsfile
from gproxy.dns.servers.hostsfile import HostsFile, read_hosts
from tests.support.wait import wait_until

TEXT = """
127.0.0.1 localhost  # this one
::1\tlocalhost ip6-localhost
192.0.2.1 Site.Test. www.site.test
192.0.2.2 site.test
192.0.2.1 site.test
# 192.0.2.9 commented.test
300.1.1.1 wrong.test
fe80::1%eth0 linked.test
192.0.2.5
not-an-address x.test
192.0.2.6 b\u00fccher.test
"""


def test_lines():
    names, addresses = read_hosts(TEXT)
    assert names == {
        "localhost": (ip_address("127.0.0.1"), ip_address("::1")),
        "ip6-localhost": (ip_address("::1"),),
        "site.test": (ip_address("192.0.2.1"), ip_address("192.0.2.2")),
        "www.site.test": (ip_address("192.0.2.1"),),
        "linked.test": (ip_address("fe80::1"),),
    }
    assert addresses["192.0.2.1"][:2] == ("site.test", "www.site.test")


def test_a_change_is_noticed_after_a_second(tmp_path, held_clock):
    path = tmp_path / "hosts"
    path.write_text("192.0.2.1 a.test\n")
    file = HostsFile(str(path))
    assert file.addresses("a.test") == (ip_address("192.0.2.1"),)
    assert file.names(ip_address("192.0.2.1")) == ("a.test",)
    path.write_text("192.0.2.77 a.test\n")
    assert file.addresses("a.test") == (ip_address("192.0.2.1"),), "looked at again too soon"
    held_clock.advance(1.1)
    assert file.addresses("a.test") == (ip_address("192.0.2.77"),)
    path.unlink()
    held_clock.advance(1.1)
    assert file.addresses("a.test") == ()


def test_a_missing_file_is_told_once(tmp_path, held_clock, caplog):
    file = HostsFile(str(tmp_path / "none"))
    with caplog.at_level(logging.WARNING, "gproxy.dns"):
        for _ in range(3):
            assert file.addresses("a.test") == ()
            held_clock.advance(2)
    assert [each.getMessage() for each in caplog.records] == [f"{tmp_path / 'none'}: No such file or directory"]


def test_variables_in_its_name(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    (tmp_path / "h").write_text("192.0.2.1 a.test\n")
    assert HostsFile("$HOME/h").addresses("a.test")


@pytest.mark.usefixtures("no_leaks")
def test_a_large_file_is_read_beside_the_rest(tmp_path, held_clock, monkeypatch):
    monkeypatch.setattr(hostsfile, "_SMALL", 10)
    path = tmp_path / "hosts"
    path.write_text("192.0.2.1 a.test\n")
    file = HostsFile(str(path))
    assert file.addresses("a.test")
    path.write_text("192.0.2.7 b.test # and more\n")
    held_clock.advance(1.1)
    assert file.addresses("a.test"), "what it said before serves on"
    wait_until(lambda: file.addresses("b.test"), "the file is never read")
    assert not file.addresses("a.test")
