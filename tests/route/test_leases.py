from __future__ import annotations

import os
import time
from ipaddress import ip_address
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gproxy.route import leases as module
from gproxy.route.leases import Lease, Leases, read_leases
from tests.support.clock import START_WALL, HeldClock

LATER = int(START_WALL) + 3600

DNSMASQ = f"""{LATER} aa:bb:cc:00:00:01 192.168.1.10 Laptop 01:aa:bb:cc:00:00:01
0 AA:BB:CC:00:00:02 192.168.1.11 * *
duid 00:01:00:01:2c:9b:8e:7c
{LATER} 12345 fd00::10 laptop6 00:01:00:01
no lease at all
{LATER} aa:bb:cc:00:00:03 no-address name *
"""
ODHCPD = f"""# br-lan 00010001aabb 1 laptop {LATER} a 128 fd00::5/128 fd00::6/128
# br-lan aabbcc000001 ipv4 phone -1 a 32 192.168.1.20/32
fd00::5\tlaptop
# br-lan aabbcc000004 ipv4 - {LATER} b 32 192.168.1.21/32
"""
ISC = """# The format of this file is documented in the dhcpd.leases(5) manual page.
authoring-byte-order little-endian;
lease 10.0.0.5 {
  starts 6 2026/11/21 10:00:00;
  ends 6 2026/11/21 20:00:00;
  binding state active;
  next binding state free;
  rewind binding state free;
  hardware ethernet 02:00:00:00:00:05;
  uid "\\001\\002";
  client-hostname "Phone";
}
lease 10.0.0.6 {
  binding state active;
  hardware ethernet 02:00:00:00:00:06;
  client-hostname "gone";
}
lease 10.0.0.6 {
  binding state free;
  hardware ethernet 02:00:00:00:00:06;
}
ia-na "\\001\\000" {
  cltt 6 2026/11/21 10:00:00;
  iaaddr fd00::7 {
    binding state active;
    preferred-life 375;
  }
}
"""
KEA = f"""address,hwaddr,client_id,valid_lifetime,expire,subnet_id,fqdn_fwd,fqdn_rev,hostname,state,user_context,pool_id
10.0.0.7,02:00:00:00:00:07,,3600,{LATER},1,0,0,TV.example.,0,,0
10.0.0.8,02:00:00:00:00:08,,3600,{LATER},1,0,0,old,2,,0
10.0.0.9,02:00:00:00:00:09
"""


def lease(ip: str, mac: str = "", hostname: str = "", until: float = 0.0) -> Lease:
    return Lease(ip_address(ip), mac, hostname, until)


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        (DNSMASQ, [
            lease("192.168.1.10", "aa:bb:cc:00:00:01", "laptop", LATER),
            lease("192.168.1.11", "aa:bb:cc:00:00:02"),
            lease("fd00::10", "", "laptop6", LATER),
        ]),
        (ODHCPD, [
            lease("fd00::5", "", "laptop", LATER), lease("fd00::6", "", "laptop", LATER),
            lease("192.168.1.20", "aa:bb:cc:00:00:01", "phone"),
            lease("192.168.1.21", "aa:bb:cc:00:00:04", "", LATER),
        ]),
        (ISC, [
            lease("10.0.0.5", "02:00:00:00:00:05", "phone"), lease("10.0.0.6", "02:00:00:00:00:06", "gone"),
            lease("10.0.0.6"), lease("fd00::7"),
        ]),
        (KEA, [
            lease("10.0.0.7", "02:00:00:00:00:07", "tv.example", LATER), lease("10.0.0.8", "", "", LATER),
            lease("10.0.0.9", "02:00:00:00:00:09"),
        ]),
        ("", []),
    ],
    ids=["dnsmasq", "odhcpd", "isc", "kea", "empty"],
)  # fmt: skip
def test_the_files_of_four_programs(text: str, wanted: list[Lease]) -> None:
    assert list(read_leases(text)) == wanted


@given(text=st.text() | st.sampled_from([DNSMASQ, ODHCPD, ISC, KEA]).flatmap(
    lambda whole: st.integers(0, len(whole)).map(lambda cut: whole[:cut] + "\x00\n,\"" + whole[cut:])
))  # fmt: skip
def test_no_file_is_so_broken_that_it_raises(text: str) -> None:
    list(read_leases(text))


@pytest.mark.parametrize(
    "filler", ["\n", " ", "\t", "lease ", "# ", "# a ", ",", '"', "lease 10.0.0.1 {\n", "hardware "]
)
def test_no_file_takes_long(filler: str) -> None:
    began = time.process_time()
    for start in ("", "address,hwaddr\n", "lease 10.0.0.1 {\n", "# lan aa ipv4 n 1 a 32 x\n"):
        for _ in read_leases(start + filler * (300_000 // len(filler))):
            pass
    assert time.process_time() - began < 5


def test_a_name_that_is_none() -> None:
    assert list(read_leases("1 aa:bb:cc:00:00:01 10.0.0.1 a\x1b[31mb *")) == [
        lease("10.0.0.1", "aa:bb:cc:00:00:01", "", 1)
    ]
    assert next(read_leases(f"1 aa:bb:cc:00:00:01 10.0.0.1 {'a' * 300} *")).hostname == ""


IP = ip_address("192.168.1.10")


def test_a_client_is_found_by_its_address_or_by_its_mac_address(tmp_path: Path, held_clock: HeldClock) -> None:
    path = tmp_path / "leases"
    path.write_text(DNSMASQ)
    leases = Leases([str(path), str(tmp_path / "none")])
    leases.refresh()
    assert (leases.hostname(IP, ""), leases.mac(IP)) == ("laptop", "aa:bb:cc:00:00:01")
    elsewhere = ip_address("fe80::1")
    assert leases.hostname(elsewhere, "aa:bb:cc:00:00:01") == "laptop"
    assert (
        leases.hostname(elsewhere, "") == leases.hostname(elsewhere, "aa:bb:cc:00:00:09") == leases.mac(elsewhere) == ""
    )


def test_what_has_expired_tells_nothing(tmp_path: Path, held_clock: HeldClock) -> None:
    path = tmp_path / "leases"
    path.write_text(DNSMASQ)
    leases = Leases([str(path)])
    leases.refresh()
    held_clock.advance(3601)
    assert (leases.hostname(IP, ""), leases.mac(IP)) == ("", "")


def test_a_file_that_changes_is_read_again_after_a_second(tmp_path: Path, held_clock: HeldClock) -> None:
    path = tmp_path / "leases"
    leases = Leases([str(path)])
    leases.refresh()
    path.write_text(DNSMASQ)
    leases.refresh()
    assert leases.hostname(IP, "") == ""
    held_clock.advance(1)
    leases.refresh()
    assert leases.hostname(IP, "") == "laptop"
    path.write_text("nonsense")
    held_clock.advance(1)
    leases.refresh()
    assert leases.hostname(IP, "") == ""


def test_a_file_that_has_not_changed_is_not_read(
    tmp_path: Path, held_clock: HeldClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "leases"
    path.write_text(DNSMASQ)
    leases = Leases([str(path)])
    leases.refresh()
    monkeypatch.setattr(module, "offload", lambda *_: pytest.fail("read again"))
    held_clock.advance(5)
    leases.refresh()
    assert leases.hostname(IP, "") == "laptop"


def test_of_a_very_large_file_the_end_is_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_LARGEST", 100)
    path = tmp_path / "leases"
    path.write_text("x" * 1000 + "\n" + "0 aa:bb:cc:00:00:01 192.168.1.10 late *\n")
    leases = Leases([str(path)])
    leases.refresh()
    assert leases.hostname(IP, "") == "late"


def test_no_more_leases_than_fit(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_MOST", 2)
    path = tmp_path / "leases"
    path.write_text("".join(f"0 aa:bb:cc:00:00:01 10.0.0.{number} n{number} *\n" for number in range(9)))
    leases = Leases([str(path)])
    leases.refresh()
    assert leases.hostname(ip_address("10.0.0.1"), "") == "n1"
    assert leases.hostname(ip_address("10.0.0.2"), "") == ""


def test_a_pipe_holds_nobody_up(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "leases")
    Leases([str(tmp_path / "leases")]).refresh()


def test_in_a_directory_that_is_everybodys_a_strangers_file_is_no_servers(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "leases"
    path.write_text("0 aa:bb:cc:00:00:01 192.168.1.10 laptop *\n")
    monkeypatch.setattr(module.os, "geteuid", lambda: 12345)
    if os.getuid() == 0:
        os.chown(path, 1, 1)
    tmp_path.chmod(0o777)
    leases = Leases([str(path)])
    leases.refresh()
    assert leases.hostname(IP, "") == ""
    tmp_path.chmod(0o755)
    again = Leases([str(path)])
    again.refresh()
    assert again.hostname(IP, "") == "laptop"
