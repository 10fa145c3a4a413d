from __future__ import annotations

import pytest

from gproxy.layers.plugin.simpleobfs import Obfs, Role, read_obfs


@pytest.mark.parametrize(
    ("role", "text", "options"),
    [
        ("client", "", Obfs("http", "cloudfront.net")),
        ("client", "obfs=http;obfs-host=www.bing.com", Obfs("http", "www.bing.com")),
        ("client", "obfs-host=192.0.2.1;obfs=tls", Obfs("tls", "192.0.2.1")),
        ("client", "obfs-uri=/a?b;http-method=POST", Obfs("http", "cloudfront.net", "/a?b", "POST")),
        ("server", "", Obfs("http")),
        ("server", "obfs=tls", Obfs("tls")),
        ("server", "obfs=tls;obfs-host=a.test", Obfs("tls", "a.test")),
        ("server", "obfs=http;reverse_proxy;http-method=GET", Obfs("http", "", "/", "GET", at_once=True)),
    ],
)
def test_what_it_knows(role: Role, text: str, options: Obfs) -> None:
    assert read_obfs(text, role) == options


@pytest.mark.parametrize(
    ("role", "text", "complaint"),
    [
        ("client", "obfs=https", "obfs=http"),
        ("client", "obfs", "obfs=http"),
        ("client", "obfs=http;obfs=tls", "twice"),
        ("client", "obfs=http;obfs-host", "a domain"),
        ("client", "obfs-host=a b", "a domain"),
        ("client", "obfs-host=a\r\nX: y", "a domain"),
        ("client", "obfs-host=bücher.test", "a domain"),
        ("client", "obfs-uri=x", "a path"),
        ("client", "obfs-uri=/a b", "a path"),
        ("client", "obfs=tls;obfs-uri=/x", "of no use for obfs=tls"),
        ("client", "http-method=G E T", "a method"),
        ("client", "http-method=", "a method"),
        ("client", "reverse_proxy", "of no use"),
        ("client", "fast-open", "of no use"),
        ("client", "obfs=http;;", "without a name"),
        ("server", "failover=127.0.0.1:80", "of no use"),
        ("server", "obfs=tls;reverse_proxy", "of no use"),
        ("server", "reverse_proxy=no", "no value"),
    ],
)
def test_what_it_refuses(role: Role, text: str, complaint: str) -> None:
    with pytest.raises(ValueError, match=complaint):
        read_obfs(text, role)
