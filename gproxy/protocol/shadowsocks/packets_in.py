"""The server side of Shadowsocks over UDP, where each packet stands for itself: SIP004, the retired ciphers, and none.

Each client address is a session of its own. A new client's first packet is opened before there is a session, so that
garbage costs no more than finding out that it is garbage.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Final, Protocol

from gproxy.base.address import Address, parse_ip
from gproxy.base.errors import AuthError, ProtocolError, StreamClosed
from gproxy.base.iface import Buffer, PacketConn
from gproxy.base.session import DEFAULT_DIAL, Session
from gproxy.base.wiring import InboundWiring
from gproxy.limit.bucket import TokenBucket
from gproxy.net.wrapped import Wrapped
from gproxy.protocol.shadowsocks.packets import LARGEST, Dropped, Heads, too_large
from gproxy.protocol.shadowsocks.users import Credential, KeyRing
from gproxy.protocol.shadowsocks.wire import packets
from gproxy.protocol.shadowsocks.wire.keys import key_hash

Opened = tuple[Credential, bytes, Address]
"""Whose packet it is, its payload, and where that shall go."""

# A new client of a server with many users may need a trial for each of them. So many trials beyond the first are made
# in a second, for all clients together, and at once: some hundredths of the CPU, and some thousand users.
_TRIALS: Final = 5_000.0
_TRIALS_AT_ONCE: Final = 20_000.0


class Opener(Protocol):
    """What is done to the packets of one kind."""

    ring: KeyRing

    def open(self, packet: bytes, credential: Credential, /) -> tuple[bytes, Address]:
        """Payload and target of a packet that should be this client's. Raises AuthError, ProtocolError."""

    def identify(self, packet: bytes, host: str, /) -> Opened:
        """The same of a packet from a host, that may be anybody's. Raises AuthError, ProtocolError."""

    def seal(self, answer: Buffer, source: Address, credential: Credential, heads: Heads, /) -> Buffer:
        """What the client gets for an answer. `heads` is the client's. Empty: nothing, the answer is not for it."""


class KeyedPackets:
    """Packets that are sealed with the key itself, or not at all (see Opener)."""

    def __init__(self, ring: KeyRing) -> None:
        self.ring = ring
        self._codec = packets.codec(ring.method)
        self._trials = TokenBucket(_TRIALS, _TRIALS_AT_ONCE)

    def open(self, packet: bytes, credential: Credential, /) -> tuple[bytes, Address]:
        """See Opener."""
        return packets.split(self._codec.open(credential.key, packet))

    def identify(self, packet: bytes, host: str, /) -> Opened:
        """See Opener."""
        if (only := self.ring.only) is not None:
            return only, *self.open(packet, only)
        source = parse_ip(host)
        for number, credential in enumerate(self.ring.candidates(source)):
            if number and not self._trials.take():
                raise AuthError("no key fits, of those that there was time to try")
            try:
                content = self._codec.open(credential.key, packet)
            except AuthError:
                continue
            payload, target = packets.split(content)
            self.ring.remember(source, credential)
            return credential, payload, target
        raise AuthError("no key fits")

    def seal(self, answer: Buffer, source: Address, credential: Credential, heads: Heads, /) -> bytes:
        """See Opener."""
        return self._codec.seal(credential.key, heads.of(source), answer)


class PacketDoor:
    """An inbound's door for packets: opens them, and hands each client on."""

    def __init__(self, opener: Opener, wiring: InboundWiring) -> None:
        self.opener = opener
        self.dropped = Dropped(wiring.log)
        self._dispatcher = wiring.dispatcher

    def admit(self, packet: bytes, host: str) -> bool:
        """Whether a packet may begin a session (see PacketEntrance)."""
        try:
            self.opener.identify(packet, host)
        except ProtocolError as why:
            self.dropped.note(host, why)
            return False
        return True

    def accept(self, conn: PacketConn, session: Session) -> None:
        """Serve one client address (see AcceptPackets). Raises ProtocolError if its first packet is no good.

        When another user speaks from there, the one before has gone.
        """
        host = str(session.source.host)
        data, _ = conn.recv_from()
        opened: Opened | None = self.opener.identify(bytes(data), host)
        while opened is not None:
            client = ServedClient(self, conn, host, opened)
            session.user = opened[0].name
            self._dispatcher.packets(session, client)
            opened = client.following
            session = afresh(session)


class ServedClient(Wrapped):
    """A client as a PacketConn in the server direction. What is bad is dropped."""

    __slots__ = ("_credential", "_door", "_first", "_heads", "_host", "_version", "following")

    def __init__(self, door: PacketDoor, conn: PacketConn, host: str, first: Opened) -> None:
        super().__init__(conn)
        self._door = door
        self._host = host
        self._credential, *_ = first
        self._first: Opened | None = first
        self._heads = Heads()
        self._version = door.opener.ring.version
        self.following: Opened | None = None
        """After the end: the first packet of another user, who speaks from this address now."""

    def recv_from(self) -> tuple[Buffer, Address]:
        """See PacketConn."""
        if self._first is not None:
            (_, payload, target), self._first = self._first, None
            return payload, target
        return super().recv_from()

    def _open(self, data: Buffer, peer: Address) -> tuple[Buffer, Address] | None:
        opener = self._door.opener
        if self._version != opener.ring.version:
            self._stay()
        try:
            return opener.open(bytes(data), self._credential)
        except AuthError as why:
            self._ask_who(bytes(data), why)
        except ProtocolError as why:
            self._door.dropped.note(self._host, why)
        return None

    def _stay(self) -> None:
        """The users have been replaced. Raises StreamClosed if this one is gone."""
        ring = self._door.opener.ring
        credential = ring.named(key_hash(self._credential.key))
        if credential is None or credential.name != self._credential.name:
            self.close()
            raise StreamClosed("the user was removed", reason="killed")
        self._version = ring.version

    def _ask_who(self, packet: bytes, why: ProtocolError) -> None:
        """It is not this user's: raises StreamClosed if it is another one's."""
        opener = self._door.opener
        if opener.ring.several:
            try:
                self.following = opener.identify(packet, self._host)
            except ProtocolError as unknown:
                why = unknown
            else:
                raise StreamClosed("another user speaks from this address", reason="eof")
        self._door.dropped.note(self._host, why)

    def send_to(self, data: Buffer, to: Address, /) -> None:
        """See PacketConn."""
        opener = self._door.opener
        if self._version != opener.ring.version:
            self._stay()
        if len(data) > LARGEST:  # the kernel would not take it, so there is no need to seal it
            self._door.dropped.note(self._host, too_large(len(data)))
            return
        sealed = opener.seal(data, to, self._credential, self._heads)
        if len(sealed) > LARGEST:
            self._door.dropped.note(self._host, too_large(len(data)))
        elif sealed:
            self._conn.send_to(sealed, to)


def afresh(session: Session) -> Session:
    """The session of the next one who speaks from the same address: what was learnt about the last one is left out."""
    return replace(
        session, target=session.local or session.source, asked=None, user=None, addresses=(), sniffed=None,
        dial=DEFAULT_DIAL, rule="", outbound="",
    )  # fmt: skip
