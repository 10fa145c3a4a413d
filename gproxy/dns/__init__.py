"""Names: whom to ask, what to remember, and what to tell whom. This catalogue is the only list of kinds of servers.

A kind's module holds its row, SERVER. Servers know nothing of rules and caches: the resolver asks them.
"""

from __future__ import annotations

from gproxy.schema.registry import Registry

CATALOGUE: dict[str, str] = {
    "udp": "gproxy.dns.servers.udp:SERVER",
    "tcp": "gproxy.dns.servers.tcp:SERVER",
    "tls": "gproxy.dns.servers.tls:SERVER",
    "https": "gproxy.dns.servers.https:SERVER",
    "local": "gproxy.dns.servers.local:SERVER",
    "hosts": "gproxy.dns.servers.hosts:SERVER",
    "dhcp": "gproxy.dns.servers.dhcp:SERVER",
    "fakeip": "gproxy.dns.servers.fakeip:SERVER",
    "group": "gproxy.dns.servers.group:SERVER",
    "mdns": "gproxy.dns.servers.mdns:SERVER",
}

# Types that sing-box 1.14 knows and gproxy does not do yet: refused by that name.
_NOT_YET = ("quic", "h3", "tailscale", "resolved", "openvpn", "openconnect")

SERVERS = Registry("DNS server", CATALOGUE, _NOT_YET)
