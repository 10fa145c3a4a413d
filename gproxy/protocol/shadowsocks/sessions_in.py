"""The server side of the 2022 edition over UDP: sessions that clients name, wherever they speak from.

A session is known by the id that its client has chosen. The first address that it speaks from is served like any
client; when a genuine packet of it comes from another address, it goes on there (SIP022 3.2.4): its reader reads from
that address from then on, and whoever was to serve that address waits for it to leave.

    accept, first address:   receive ── dispatcher.packets(SessionClient) ──────────────── over
                                                  │ reads       │ reads
    accept, next address:    receive ── move ─────┼─────────────┴── waits ─────────────── over
                                        first address is closed

An address carries one session at a time; a packet of another one there ends it, and begins or moves that other.
"""

from __future__ import annotations

import os
from collections import deque
from typing import Final

from gproxy.base.address import Address
from gproxy.base.clock import now
from gproxy.base.errors import AuthError, Overloaded, ProtocolError, ReplayError, StreamClosed
from gproxy.base.iface import Buffer, PacketConn
from gproxy.base.session import Session
from gproxy.base.wiring import InboundWiring, SaltFilter
from gproxy.net.wrapped import Wrapped
from gproxy.protocol.shadowsocks.packets import LARGEST, Dropped, Heads, too_large
from gproxy.protocol.shadowsocks.packets_in import afresh
from gproxy.protocol.shadowsocks.users import Credential, KeyRing
from gproxy.protocol.shadowsocks.wire.keys import key_hash
from gproxy.protocol.shadowsocks.wire.packets2022 import (
    SESSION_ID,
    BlockFormat,
    Format,
    PacketSealer,
    answer_head,
    make_format,
    make_sealer,
    read_request,
)
from gproxy.protocol.shadowsocks.wire.stream2022 import check_time
from gproxy.rt.sockets import Parking
from gproxy.wire.crypto.aead import Aead
from gproxy.wire.crypto.replay import PacketWindow

# A session that is over is remembered for so long, in seconds, since its packets could be replayed until then: clocks
# may differ by 30 seconds, in both directions. And so many of them: the longest over are forgotten first.
_REMEMBERED: Final = 60.0
_MOST_REMEMBERED: Final = 32_768

# Of so many packet numbers in a row, the first that comes is told to the other processes (see `ClientSession.accept`).
_STRETCH: Final = 32


class ClientSession:
    """What is known of one session: who it is, which packets have come, and who serves it now.

    One that is over keeps no ciphers, which are most of its weight.
    """

    __slots__ = (
        "_stretch",
        "answer_id",
        "answered",
        "cipher",
        "credential",
        "id",
        "live",
        "over",
        "version",
        "window",
    )

    def __init__(self, session: bytes, credential: Credential, cipher: Aead | None, version: int) -> None:
        self.id = session
        self.credential = credential
        self.cipher = cipher
        self.version = version  # of the key ring, when the credential was last seen to be in it
        self.answer_id = os.urandom(SESSION_ID)  # of the session in which we answer
        self.answered = 0  # how many answers there were, before the one that serves it now
        self.live: SessionClient | None = None
        self.over = 0.0  # when the last one that served it came to its end
        self.window = PacketWindow()
        self._stretch = -1

    def accept(self, number: int, filter_: SaltFilter) -> None:
        """A genuine packet of this number has come. Raises ReplayError, Overloaded.

        Its client may have been served by another process before, or that process may be the one where this number has
        come already. Processes share no windows, but a filter: there each one tells which stretches of numbers it has
        seen something of. So what has come elsewhere does not come again, and a client that moves from one process to
        another loses the rest of a stretch.
        """
        stretch = number // _STRETCH
        if stretch > self._stretch:
            try:
                known = not filter_.first(self.id + stretch.to_bytes(8, "big"))
            except Overloaded:
                if self._stretch < 0:
                    raise
                known = False  # a session that is served goes on
            if known:
                raise ReplayError("packets with such numbers have come to another process")
            self._stretch = stretch
        self.window.accept(number)


Arrival = tuple[ClientSession, int, bytes, Address]
"""A genuine packet: its session and number, its payload, and where that shall go."""


class Path:
    """One client address, and whoever has to serve it."""

    __slots__ = ("_parking", "conn", "following", "host")

    def __init__(self, conn: PacketConn, host: str) -> None:
        self.conn = conn
        self.host = host
        self.following: Arrival | None = None  # what came from here for another session than the one that was here
        self._parking: Parking | None = None

    def wait(self) -> None:
        """Until the session that has moved here is over or elsewhere. Raises StreamClosed when asked to end."""
        self._parking = Parking()
        self._parking.park()

    def release(self) -> None:
        """The session is over or elsewhere."""
        if self._parking is not None:
            self._parking.release()


class SessionDoor:
    """An inbound's door for packets of the 2022 edition."""

    def __init__(self, ring: KeyRing, wiring: InboundWiring) -> None:
        self.ring = ring
        self.dropped = Dropped(wiring.log)
        self._dispatcher = wiring.dispatcher
        self._filter = wiring.replays.recent
        self._format: Format = make_format(ring.method, ring.key, int(ring.several))
        self._only = None if ring.several else Credential(None, ring.key)
        self._sessions: dict[bytes, ClientSession] = {}
        self._over: deque[tuple[float, ClientSession]] = deque()

    def admit(self, packet: bytes, host: str) -> bool:
        """Whether a packet may begin a session, or move one (see PacketEntrance)."""
        try:
            self._look(packet)
        except ProtocolError as why:
            self.dropped.note(host, why)
            return False
        return True

    def _look(self, packet: bytes) -> Arrival:
        """Open a packet that is genuine and has not come before. Raises ProtocolError and its kin.

        Nothing is remembered of it: see `receive`.
        """
        block, rest = self._format.begin(packet)
        name = block[:SESSION_ID]
        session = self._sessions.get(name)
        if session is None:
            credential = self._only or self._named(packet, block)
            session = ClientSession(name, credential, self._format.cipher(credential.key, name), self.ring.version)
        elif session.version != self.ring.version:
            self.stay(session)
        number = int.from_bytes(block[SESSION_ID:], "big")
        if not session.window.fresh(number):
            raise ReplayError("this packet has come before, or is too old to tell")
        cipher = session.cipher or self._format.cipher(session.credential.key, name)
        content, at = self._format.finish(block, rest, cipher)
        time, payload, target = read_request(content, at)
        check_time(time)
        return session, number, payload, target

    def _named(self, packet: bytes, block: bytes) -> Credential:
        assert isinstance(self._format, BlockFormat), "other methods have no identity headers"
        credential = self.ring.named(self._format.named(packet, block))
        if credential is None:
            raise AuthError("nobody has the key that the identity header names")
        return credential

    def stay(self, session: ClientSession) -> None:
        """The users have been replaced. Raises AuthError if this session's is gone."""
        credential = self.ring.named(key_hash(session.credential.key))
        if credential is None or credential.name != session.credential.name:
            raise AuthError("the user was removed")
        session.version = self.ring.version

    def receive(self, packet: bytes) -> Arrival:
        """Open a packet that has come, and remember it. Raises ProtocolError and its kin, Overloaded."""
        arrival = session, number, _, _ = self._look(packet)
        session.accept(number, self._filter)
        if session.live is None:
            self._sessions.setdefault(session.id, session)
        return arrival

    def accept(self, conn: PacketConn, session: Session) -> None:
        """Serve one client address (see AcceptPackets). Raises ProtocolError if its first packet is no good."""
        path = Path(conn, str(session.source.host))
        data, _ = conn.recv_from()
        arrival: Arrival | None = self.receive(bytes(data))
        while arrival is not None:
            one, *_ = arrival
            path.following = None
            session.user = one.credential.name
            if one.live is not None:
                one.live.move(path, arrival)
                path.wait()
            else:
                self._serve(one, arrival, path, session)
            arrival = path.following
            session = afresh(session)

    def _serve(self, one: ClientSession, arrival: Arrival, path: Path, session: Session) -> None:
        key = one.credential.key
        if one.cipher is None:  # it was over, and has come back
            one.cipher = self._format.cipher(key, one.id)
        sealer = make_sealer(self.ring.method, [key], one.answer_id, one.answered)
        client = one.live = SessionClient(self, one, sealer, path, arrival)
        try:
            self._dispatcher.packets(session, client)
        finally:
            one.live = one.cipher = None
            one.answered = sealer.number
            self._end(one)
            client.leave()

    def _end(self, session: ClientSession) -> None:
        """Remember it for a while, and forget what has been over for long enough."""
        at = session.over = now()
        self._over.append((at, session))
        while self._over[0][0] <= at - _REMEMBERED or len(self._over) > _MOST_REMEMBERED:
            when, oldest = self._over.popleft()
            if oldest.live is None and oldest.over == when:
                self._sessions.pop(oldest.id, None)


class SessionClient(Wrapped):
    """A session's client as a PacketConn in the server direction. What is bad is dropped."""

    __slots__ = ("_door", "_heads", "_path", "_pending", "_sealer", "_session")

    def __init__(
        self, door: SessionDoor, session: ClientSession, sealer: PacketSealer, path: Path, first: Arrival
    ) -> None:
        super().__init__(path.conn)
        self._door = door
        self._session = session
        self._sealer = sealer
        self._path = path
        self._pending = deque((first,))
        self._heads = Heads()

    def move(self, path: Path, arrival: Arrival) -> None:
        """A packet of this session has come from another address: go on there."""
        before, self._path = self._path, path
        self._conn = path.conn
        self._unwanted.clear()  # the reader will not get the datagrams that they are for
        self._pending.append(arrival)
        self.offer(self._take)
        before.conn.close()  # who reads there wakes, and reads from the new one
        before.release()

    def leave(self) -> None:
        """The session is over."""
        self._path.release()

    def recv_from(self) -> tuple[Buffer, Address]:
        """See PacketConn."""
        while True:
            if self._pending:
                *_, payload, target = self._pending.popleft()
                return payload, target
            path = self._path
            try:
                return super().recv_from()
            except StreamClosed:
                if path is self._path:
                    raise

    def _open(self, data: Buffer, peer: Address) -> tuple[Buffer, Address] | None:
        if self._session.version != self._door.ring.version:
            self._stay()
        try:
            arrival = session, _, payload, target = self._door.receive(bytes(data))
        except (ProtocolError, Overloaded) as why:
            self._door.dropped.note(self._path.host, why)
            return None
        if session is self._session:
            return payload, target
        self._path.following = arrival
        raise StreamClosed("another session has taken the address", reason="eof")

    def _stay(self) -> None:
        """The users have been replaced. Raises StreamClosed if this one is gone."""
        try:
            self._door.stay(self._session)
        except AuthError as why:
            self.close()
            raise StreamClosed(str(why), reason="killed") from None

    def send_to(self, data: Buffer, to: Address, /) -> None:
        """See PacketConn."""
        if self._session.version != self._door.ring.version:
            self._stay()
        path = self._path
        size = len(data)
        if size > LARGEST:  # the kernel would not take it, so there is no need to seal it
            self._door.dropped.note(path.host, too_large(size))
            return
        address = self._heads.of(to)
        sealed = self._sealer.seal(answer_head(self._session.id, address, size), address, data)
        if len(sealed) > LARGEST:
            self._door.dropped.note(path.host, too_large(size))
        else:
            self._conn.send_to(sealed, to)
