"""The datagrams of UDP ASSOCIATE, RFC 1928 section 7, in both directions.

Neither side waits for lost fragments: a datagram whose FRAG is not 0 is dropped, as the RFC allows. Payloads are cut
out by copying: for what fits into one packet, that takes half the time of a view.
"""

from __future__ import annotations

from gproxy.base.address import Address
from gproxy.base.errors import ProtocolError, StreamClosed
from gproxy.base.iface import Buffer, PacketConn, Stream
from gproxy.net.wrapped import Wrapped
from gproxy.protocol.socks.wire import decode_datagram, encode_datagram_head
from gproxy.wire.cursor import Cursor, Incomplete


class _Datagrams(Wrapped):
    """A packet connection whose datagrams carry an address before their payload."""

    __slots__ = ("_head", "_head_of", "_left")

    def __init__(self, conn: PacketConn) -> None:
        super().__init__(conn)
        self._left = False
        # Answers come in runs from the same address object, so the last head is kept.
        self._head_of: Address | None = None
        self._head = b""

    def _receive(self) -> tuple[Buffer, Address]:
        """The next datagram as it came. Raises StreamClosed: in order, if the peer ended its control connection."""
        try:
            return self._conn.recv_from()
        except StreamClosed:
            if self._left:
                raise StreamClosed("the control connection ended", reason="eof") from None
            raise

    def _wrap(self, address: Address, data: Buffer) -> bytes:
        if address is not self._head_of:
            self._head = encode_datagram_head(address)
            self._head_of = address
        return b"".join((self._head, data))

    def watch(self, control: Stream) -> None:
        """Close when the control connection is over, and return. What the peer may say there has no meaning."""
        try:
            while control.recv():
                pass
        finally:
            self._left = True
            self.close()


def _unwrap(data: Buffer) -> tuple[Buffer, Address] | None:
    raw = bytes(data)
    cursor = Cursor(raw)
    try:
        address = decode_datagram(cursor)
    except (Incomplete, ProtocolError):
        return None
    return raw[cursor.at :], address


class AssociatedClient(_Datagrams):
    """Server direction: the datagrams of the one client that asked for the association.

    Only the host of the control connection is heard, and of its ports the one that the request announced, or else the
    first to send a proper datagram. An announced port counts only if the announced host is that host or unspecified:
    what a client behind a NAT says about itself does not hold here.
    """

    __slots__ = ("_client", "_host")

    def __init__(self, conn: PacketConn, source: Address, announced: Address) -> None:
        super().__init__(conn)
        self._host = source.host
        self._client: Address | None = None
        host = announced.host
        if announced.port and (host == source.host or (not isinstance(host, str) and host.is_unspecified)):
            self._client = Address(source.host, announced.port)

    def _open(self, data: Buffer, peer: Address) -> tuple[Buffer, Address] | None:
        if peer is not self._client and not self._may_be_client(peer):
            return None
        opened = _unwrap(data)
        if opened is not None:
            self._client = peer
        return opened

    def _may_be_client(self, peer: Address) -> bool:
        return peer.host == self._host if self._client is None else peer == self._client

    def send_to(self, data: Buffer, to: Address, /) -> None:
        """See PacketConn. Before the client's port is known, an answer has nowhere to go and is lost."""
        if self._client is not None:
            self._conn.send_to(self._wrap(to, data), self._client)


class RelayedPackets(_Datagrams):
    """Client direction: datagrams through the relay of a SOCKS5 server, for as long as `control` lives."""

    __slots__ = ("_control", "_relay")

    def __init__(self, conn: PacketConn, relay: Address, control: Stream) -> None:
        super().__init__(conn)
        self._relay = relay
        self._control = control

    def _open(self, data: Buffer, peer: Address) -> tuple[Buffer, Address] | None:
        if peer is not self._relay and not self._may_be_relay(peer):
            return None
        return _unwrap(data)

    def prompt(self, to: Address, /) -> bool:
        """See Prompt: whatever is to be reached, it goes to the relay."""
        return super().prompt(self._relay)

    def _may_be_relay(self, peer: Address) -> bool:
        """Which address a relay that is known by its domain has, only the dialer beneath knows."""
        return peer == self._relay or (self._relay.is_domain and peer.port == self._relay.port)

    def send_to(self, data: Buffer, to: Address, /) -> None:
        """See PacketConn."""
        self._conn.send_to(self._wrap(to, data), self._relay)

    def close(self) -> None:
        """See PacketConn. The server learns it from the control connection."""
        super().close()
        self._control.close()
