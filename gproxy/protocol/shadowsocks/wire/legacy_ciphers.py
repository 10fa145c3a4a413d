"""The retired ciphers themselves, each as a key and an IV that go one way at a time.

`cryptography` has all of them but Salsa20, the older ones among its decrepit; Salsa20 is pycryptodome's.
"""

from __future__ import annotations

from collections.abc import Callable
from hashlib import md5
from typing import Final, Protocol

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.decrepit.ciphers.algorithms import ARC4, Blowfish, Camellia
from cryptography.hazmat.decrepit.ciphers.modes import CFB
from cryptography.hazmat.primitives.ciphers import Cipher
from cryptography.hazmat.primitives.ciphers.algorithms import AES, ChaCha20
from cryptography.hazmat.primitives.ciphers.modes import CTR

from gproxy.base.iface import Buffer
from gproxy.protocol.shadowsocks.wire.methods import Method
from gproxy.wire.crypto.aead import hchacha20


class Context(Protocol):
    """One direction under way."""

    def update_into(self, data: Buffer, buf: Buffer, /) -> int:
        """Encrypt or decrypt all of `data` into the beginning of `buf`, which is at least as long."""


class Keyed(Protocol):
    """A cipher with its key and IV."""

    def encryptor(self) -> Context: ...

    def decryptor(self) -> Context: ...


_UPPER: Final = 1 << 32  # blocks of 64 bytes: as far as the library counts, which is 256 GiB


class _ChaCha20:
    """ChaCha20 with a counter of 64 bits, as its author has it; it runs into the nonce where that is longer."""

    __slots__ = ("_context", "_key", "_left", "_nonce")

    def __init__(self, key: bytes, nonce: bytes) -> None:
        """`nonce`: everything behind the lower half of the counter, 12 bytes."""
        self._key = key
        self._nonce = nonce
        self._start()

    def _start(self, at: int = 0) -> None:
        block = at.to_bytes(4, "little")
        self._context = Cipher(ChaCha20(self._key, block + self._nonce), None).encryptor()
        self._left = (_UPPER - at) * 64

    def encryptor(self) -> Context:
        return self

    def decryptor(self) -> Context:
        return self

    def update_into(self, data: Buffer, buf: Buffer, /) -> int:
        """See Context."""
        left = self._left - len(data)
        if left >= 0:
            self._left = left
            return self._context.update_into(data, buf)
        return self._carry(memoryview(data), memoryview(buf))

    def _carry(self, data: memoryview, buf: memoryview) -> int:
        """The lower half of the counter is used up in the middle of `data`: the upper one counts on."""
        lower = self._left
        made = self._context.update_into(data[:lower], buf)
        upper = (int.from_bytes(self._nonce, "little") + 1) % (1 << 96)
        self._nonce = upper.to_bytes(12, "little")
        self._start()
        return made + self.update_into(data[lower:], buf[made:])


class _Salsa20:
    """Salsa20 by pycryptodome, with the library's calls."""

    __slots__ = ("_cipher",)

    def __init__(self, key: bytes, nonce: bytes) -> None:
        from Crypto.Cipher import Salsa20

        self._cipher = Salsa20.new(key=key, nonce=nonce)

    def encryptor(self) -> Context:
        return self

    def decryptor(self) -> Context:
        return self

    def update_into(self, data: Buffer, buf: Buffer, /) -> int:
        """See Context. The library wants a target that is exactly as long."""
        size = len(data)
        self._cipher.encrypt(data, output=memoryview(buf)[:size])
        return size


def _aes_ctr(key: bytes, iv: bytes) -> Keyed:
    return Cipher(AES(key), CTR(iv))


def _aes_cfb(key: bytes, iv: bytes) -> Keyed:
    return Cipher(AES(key), CFB(iv))


def _camellia_cfb(key: bytes, iv: bytes) -> Keyed:
    return Cipher(Camellia(key), CFB(iv))


def _blowfish_cfb(key: bytes, iv: bytes) -> Keyed:
    return Cipher(Blowfish(key), CFB(iv))


def _rc4_md5(key: bytes, iv: bytes) -> Keyed:
    return Cipher(ARC4(md5(key + iv, usedforsecurity=False).digest()), None)


def _chacha20(key: bytes, iv: bytes) -> Keyed:
    return _ChaCha20(key, bytes(4) + iv)


def _xchacha20(key: bytes, iv: bytes) -> Keyed:
    return _ChaCha20(hchacha20(key, iv[:16]), bytes(4) + iv[16:])


KEYED: Final[dict[str, Callable[[bytes, bytes], Keyed]]] = {
    "aes-128-ctr": _aes_ctr,
    "aes-192-ctr": _aes_ctr,
    "aes-256-ctr": _aes_ctr,
    "aes-128-cfb": _aes_cfb,
    "aes-192-cfb": _aes_cfb,
    "aes-256-cfb": _aes_cfb,
    "camellia-128-cfb": _camellia_cfb,
    "camellia-192-cfb": _camellia_cfb,
    "camellia-256-cfb": _camellia_cfb,
    "bf-cfb": _blowfish_cfb,
    "rc4-md5": _rc4_md5,
    "chacha20": _chacha20,
    "chacha20-ietf": _ChaCha20,
    "xchacha20": _xchacha20,
    "salsa20": _Salsa20,
}
"""The cipher of each retired method, from its key and IV."""


def check_method(method: Method) -> None:
    """Raises ValueError if the libraries here were built without this method's cipher."""
    try:
        KEYED[method.name](bytes(method.key_size), bytes(method.salt_size)).encryptor()
    except (UnsupportedAlgorithm, ImportError) as error:
        raise ValueError(f"{method.name}: the libraries here have no such cipher any more") from error
