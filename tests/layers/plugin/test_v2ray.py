"""gproxy.layers.plugin.v2ray: the options become the tables of a WebSocket and of TLS."""

from __future__ import annotations

import pytest

from gproxy.layers.plugin.v2ray import read_client, read_server
from gproxy.schema.tls import TlsInbound, TlsOutbound
from gproxy.schema.transport import WsTransport


def ws(path: str = "/", host: str = "") -> WsTransport:
    return WsTransport(type="ws", path=path, headers={"Host": (host,)} if host else {})


@pytest.mark.parametrize(
    ("text", "transport", "tls"),
    [
        ("mux=0", ws(host="cloudfront.com"), TlsOutbound()),
        ("mode=websocket;mux=0;path=/a b;host=a.test".replace(" ", ""), ws("/ab", "a.test"), TlsOutbound()),
        ("tls;mux=0", ws(host="cloudfront.com"), TlsOutbound(enabled=True)),
        (
            "tls;host=a.test;mux=0;cert=/ca.pem",
            ws(host="a.test"),
            TlsOutbound(enabled=True, server_name="a.test", certificate_path="/ca.pem"),
        ),
        (
            "tls;host=a.test;mux=0;certRaw=MIIB\\=\\=",
            ws(host="a.test"),
            TlsOutbound(
                enabled=True,
                server_name="a.test",
                certificate=("-----BEGIN CERTIFICATE-----", "MIIB==", "-----END CERTIFICATE-----"),
            ),
        ),
        ("tls;mux=0;cert=a;certRaw=b", ws(host="cloudfront.com"), TlsOutbound(enabled=True, certificate_path="a")),
    ],
)
def test_outbounds(text: str, transport: WsTransport, tls: TlsOutbound) -> None:
    assert read_client(text) == (transport, tls)


@pytest.mark.parametrize(
    ("text", "transport", "tls"),
    [
        ("server;mux=0", ws(), TlsInbound()),
        ("mux=0;path=/x;host=a.test", ws("/x", "a.test"), TlsInbound()),
        (
            "server;tls;mux=0;cert=a;key=b",
            ws(),
            TlsInbound(enabled=True, certificate_path="a", key_path="b"),
        ),
    ],
)
def test_inbounds(text: str, transport: WsTransport, tls: TlsInbound) -> None:
    assert read_server(text) == (transport, tls)


BOTH = [
    ("", "`mux`: expected `mux=0`"),
    ("mux=1", "`mux`: expected `mux=0`"),
    ("mux=0;mode=quic", "`mode`: `quic` is not supported yet"),
    ("mux=0;mode=hidden", "`mode`: expected `websocket`"),
    ("mux=0;mux=0", "`mux` is given twice"),
    ("mux=0;host=hid den", "`host`: expected a domain"),
    ("mux=0;path=/hid?den", "`path`: expected a path without"),
    ("mux=0;tls=hidden", "`tls`: expected no value"),
    ("mux=0;fast-open", "`fast-open` is of no use here"),
    ("mux=0;loglevel=hidden", "`loglevel` is of no use here"),
]


@pytest.mark.parametrize(("text", "words"), [*BOTH, ("mux=0;server", "`server` is of no use here")])
def test_wrong_outbounds(text: str, words: str) -> None:
    with pytest.raises(ValueError, match=words) as caught:
        read_client(text)
    assert "hid" not in str(caught.value)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        *BOTH,
        ("mux=0;server=hidden", "`server`: expected no value"),
        ("mux=0;tls", "`tls`: expected `cert` and `key`"),
        ("mux=0;tls;cert=a", "`tls`: expected `cert` and `key`"),
        ("mux=0;tls;key=a", "`tls`: expected `cert` and `key`"),
    ],
)
def test_wrong_inbounds(text: str, words: str) -> None:
    with pytest.raises(ValueError, match=words) as caught:
        read_server(text)
    assert "hid" not in str(caught.value)
