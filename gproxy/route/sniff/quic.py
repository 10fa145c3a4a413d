"""QUIC, by its client's first message (gproxy.wire.quicinitial): which site is wanted, and by which program.

Programs tell themselves by how they fill the last packet of their hello, and by what TLS they have:

    one frame, and not even padding                                            firefox
    a piece of the hello, and padding behind it; TLS like Apple's              safari
    padding, and a piece of the hello behind it                                quic-go
    several pieces of the hello, or a ping                                     chromium, or quic-go by its TLS
"""

from __future__ import annotations

from collections.abc import Sequence

from gproxy.base.errors import ProtocolError
from gproxy.base.session import Sniffed
from gproxy.route.sniff.found import domain_in, no
from gproxy.wire import quicinitial
from gproxy.wire.clienthello import MOST, ClientHello, Habits, read_client_hello, read_habits
from gproxy.wire.cursor import Cursor, Incomplete
from gproxy.wire.quicinitial import CRYPTO, PADDING, PING, Frame, Handshake, Head, Keys, client_keys, decode_head

BARE = Sniffed("quic")
"""What is known of QUIC whose hello has not come, or says nothing."""

_MESSAGE_HEAD = 4
_CLIENT_HELLO = 1
_GREASE, _GREASED = 0x0F0F, 0x0A0A
_AES_256_GCM_SHA384, _X25519, _ECDSA_P256_SHA256 = 0x1302, 0x001D, 0x0403
_X25519_MLKEM768 = 0x11EC
_RENEGOTIATION = 0xFF01


class QuicSniffer:
    """Takes the client's datagrams, in any order, until they make a whole hello."""

    __slots__ = ("_handshake", "_keys", "_made_of")

    def __init__(self) -> None:
        self._handshake = Handshake(MOST)
        self._made_of: tuple[int, bytes] | None = None
        self._keys: Keys | None = None

    def feed(self, datagram: bytes) -> Sniffed:
        """What is known with this one. Raises Incomplete when more of the hello is to come, and ProtocolError for a
        datagram that is no Initial packet of this client.
        """
        last = self._take(datagram)
        message = self._handshake.whole()
        if len(message) < _MESSAGE_HEAD:
            raise Incomplete
        if message[0] != _CLIENT_HELLO:
            return BARE
        end = _MESSAGE_HEAD + int.from_bytes(message[1:_MESSAGE_HEAD], "big")
        if end > MOST:
            return BARE
        if len(message) < end:
            raise Incomplete
        message = message[:end]
        try:
            hello, habits = read_client_hello(message), read_habits(message)
        except ProtocolError:
            return BARE
        return Sniffed("quic", domain_in(hello.server_name), _client(last, hello, habits))

    def _take(self, datagram: bytes) -> Sequence[Frame]:
        """The frames of the last Initial packet in it."""
        cursor = Cursor(datagram)
        try:
            found = self._open(datagram, decode_head(cursor))
        except Incomplete:
            raise no("QUIC") from None
        while cursor.left():
            try:
                found = self._open(datagram, decode_head(cursor))
            except (Incomplete, ProtocolError):
                break  # packets of other kinds, or bytes of none
        return found

    def _open(self, datagram: bytes, head: Head) -> Sequence[Frame]:
        if not head.destination:
            raise no("QUIC")
        made_of = head.version, head.destination
        keys = self._keys
        if keys is None or made_of != self._made_of:
            keys = client_keys(*made_of)
        found = list(quicinitial.frames(quicinitial.open_packet(datagram, head, keys)))
        if not found:
            raise no("QUIC")
        self._keys, self._made_of = keys, made_of
        for frame in found:
            if frame.kind == CRYPTO:
                self._handshake.add(frame.offset, frame.data)
        return found


def sniff_quic(cursor: Cursor) -> Sniffed:
    """A Decode for the only datagram, or the first one of several."""
    return QuicSniffer().feed(cursor.rest())


def _client(frames: Sequence[Frame], hello: ClientHello, habits: Habits) -> str:
    kinds = [frame.kind for frame in frames]
    if len(kinds) == 1 and (kinds[0] != PADDING or frames[0].size == 1):
        return "firefox"
    if kinds[0] == CRYPTO and set(kinds[1:]) <= {PADDING} and _apple(hello, habits):
        return "safari"
    if kinds[-1] == CRYPTO and set(kinds[:-1]) <= {PADDING}:
        return "quic-go"
    if kinds.count(CRYPTO) > 1 or PING in kinds:
        return "quic-go" if _X25519_MLKEM768 in habits.groups or _RENEGOTIATION in habits.extensions else "chromium"
    return "unknown"


def _apple(hello: ClientHello, habits: Habits) -> bool:
    if (habits.suites, habits.groups, habits.signatures) == (
        (_AES_256_GCM_SHA384,), (_X25519,), (_ECDSA_P256_SHA256,),
    ):  # fmt: skip
        return True
    versions, groups = hello.versions, habits.groups
    return len(versions) == 2 and _greased(versions[0]) and len(groups) == 5 and _greased(groups[0])


def _greased(number: int) -> bool:
    """One of the numbers that mean nothing (RFC 8701)."""
    return number & _GREASE == _GREASED
