"""Packets that a relay passes on (SIP023): it learns which server they are for, and nothing else.

The block at their beginning is encrypted anew for that server, and the identity header that was for the relay is left
out. Answers pass as they are. Whether a packet is genuine or a replay, only that server can tell.
"""

from __future__ import annotations

from gproxy.base.address import Address
from gproxy.base.errors import AuthError
from gproxy.base.iface import Buffer
from gproxy.protocol.shadowsocks.packets import Heads
from gproxy.protocol.shadowsocks.packets_in import Opened
from gproxy.protocol.shadowsocks.users import Credential, KeyRing
from gproxy.protocol.shadowsocks.wire.keys import key_hash
from gproxy.protocol.shadowsocks.wire.packets2022 import BlockFormat, blocks


class RelayedPackets:
    """See Opener. The destinations are the ring's credentials, each with its address as `entry`."""

    def __init__(self, ring: KeyRing) -> None:
        self.ring = ring
        self._format = BlockFormat(ring.method, ring.key, identities=1)

    def open(self, packet: bytes, credential: Credential, /) -> tuple[bytes, Address]:
        """See Opener."""
        block, rest = self._format.begin(packet)
        if self._format.named(packet, block) != key_hash(credential.key):
            raise AuthError("the identity header names another destination")
        return blocks(credential.key).encrypt(block) + rest, credential.entry

    def identify(self, packet: bytes, host: str, /) -> Opened:
        """See Opener."""
        block, rest = self._format.begin(packet)
        credential = self.ring.named(self._format.named(packet, block))
        if credential is None:
            raise AuthError("nobody has the key that the identity header names")
        return credential, blocks(credential.key).encrypt(block) + rest, credential.entry

    def seal(self, answer: Buffer, source: Address, credential: Credential, heads: Heads, /) -> Buffer:
        """See Opener. Only the destination answers."""
        destination = credential.entry
        # Which address a destination that is known by its domain has, only the dialer beneath knows.
        if source == destination or (destination.is_domain and source.port == destination.port):
            return answer
        return b""
