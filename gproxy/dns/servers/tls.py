"""`tls`: a server that is asked on TCP connections within TLS (RFC 7858)."""

from __future__ import annotations

from typing import ClassVar

from gproxy.dns.servers.remote import RemoteTls
from gproxy.dns.servers.tcp import StreamServer
from gproxy.schema.registry import Row


class TlsOptions(RemoteTls):
    """A server that is asked by DNS over TLS."""

    usual_port: ClassVar[int] = 853


SERVER = Row(TlsOptions, StreamServer)
