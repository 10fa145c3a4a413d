"""The client side of Shadowsocks over UDP."""

from __future__ import annotations

import os
from typing import Final, Protocol

from gproxy.base.address import Address
from gproxy.base.clock import now
from gproxy.base.errors import DialError, ProtocolError, ReplayError
from gproxy.base.iface import Buffer, PacketConn
from gproxy.base.session import Session
from gproxy.base.wiring import OutboundWiring
from gproxy.net.wrapped import Wrapped
from gproxy.protocol.shadowsocks.packets import LARGEST, Dropped, Heads, too_large
from gproxy.protocol.shadowsocks.wire.methods import Method
from gproxy.protocol.shadowsocks.wire.packets import Codec, codec, split
from gproxy.protocol.shadowsocks.wire.packets2022 import (
    SESSION_ID,
    Format,
    make_format,
    make_sealer,
    read_answer,
    request_head,
)
from gproxy.protocol.shadowsocks.wire.stream2022 import check_time
from gproxy.wire.crypto.aead import Aead
from gproxy.wire.crypto.replay import PacketWindow

# After how many seconds of silence a session of the server counts as past.
_SILENCE: Final = 60.0


class ClientCipher(Protocol):
    """Opens and seals the packets of one client session."""

    def open(self, packet: bytes, /) -> tuple[bytes, Address]:
        """Payload and source of the server's packet. Raises ProtocolError."""

    def seal(self, head: bytes, data: Buffer, /) -> bytes:
        """The packet for a payload; `head` is the target as it is written before it."""


class KeyedCipher:
    """Packets that stand for themselves (see ClientCipher)."""

    __slots__ = ("_codec", "_key")

    def __init__(self, codec: Codec, key: bytes) -> None:
        self._codec = codec
        self._key = key

    def open(self, packet: bytes, /) -> tuple[bytes, Address]:
        """See ClientCipher."""
        return split(self._codec.open(self._key, packet))

    def seal(self, head: bytes, data: Buffer, /) -> bytes:
        """See ClientCipher."""
        return self._codec.seal(self._key, head, data)


class _Answers:
    """A session in which the server answers."""

    __slots__ = ("cipher", "id", "latest", "window")

    def __init__(self, session: bytes, cipher: Aead | None) -> None:
        self.id = session
        self.cipher = cipher
        self.window = PacketWindow()
        self.latest = 0.0  # when its latest packet has come


class SessionCipher:
    """A session of the 2022 edition (see ClientCipher).

    A server that was restarted answers in a session of its own. It is heard together with the one before, as packets
    may be late; a third one is not, until the first has been silent for a minute (SIP022 3.2.4).
    """

    __slots__ = ("_before", "_format", "_id", "_key", "_now", "_sealer")

    def __init__(self, method: Method, keys: list[bytes]) -> None:
        self._key = keys[-1]
        self._id = os.urandom(SESSION_ID)
        self._format: Format = make_format(method, keys[-1])
        self._sealer = make_sealer(method, keys, self._id)
        self._now: _Answers | None = None
        self._before: _Answers | None = None

    def open(self, packet: bytes, /) -> tuple[bytes, Address]:
        """See ClientCipher."""
        block, rest = self._format.begin(packet)
        answers = self._answers(block[:SESSION_ID])
        number = int.from_bytes(block[SESSION_ID:], "big")
        if not answers.window.fresh(number):
            raise ReplayError("this packet has come before, or is too old to tell")
        content, at = self._format.finish(block, rest, answers.cipher)
        time, session, payload, source = read_answer(content, at)
        check_time(time)
        if session != self._id:
            raise ProtocolError("a packet for another session")
        self._heard(answers)
        answers.window.accept(number)
        return payload, source

    def _answers(self, session: bytes) -> _Answers:
        for known in (self._now, self._before):
            if known is not None and known.id == session:
                return known
        return _Answers(session, self._format.cipher(self._key, session))

    def _heard(self, answers: _Answers) -> None:
        """A genuine packet. Raises ReplayError if there are too many sessions."""
        answers.latest = at = now()
        if answers is self._now or answers is self._before:
            return
        if self._before is not None and at - self._before.latest < _SILENCE:
            raise ReplayError("a third session of the server within a minute")
        self._now, self._before = answers, self._now

    def seal(self, head: bytes, data: Buffer, /) -> bytes:
        """See ClientCipher."""
        return self._sealer.seal(request_head(head, len(data)), head, data)


class ClientPackets:
    """An outbound's way to send packets through its server."""

    def __init__(self, method: Method, keys: list[bytes], server: Address, wiring: OutboundWiring) -> None:
        """`keys`: one, or for a 2022 method those from the first server's to the user's own."""
        self._method = method
        self._keys = keys
        self._server = server
        self._via = wiring.via
        self._keyed = None if method.kind == "2022" else KeyedCipher(codec(method), keys[0])
        self.dropped = Dropped(wiring.log)

    def open(self, session: Session) -> PacketConn:
        """A packet connection to any address that the server reaches. Raises DialError."""
        conn = self._via.dial_packet(self._server, session)
        return ServerConn(conn, self._server, self._keyed or SessionCipher(self._method, self._keys), self.dropped)


class ServerConn(Wrapped):
    """The way through a server, as a PacketConn in the client direction.

    Only the server is heard. What is bad is dropped.
    """

    __slots__ = ("_cipher", "_dropped", "_heads", "_host", "_server")

    def __init__(self, conn: PacketConn, server: Address, cipher: ClientCipher, dropped: Dropped) -> None:
        super().__init__(conn)
        self._server = server
        self._host = str(server.host)
        self._cipher = cipher
        self._dropped = dropped
        self._heads = Heads()

    def _open(self, data: Buffer, peer: Address) -> tuple[Buffer, Address] | None:
        if peer is not self._server and not self._may_be_server(peer):
            return None
        try:
            return self._cipher.open(bytes(data))
        except ProtocolError as why:
            self._dropped.note(self._host, why)
            return None

    def prompt(self, to: Address, /) -> bool:
        """See Prompt: whatever is to be reached, it goes to the server."""
        return super().prompt(self._server)

    def _may_be_server(self, peer: Address) -> bool:
        """Which address a server that is known by its domain has, only the dialer beneath knows."""
        return peer == self._server or (self._server.is_domain and peer.port == self._server.port)

    def send_to(self, data: Buffer, to: Address, /) -> None:
        """See PacketConn."""
        try:
            head = self._heads.of(to)
        except ValueError as error:
            raise DialError(f"{to.host}: too long a name", reason="failed") from error
        if len(data) > LARGEST:  # the kernel would not take it, so there is no need to seal it
            self._dropped.note(self._host, too_large(len(data)))
            return
        sealed = self._cipher.seal(head, data)
        if len(sealed) > LARGEST:
            self._dropped.note(self._host, too_large(len(data)))
        else:
            self._conn.send_to(sealed, self._server)
