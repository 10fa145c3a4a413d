"""The options of v2ray-plugin, read from a plugin's `key=value;…`: WebSocket, within TLS if that is wanted.

So they become the tables that a `transport` and `tls` would be.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Final

from gproxy.layers.plugin.simpleobfs import Role
from gproxy.schema.fields import is_host
from gproxy.schema.tls import TlsInbound, TlsOutbound
from gproxy.schema.transport import WsTransport
from gproxy.wire.sip003 import parse_options

NAME: Final = "v2ray-plugin"

# What v2ray-plugin asks for when nobody says.
_HOST: Final = "cloudfront.com"

_KNOWN: Final[Mapping[Role, tuple[str, ...]]] = {
    "client": ("mode", "tls", "host", "path", "mux", "cert", "certRaw"),
    "server": ("server", "mode", "tls", "host", "path", "mux", "cert", "certRaw", "key"),
}


def read_client(text: str) -> tuple[WsTransport, TlsOutbound]:
    """An outbound's options. `cert` has the authorities to believe. Raises ValueError, which quotes no value."""
    given = _read(text, "client")
    transport = _transport(given, given.get("host", _HOST))
    if "tls" not in given:
        return transport, TlsOutbound()
    lines, path = _certificate(given)
    # Without a host it is the server's address that must be proved, as for sing-box.
    name = given.get("host", "")
    return transport, TlsOutbound(enabled=True, server_name=name, certificate=lines, certificate_path=path)


def read_server(text: str) -> tuple[WsTransport, TlsInbound]:
    """An inbound's options. `cert` has its own chain. Raises ValueError, which quotes no value."""
    given = _read(text, "server")
    transport = _transport(given, given.get("host", ""))
    if "tls" not in given:
        return transport, TlsInbound()
    lines, path = _certificate(given)
    if not (lines or path) or not given.get("key"):
        raise ValueError("`tls`: expected `cert` and `key` beside it")
    return transport, TlsInbound(enabled=True, certificate=lines, certificate_path=path, key_path=given["key"])


def _read(text: str, role: Role) -> dict[str, str]:
    given: dict[str, str] = {}
    for key, value in parse_options(text):
        if key in given:
            raise ValueError(f"`{key}` is given twice")
        if key not in _KNOWN[role]:
            raise ValueError(f"`{key}` is of no use here: expected {', '.join(_KNOWN[role])}")
        if key in _CHECKS and (problem := _CHECKS[key](value)):
            raise ValueError(f"`{key}`: {problem}")
        given[key] = value
    if "mux" not in given:
        raise ValueError(f"`mux`: {_mux('')}")
    return given


def _transport(given: Mapping[str, str], host: str) -> WsTransport:
    headers: dict[str, tuple[str, ...]] = {"Host": (host,)} if host else {}
    transport = WsTransport(type="ws", path=given.get("path", "/"), headers=headers)
    for key, problem in transport.check():
        raise ValueError(f"`{'host' if key == 'headers' else key}`: {problem}")
    return transport


def _certificate(given: Mapping[str, str]) -> tuple[tuple[str, ...], str]:
    if "cert" in given or "certRaw" not in given:
        return (), given.get("cert", "")
    return ("-----BEGIN CERTIFICATE-----", given["certRaw"], "-----END CERTIFICATE-----"), ""


def _mode(value: str) -> str:
    if value == "quic":
        return "`quic` is not supported yet"
    return "" if value == "websocket" else "expected `websocket`"


def _mux(value: str) -> str:
    return (
        "" if value == "0" else "expected `mux=0`, on both sides: many streams in one connection are not supported yet"
    )


def _host(value: str) -> str:
    return "" if value.isascii() and is_host(value) else "expected a domain or an IP address"


def _switch(value: str) -> str:
    return "expected no value" if value else ""


_CHECKS: Final[Mapping[str, Callable[[str], str]]] = {
    "mode": _mode, "mux": _mux, "host": _host, "tls": _switch, "server": _switch,
}  # fmt: skip
