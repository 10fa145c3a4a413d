"""The client side of Shadowsocks."""

from __future__ import annotations

import os

from gproxy.base.address import Address, parse_host
from gproxy.base.errors import DialError
from gproxy.base.iface import PacketConn, Stream
from gproxy.base.session import Session
from gproxy.base.wiring import OutboundWiring
from gproxy.layers.mux.uot import PacketsOverStream
from gproxy.net.framed import Framed
from gproxy.net.headed import Headed
from gproxy.protocol.shadowsocks.options import ShadowsocksOutboundOptions, warn_of_retired
from gproxy.protocol.shadowsocks.packets_out import ClientPackets
from gproxy.protocol.shadowsocks.wire import chunks, legacy, stream2022
from gproxy.protocol.shadowsocks.wire.keys import (
    identity_headers,
    key_of_password,
    keys_of_password,
    session_key_2022,
    session_key_aead,
)
from gproxy.wire.crypto.aead import Aead
from gproxy.wire.socksaddr import encode_address


class ShadowsocksOutbound:
    """Puts the target's address before the first payload, and seals both for the server."""

    def __init__(self, options: ShadowsocksOutboundOptions, wiring: OutboundWiring) -> None:
        self.networks = frozenset(options.network or ("tcp", "udp"))
        self._method = method = options.chosen()
        password = options.password.reveal()
        self._keys = (
            keys_of_password(method, password) if method.kind == "2022" else [key_of_password(method, password)]
        )
        self._connect = wiring.connect
        self._over_tcp = options.over_tcp()
        server = Address(parse_host(options.server), options.server_port)
        self._packets = ClientPackets(method, self._keys, server, wiring)
        warn_of_retired(method, wiring.log)

    def dial(self, target: Address, session: Session) -> Stream:
        """See Dialer. The server does not tell whether it reaches the target."""
        head = encode_target(target)  # before there is anything to close
        return self._framed(self._connect(session), head)

    def _framed(self, server: Stream, head: bytes) -> Stream:
        method = self._method
        if method.kind == "none":
            return Headed(server, head)
        if method.kind == "stream":
            key = self._keys[0]
            sealing = legacy.StreamSealer(method, key, head)
            return Framed(server, legacy.StreamOpener(method, key), sealing, held=True)
        salt = os.urandom(method.salt_size)
        if method.kind == "2022":
            before = salt + identity_headers(self._keys, salt)
            sealer: chunks.ChunkSealer = stream2022.RequestSealer(self._cipher_2022(salt), before, head)
            return Framed(server, stream2022.ResponseOpener(salt, self._cipher_2022), sealer, held=True)
        sealer = chunks.ChunkSealer(self._cipher_aead(salt), salt, head)
        return Framed(server, chunks.SaltedOpener(method.salt_size, self._cipher_aead), sealer, held=True)

    def _cipher_aead(self, salt: bytes) -> Aead:
        return self._method.cipher(session_key_aead(self._keys[0], salt))

    def _cipher_2022(self, salt: bytes) -> Aead:
        return self._method.cipher(session_key_2022(self._keys[-1], salt))

    def dial_packet(self, target: Address, session: Session) -> PacketConn:
        """See Dialer."""
        if self._over_tcp:
            return PacketsOverStream.open(self.dial, target, session, self._over_tcp)
        return self._packets.open(session)

    def close(self) -> None:
        """See Outbound: nothing is pooled."""


def encode_target(target: Address) -> bytes:
    """The address as Shadowsocks writes it. Raises DialError for a name that does not fit."""
    try:
        return encode_address(target)
    except ValueError as error:
        raise DialError(f"{target.host}: too long a name", reason="failed") from error
