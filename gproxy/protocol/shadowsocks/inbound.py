"""The server side of Shadowsocks."""

from __future__ import annotations

import os
from collections.abc import Sequence
from functools import partial

from gproxy.base.address import Address, parse_host
from gproxy.base.clock import now
from gproxy.base.defaults import HANDSHAKE_TIMEOUT
from gproxy.base.errors import AuthError, ProtocolError, ReplayError, StreamClosed
from gproxy.base.iface import Entrance, ResetReply, Stream, StreamEntrance
from gproxy.base.session import Session
from gproxy.base.wiring import InboundWiring
from gproxy.net.buffered import Buffered
from gproxy.net.framed import Framed
from gproxy.net.unwelcome import swallow
from gproxy.protocol.shadowsocks.options import ShadowsocksInboundOptions, warn_of_retired
from gproxy.protocol.shadowsocks.packets_entrance import packet_entrance
from gproxy.protocol.shadowsocks.users import Credential, KeyRing
from gproxy.protocol.shadowsocks.wire import chunks, legacy, stream2022
from gproxy.protocol.shadowsocks.wire.keys import (
    BLOCK,
    decrypt_block,
    identity_key,
    session_key_2022,
    session_key_aead,
)
from gproxy.rt.deadline import deadline
from gproxy.wire.crypto.aead import TAG, Aead
from gproxy.wire.cursor import Cursor
from gproxy.wire.socksaddr import MAX_ADDRESS, decode_address


class ShadowsocksInbound:
    """Finds out who the client is and where it wants to go, and hands on what it sends.

    Who fails learns nothing: neither that it failed nor when (gproxy.net.unwelcome).
    """

    def __init__(self, options: ShadowsocksInboundOptions, wiring: InboundWiring) -> None:
        method = options.chosen()
        users = [(user.name, user.password.reveal(), None) for user in options.users]
        relayed = [
            (each.name, each.password.reveal(), Address(parse_host(each.server), each.server_port))
            for each in options.destinations
        ]
        several = bool(users or relayed or options.managed)
        self._ring = KeyRing(method, options.password.reveal(), users or relayed, several=several)
        self._method = method
        self._networks = frozenset(options.network or ("tcp", "udp"))
        self._dispatcher = wiring.dispatcher
        self._replays = wiring.replays
        self._packets = packet_entrance(self._ring, wiring, relay=bool(relayed))
        warn_of_retired(method, wiring.log)

    def entrances(self) -> Sequence[Entrance]:
        """One for each network."""
        doors: list[Entrance] = []
        if "tcp" in self._networks:
            doors.append(StreamEntrance(self.accept))
        if "udp" in self._networks:
            doors.append(self._packets)
        return doors

    def manage(self, users: Sequence[tuple[str, str]]) -> None:
        """See Managed."""
        self._ring.replace((name, password, None) for name, password in users)

    def accept(self, stream: Stream, session: Session) -> None:
        """Serve one client. Raises ProtocolError and its kin, some time after it has happened."""
        until = now() + HANDSHAKE_TIMEOUT
        client = stream if isinstance(stream, Buffered) else Buffered(stream)
        try:
            with deadline(HANDSHAKE_TIMEOUT, ProtocolError("no Shadowsocks request in time", reason="timeout")):
                opened = self._handshake(client, session)
        except (ProtocolError, StreamClosed) as why:
            swallow(client, until, session, why)
            raise
        self._dispatcher.stream(session, opened, ResetReply(opened))

    def _handshake(self, client: Buffered, session: Session) -> Stream:
        kind = self._method.kind
        if kind == "2022":
            return self._accept_2022(client, session)
        if kind == "aead":
            opened = Buffered(self._accept_aead(client, session))
        elif kind == "stream":
            return self._accept_legacy(client, session)
        else:
            opened = client
        session.target = opened.decode(decode_address, MAX_ADDRESS)
        return opened

    # -- SIP004 --------------------------------------------------------------------------------------------------------

    def _accept_aead(self, client: Buffered, session: Session) -> Stream:
        method = self._method
        salt, sealed = client.decode(partial(_salt_and, method.salt_size, chunks.SEALED_LENGTH), _LIMIT)
        credential, cipher, size = self._try_keys(session, salt, sealed)
        if not self._replays.lasting.first(salt):
            raise ReplayError("this salt was seen before")
        session.user = credential.name
        answer = os.urandom(method.salt_size)
        sealer = chunks.ChunkSealer(method.cipher(session_key_aead(credential.key, answer)), answer)
        return Framed(client, chunks.ChunkOpener(cipher, number=1, size=size), sealer)

    def _try_keys(self, session: Session, salt: bytes, sealed: bytes) -> tuple[Credential, Aead, int]:
        ring, method = self._ring, self._method
        for credential in ring.candidates(session.source.host):
            cipher = method.cipher(session_key_aead(credential.key, salt))
            size = chunks.open_length(cipher, sealed)
            if size is not None:
                ring.remember(session.source.host, credential)
                return credential, cipher, size
        raise AuthError("no key fits")

    # -- retired ciphers -----------------------------------------------------------------------------------------------

    def _accept_legacy(self, client: Buffered, session: Session) -> Stream:
        opener = legacy.StreamOpener(self._method, self._ring.key)
        opened = Buffered(Framed(client, opener, legacy.StreamSealer(self._method, self._ring.key)))
        # Whoever has another key, or none, says something here too: most of it is no address.
        session.target = opened.decode(decode_address, MAX_ADDRESS)
        if not self._replays.lasting.first(opener.iv):
            raise ReplayError("this IV was seen before")
        return opened

    # -- SIP022 --------------------------------------------------------------------------------------------------------

    def _accept_2022(self, client: Buffered, session: Session) -> Stream:
        method, ring = self._method, self._ring
        salt_size = method.salt_size
        if ring.several:
            salt, header = client.decode(partial(_salt_and, salt_size, BLOCK), _LIMIT)
            credential = self._identified(salt, header)
            session.user = credential.name
            if credential.entry is not None:
                session.target = credential.entry
                # What the destination's own client would have sent: the header that was ours is gone.
                return Buffered(client, salt + client.take())
            sealed = client.decode(partial(_take, stream2022.SEALED_FIXED), _LIMIT)
            key = credential.key
        else:
            salt, sealed = client.decode(partial(_salt_and, salt_size, stream2022.SEALED_FIXED), _LIMIT)
            key = ring.key
        cipher = method.cipher(session_key_2022(key, salt))
        length = stream2022.open_fixed(cipher, sealed)
        if not self._replays.recent.first(salt):
            raise ReplayError("this salt was seen before")
        sealed = client.decode(partial(_take, length + TAG), length + TAG)
        session.target, payload = stream2022.open_variable(cipher, sealed)
        return Buffered(self._framed_2022(client, key, cipher, salt), payload)

    def _identified(self, salt: bytes, header: bytes) -> Credential:
        credential = self._ring.named(decrypt_block(identity_key(self._ring.key, salt), header))
        if credential is None:
            raise AuthError("nobody has the key that the identity header names")
        return credential

    def _framed_2022(self, client: Stream, key: bytes, cipher: Aead, request_salt: bytes) -> Framed:
        method = self._method
        salt = os.urandom(method.salt_size)
        sealer = stream2022.ResponseSealer(method.cipher(session_key_2022(key, salt)), salt, request_salt)
        return Framed(client, chunks.ChunkOpener(cipher, most=stream2022.MOST, number=2), sealer)


# More than any of the first messages has.
_LIMIT = 128


def _salt_and(salt_size: int, size: int, cursor: Cursor) -> tuple[bytes, bytes]:
    return cursor.take(salt_size), cursor.take(size)


def _take(size: int, cursor: Cursor) -> bytes:
    return cursor.take(size)
