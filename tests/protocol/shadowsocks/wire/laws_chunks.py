"""The sealers and openers of SIP004 and of the 2022 edition, registered for the laws."""

from __future__ import annotations

import os
from functools import partial

from gproxy.base.iface import Opener, Sealer
from gproxy.protocol.shadowsocks.wire import stream2022
from gproxy.protocol.shadowsocks.wire.chunks import MOST, ChunkOpener, ChunkSealer, SaltedOpener
from gproxy.protocol.shadowsocks.wire.keys import key_of_password, session_key_2022, session_key_aead
from gproxy.protocol.shadowsocks.wire.methods import METHODS, Method
from gproxy.wire.crypto.aead import TAG, Aead
from tests.laws.registry import Framing

_ADDRESS = b"\x01\x7f\0\0\1\0P"


def _aead(method: Method, head: bytes) -> tuple[Sealer, Opener]:
    key, salt = key_of_password(method, "pw1"), os.urandom(method.salt_size)

    def cipher(salt: bytes) -> Aead:
        return method.cipher(session_key_aead(key, salt))

    return ChunkSealer(cipher(salt), salt, head), SaltedOpener(method.salt_size, cipher)


def _response(method: Method) -> tuple[Sealer, Opener]:
    request_salt, salt = bytes(range(method.salt_size)), os.urandom(method.salt_size)

    def cipher(salt: bytes) -> Aead:
        return method.cipher(session_key_2022(bytes(method.key_size), salt))

    return stream2022.ResponseSealer(cipher(salt), salt, request_salt), stream2022.ResponseOpener(request_salt, cipher)


def _request(method: Method) -> tuple[Sealer, Opener]:
    key, salt = bytes(method.key_size), os.urandom(method.salt_size)
    sealer = stream2022.RequestSealer(method.cipher(session_key_2022(key, salt)), salt, _ADDRESS)
    return sealer, _RequestOpener(method, key)


class _RequestOpener:
    """What the inbound does step by step, as one Opener."""

    def __init__(self, method: Method, key: bytes) -> None:
        self._method = method
        self._key = key
        self._chunks: ChunkOpener | None = None

    def open_into(self, source: memoryview, target: memoryview, /) -> tuple[int, int]:
        """See Opener."""
        if self._chunks is not None:
            return self._chunks.open_into(source, target)
        salt_size = self._method.salt_size
        fixed = salt_size + stream2022.SEALED_FIXED
        if len(source) < fixed:
            return 0, 0
        cipher = self._method.cipher(session_key_2022(self._key, bytes(source[:salt_size])))
        end = fixed + stream2022.open_fixed(cipher, bytes(source[salt_size:fixed])) + TAG
        if len(source) < end:
            return 0, 0
        _, payload = stream2022.open_variable(cipher, bytes(source[fixed:end]))
        made = len(payload)
        if made > len(target):
            return 0, 0
        target[:made] = payload
        self._chunks = ChunkOpener(cipher, most=stream2022.MOST, number=2)
        used, more = self._chunks.open_into(source[end:], target[made:])
        return end + used, made + more


FRAMINGS = [
    *(
        Framing(f"{method.name}{'-request' if head else ''}", partial(_aead, method, head), 100 + MOST, before=head)
        for method in METHODS.values()
        if method.kind == "aead"
        for head in (b"", _ADDRESS)[: 2 if method.name == "aes-128-gcm" else 1]
    ),
    *(
        Framing(f"{method.name}-{name}", partial(make, method), 300 + stream2022.MOST)
        for method in METHODS.values()
        if method.kind == "2022"
        for name, make in (("request", _request), ("response", _response))
    ),
]
