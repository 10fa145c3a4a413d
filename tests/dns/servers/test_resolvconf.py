"""gproxy.dns.servers.resolvconf: whom the system asks."""

from __future__ import annotations

from ipaddress import ip_address

import pytest

from gproxy.dns.servers.resolvconf import Resolv, ResolvConf, read_resolv


def ips(*texts):
    return tuple(ip_address(text) for text in texts)


HERE = (ip_address("127.0.0.1"),)


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("", Resolv()),
        ("nameserver 192.0.2.1\nnameserver 2001:db8::1 # x\n", Resolv(ips("192.0.2.1", "2001:db8::1"))),
        (
            "".join(f"nameserver 192.0.2.{n}\n" for n in range(9)),
            Resolv(ips("192.0.2.0", "192.0.2.1", "192.0.2.2")),
        ),
        ("nameserver fe80::1%eth0\nnameserver nonsense\nnameserver\n", Resolv(HERE)),
        ("# nameserver 192.0.2.1\n;nameserver 192.0.2.1\n", Resolv(HERE)),
        ("domain Lan.test\n", Resolv(search=("lan.test",))),
        ("domain a\nsearch b c. 192.0.2.1\n", Resolv(search=("b", "c"))),
        ("options ndots:3 timeout:2 attempts:4 rotate use-vc\n", Resolv(HERE, (), 3, 2, 4, rotate=True, tcp=True)),
        ("options ndots:99 timeout:0 attempts:99\noptions rotate\n", Resolv(HERE, (), 15, 1, 5, rotate=True)),
        ("options ndots:x timeout: attempts:9999999999\n", Resolv()),
    ],
)  # fmt: skip
def test_what_it_says(text, says):
    assert read_resolv(text) == says


@pytest.mark.parametrize(
    ("name", "names"),
    [
        ("a", ["a.one.test", "a.two.test", "a"]),
        ("a.b", ["a.b.one.test", "a.b.two.test", "a.b"]),
        ("a.b.c", ["a.b.c", "a.b.c.one.test", "a.b.c.two.test"]),
        ("", [""]),
    ],
)
def test_names_to_try(name, names):
    assert list(Resolv(search=("one.test", "two.test"), ndots=2).names_for(name)) == names


def test_a_change_is_noticed(tmp_path, held_clock):
    path = tmp_path / "resolv.conf"
    file = ResolvConf(str(path))
    assert file.read().servers == HERE
    path.write_text("nameserver 192.0.2.1\n")
    assert file.read().servers == HERE, "looked at again too soon"
    held_clock.advance(1.1)
    first = file.read()
    assert first.servers == (ip_address("192.0.2.1"),)
    path.write_text("nameserver 192.0.2.1\n\n")
    held_clock.advance(1.1)
    assert file.read() is first, "what says the same is the same"
    path.unlink()
    held_clock.advance(1.1)
    assert file.read().servers == HERE
