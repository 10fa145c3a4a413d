"""One room for each protocol. This catalogue is the only list of them: a new protocol is a folder and a line here.

A room's `__init__` holds its rows: INBOUND, OUTBOUND or both. Rooms know nothing of each other, of TLS, transports or
listeners: the assembly (`gproxy.app`) puts those around them.
"""

from __future__ import annotations

from gproxy.schema.registry import Registry

_IN, _OUT, _BOTH = ("INBOUND",), ("OUTBOUND",), ("INBOUND", "OUTBOUND")

CATALOGUE: dict[str, tuple[str, ...]] = {
    "direct": _BOTH,
    "block": _OUT,
    "socks": _BOTH,
    "http": _BOTH,
    "mixed": _IN,
    "shadowsocks": _BOTH,
    "trojan": _BOTH,
    "dns": _IN,
}

# Types that sing-box 1.14 knows and gproxy does not do yet: refused by that name.
_INBOUNDS_NOT_YET = (
    "vmess", "vless", "naive", "hysteria", "hysteria2", "tuic", "shadowtls", "anytls", "tun",
    "redirect", "tproxy", "cloudflared", "snell",
)  # fmt: skip
_OUTBOUNDS_NOT_YET = (
    "vmess", "vless", "naive", "hysteria", "hysteria2", "tuic", "shadowtls", "anytls", "ssh",
    "tor", "snell", "bridge", "selector", "urltest",
)  # fmt: skip


def _rows(attribute: str) -> dict[str, str]:
    return {name: f"gproxy.protocol.{name}:{attribute}" for name, has in CATALOGUE.items() if attribute in has}


INBOUNDS = Registry("inbound", _rows("INBOUND"), _INBOUNDS_NOT_YET)
OUTBOUNDS = Registry("outbound", _rows("OUTBOUND"), _OUTBOUNDS_NOT_YET)
