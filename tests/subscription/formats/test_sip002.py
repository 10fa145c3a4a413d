"""gproxy.subscription.formats.sip002."""

from __future__ import annotations

import base64
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gproxy.subscription.formats.sip002 import BadLink, Link, read_link, write_link

TRIES = settings(max_examples=300)
MODERN = "2022-blake3-aes-256-gcm"
KEY = "YctPZ6U7xPPcU+gp3u+0tx/tRizJN9K8y+uKlW2qjlI="
QUOTED = "YctPZ6U7xPPcU%2Bgp3u%2B0tx%2FtRizJN9K8y%2BuKlW2qjlI%3D"
SECRET = "s3cr3t"


def packed(text: str, *, url_safe: bool = True, padding: bool = False) -> str:
    raw = base64.urlsafe_b64encode(text.encode()) if url_safe else base64.b64encode(text.encode())
    return raw.decode() if padding else raw.decode().rstrip("=")


# The specification's own examples, and its places for the other things.
@pytest.mark.parametrize(
    ("text", "link"),
    [
        (
            "ss://YWVzLTEyOC1nY206dGVzdA@192.168.100.1:8888#Example1",
            Link("aes-128-gcm", "test", "192.168.100.1", 8888, tag="Example1"),
        ),
        (
            "ss://cmM0LW1kNTpwYXNzd2Q@192.168.100.1:8888/?plugin=obfs-local%3Bobfs%3Dhttp#Example2",
            Link("rc4-md5", "passwd", "192.168.100.1", 8888, "obfs-local", "obfs=http", "Example2"),
        ),
        (
            f"ss://{MODERN}:{QUOTED}@192.168.100.1:8888#Example3",
            Link(MODERN, KEY, "192.168.100.1", 8888, tag="Example3"),
        ),
        (
            f"ss://{MODERN}:{QUOTED}@192.168.100.1:8888/?plugin=v2ray-plugin%3Bserver#Example3",
            Link(MODERN, KEY, "192.168.100.1", 8888, "v2ray-plugin", "server", "Example3"),
        ),
        (
            f"ss://{packed('none:')}@[2001:db8::1]:1",
            Link("none", "", "2001:db8::1", 1),
        ),
        (
            f"ss://{packed('aes-256-gcm:a:b@c')}@proxy.example:65535/?plugin=a%5C%3Bb%3Bx%3D%5C%5C%5C%3B%3By#caf%C3%A9%20%23",
            Link("aes-256-gcm", "a:b@c", "proxy.example", 65535, "a;b", "x=\\\\\\;;y", "café #"),
        ),
    ],
)
def test_examples_are_read_and_written(text: str, link: Link) -> None:
    assert read_link(text) == link
    assert read_link(f" \n{text}\n") == link
    assert write_link(link) == text


AES = Link("aes-128-gcm", "test", "192.0.2.1", 8888)
OBFS = replace(AES, plugin="obfs-local", plugin_opts="obfs=tls")


@pytest.mark.parametrize(
    ("text", "link"),
    [
        # of before SIP002
        (f"ss://{packed('aes-128-gcm:test@192.0.2.1:8888')}/", AES),
        (f"ss://{packed('aes-128-gcm:test@192.0.2.1:8888', padding=True)}#x%20y", replace(AES, tag="x y")),
        (f"ss://{packed('bf-cfb:a@b:c/?@[::1]:1', url_safe=False)}", Link("bf-cfb", "a@b:c/?", "::1", 1)),
        (f"ss://{packed('aes-128-gcm:tesü@a:255', url_safe=False)}", Link("aes-128-gcm", "tesü", "a", 255)),
        # other people's base64
        (f"ss://{packed('aes-128-gcm:test', padding=True)}@192.0.2.1:8888", AES),
        (f"ss://{packed('aes-128-gcm:test', padding=True).replace('=', '%3D')}@192.0.2.1:8888/", AES),
        (f"ss://{packed('aes-128-gcm:???>>>', url_safe=False)}@192.0.2.1:8888", replace(AES, password="???>>>")),
        (f"ss://{packed(MODERN + ':' + KEY)}@192.0.2.1:8888", replace(AES, method=MODERN, password=KEY)),
        # plain, of any method
        ("ss://aes-128-gcm:test@192.0.2.1:8888", AES),
        ("SS://aes-128-gcm:te%73t@192.0.2.1:8888/?uot=2&group=x", AES),
        # the plugin
        ("ss://aes-128-gcm:test@192.0.2.1:8888?plugin=simple-obfs;obfs=tls&x=1", OBFS),
        ("ss://aes-128-gcm:test@192.0.2.1:8888/?plugin=p%3Bkey%3Da+b", replace(AES, plugin="p", plugin_opts="key=a+b")),
        ("ss://aes-128-gcm:test@192.0.2.1:8888/?plugin=", AES),
        # names
        ("ss://aes-128-gcm:test@PROXY.Example.:8888", Link("aes-128-gcm", "test", "proxy.example", 8888)),
        ("ss://aes-128-gcm:test@bücher.example:8888", Link("aes-128-gcm", "test", "xn--bcher-kva.example", 8888)),
        ("ss://aes-128-gcm:test@192.0.2.1:8888#Dummy+name", replace(AES, tag="Dummy+name")),
    ],
)  # fmt: skip
def test_what_is_read_beyond_the_specification(text: str, link: Link) -> None:
    assert read_link(text) == link


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("", "ss://"),
        ("http://proxy.example/", "ss://"),
        ("ssr://x", "ss://"),
        ("ss://", "no `@`"),
        (f"ss://{packed(SECRET)}", "no `@`"),
        (f"ss://{SECRET}!", "base64"),
        (f"ss://aes-128-gcm:{SECRET}", "base64"),
        (f"ss://{packed(SECRET)}@192.0.2.1:1", "method:password"),
        (f"ss://{packed(':' + SECRET)}@192.0.2.1:1", "method:password"),
        (f"ss://:{SECRET}@192.0.2.1:1", "method:password"),
        ("ss://_____w@192.0.2.1:1", "no text"),
        ("ss://A@192.0.2.1:1", "no text"),
        (f"ss://{SECRET} x@192.0.2.1:1", "base64"),
        (f"ss://aes-128-gcm:{SECRET}%f@192.0.2.1:1", "the password has a `%`"),
        (f"ss://aes-128-gcm:{SECRET}%ff@192.0.2.1:1", "the password is not UTF-8"),
        (f"ss://aes-128-gcm:{SECRET}@192.0.2.1", "host:port"),
        (f"ss://aes-128-gcm:{SECRET}@192.0.2.1:", "host:port"),
        (f"ss://aes-128-gcm:{SECRET}@192.0.2.1:0", "port is 0"),
        (f"ss://aes-128-gcm:{SECRET}@192.0.2.1:65536", "host:port"),
        (f"ss://aes-128-gcm:{SECRET}@:1", "host:port"),
        (f"ss://aes-128-gcm:{SECRET}@2001:db8::1:80", "host:port"),
        (f"ss://aes-128-gcm:{SECRET}@a b:80", "host:port"),
        (f"ss://aes-128-gcm:{SECRET}@192.0.2.1:1/path", "path"),
        (f"ss://aes-128-gcm:{SECRET}@192.0.2.1:1/?plugin=a&plugin=b", "twice"),
        (f"ss://aes-128-gcm:{SECRET}@192.0.2.1:1/?plugin=a%5C", "backslash"),
        (f"ss://aes-128-gcm:{SECRET}@192.0.2.1:1/?plugin=%3Bx", "no name"),
        (f"ss://aes-128-gcm:{SECRET}@192.0.2.1:1/?plugin=%ff", "the plugin is not UTF-8"),
        (f"ss://aes-128-gcm:{SECRET}@192.0.2.1:1#%", "the tag has a `%`"),
    ],
)
def test_what_is_no_link_is_told_without_its_password(text: str, why: str) -> None:
    with pytest.raises(BadLink) as caught:
        read_link(text)
    assert why in str(caught.value)
    assert SECRET not in str(caught.value)


def test_the_outbound_has_what_the_link_has() -> None:
    expected: dict[str, Any] = {
        "type": "shadowsocks", "server": "192.0.2.1", "server_port": 8888, "method": "aes-128-gcm", "password": "test",
    }  # fmt: skip
    assert AES.outbound() == expected
    full = Link("aes-128-gcm", "test", "192.0.2.1", 8888, "p", "o=1", "t")
    assert full.outbound() == expected | {"tag": "t", "plugin": "p", "plugin_opts": "o=1"}


texts = st.text(max_size=30)
servers = st.one_of(
    st.ip_addresses(v=4).map(str),
    st.ip_addresses(v=6).filter(lambda ip: ip.ipv4_mapped is None).map(str),
    st.sampled_from(["proxy.example", "a", "xn--bcher-kva.example"]),
)
methods = st.sampled_from(["none", "aes-256-gcm", "2022-blake3-aes-128-gcm", "chacha20-ietf-poly1305"])
plugins = st.one_of(
    st.tuples(st.just(""), st.just("")),
    st.tuples(st.text(min_size=1, max_size=20).filter(lambda name: name != "simple-obfs"), texts),
)
links = st.builds(
    lambda plugin, **rest: Link(plugin=plugin[0], plugin_opts=plugin[1], **rest),
    plugins, method=methods, password=texts, server=servers, port=st.integers(1, 65535), tag=texts,
)  # fmt: skip


@TRIES
@given(links)
def test_a_link_that_was_written_is_read_as_it_was(link: Link) -> None:
    text = write_link(link)
    assert text.isascii()
    assert not set(text) & set(' \n"<>\\^`{|}')
    assert read_link(text) == link


@TRIES
@given(st.one_of(st.text(max_size=200), st.text("ss:/@?#[]%;=&\\plugin1A-_:.", max_size=60).map("ss://".__add__)))
def test_any_text_is_a_link_or_it_is_told_why_not(text: str) -> None:
    try:
        link = read_link(text)
    except BadLink:
        return
    assert read_link(write_link(link)) == link
