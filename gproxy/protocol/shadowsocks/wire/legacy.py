"""The retired stream ciphers on the wire, as the first Shadowsocks had them: an IV, and then nothing but ciphertext.

+--------+-----------------------------------------------------------------
| IV     | ciphertext of everything that is said, without any borders
+--------+-----------------------------------------------------------------
| 8…24   |

Nothing proves who has sent the bytes, or that nobody has changed them: what comes out may be anything. A packet is the
same, with an IV of its own. What a client says begins with the target's address (gproxy.wire.socksaddr).
"""

from __future__ import annotations

import os

from gproxy.base.errors import ProtocolError
from gproxy.base.iface import Buffer
from gproxy.protocol.shadowsocks.wire.legacy_ciphers import KEYED, Context
from gproxy.protocol.shadowsocks.wire.methods import Method


class StreamSealer:
    """Encrypts a stream (see Sealer). The IV leaves together with the first bytes."""

    __slots__ = ("_context", "_first", "_head", "iv")

    def __init__(self, method: Method, key: bytes, head: bytes = b"") -> None:
        """`head`: what is said before the first payload; sealing, even nothing, says it."""
        self.iv = os.urandom(method.salt_size)
        self._context = KEYED[method.name](key, self.iv).encryptor()
        self._first = self.iv
        self._head = head

    def room(self, size: int, /) -> int:
        """See Sealer."""
        return len(self._first) + len(self._head) + size

    def seal_into(self, source: Buffer, target: memoryview, /) -> int:
        """See Sealer. Nothing makes nothing, unless there is a head."""
        if not self._first:
            return self._context.update_into(source, target)
        if not source and not self._head:
            return 0
        made = len(self._first)
        target[:made] = self._first
        made += self._context.update_into(self._head, target[made:])
        made += self._context.update_into(source, target[made:])
        self._first = self._head = b""
        return made


class StreamOpener:
    """Decrypts a stream (see Opener). `iv` is what the peer has begun with, empty until all of it has come."""

    __slots__ = ("_context", "_key", "_method", "iv")

    def __init__(self, method: Method, key: bytes) -> None:
        self._method = method
        self._key = key
        self._context: Context | None = None
        self.iv = b""

    def open_into(self, source: memoryview, target: memoryview, /) -> tuple[int, int]:
        """See Opener. Never raises, since there is nothing that could be wrong."""
        used = 0
        context = self._context
        if context is None:
            used = self._method.salt_size
            if len(source) < used:
                return 0, 0
            self.iv = bytes(source[:used])
            context = self._context = KEYED[self._method.name](self._key, self.iv).decryptor()
            source = source[used:]
        if len(source) > len(target):
            source = source[: len(target)]
        made = context.update_into(source, target)
        return used + made, made


def seal_packet(method: Method, key: bytes, data: Buffer) -> bytes:
    """A packet with this content, under a random IV."""
    iv = os.urandom(method.salt_size)
    return iv + _whole(KEYED[method.name](key, iv).encryptor(), data)


def open_packet(method: Method, key: bytes, data: Buffer) -> bytes:
    """The content of a packet. Raises ProtocolError for one that is shorter than its IV."""
    size = method.salt_size
    if len(data) < size:
        raise ProtocolError("a packet shorter than its IV")
    with memoryview(data) as packet:
        return _whole(KEYED[method.name](key, bytes(packet[:size])).decryptor(), packet[size:])


def _whole(context: Context, data: Buffer) -> bytes:
    made = bytearray(len(data))
    context.update_into(data, made)
    return bytes(made)
