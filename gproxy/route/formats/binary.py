"""Reading of binary files: numbers, texts and lists, none of which may claim more than the file has."""

from __future__ import annotations

from array import array
from sys import byteorder

from gproxy.route.headless import BadRuleSet

CUT_OFF = "cut off"


class Reader:
    """A reading position in bytes that are all there. Everything raises BadRuleSet where they end too early."""

    __slots__ = ("_data", "at")

    def __init__(self, data: bytes, at: int = 0) -> None:
        self._data = data
        self.at = at

    def take(self, count: int) -> bytes:
        """The next `count` bytes."""
        end = self.at + count
        if end > len(self._data):
            raise BadRuleSet(CUT_OFF)
        piece = self._data[self.at : end]
        self.at = end
        return piece

    def u8(self) -> int:
        """One octet."""
        at = self.at
        if at >= len(self._data):
            raise BadRuleSet(CUT_OFF)
        self.at = at + 1
        return self._data[at]

    def uvarint(self) -> int:
        """An integer below 2**64, seven bits in an octet, the lowest first; the highest bit says that more follow."""
        value = shift = 0
        while True:
            octet = self.u8()
            value |= (octet & 0x7F) << shift
            if octet < 0x80:
                break
            shift += 7
            if shift > 63:
                raise BadRuleSet("a number of more than 64 bits")
        if value >> 64:
            raise BadRuleSet("a number of more than 64 bits")
        return value

    def count(self, size: int, limit: int) -> int:
        """How many things of `size` bytes at least follow. Never more than there is room for, or than `limit`."""
        count = self.uvarint()
        if count * size > self.left():
            raise BadRuleSet(CUT_OFF)
        if count > limit:
            raise BadRuleSet(f"more than {limit} values in a list")
        return count

    def text(self) -> str:
        """Text with its length before it."""
        raw = self.take(self.count(1, len(self._data)))
        try:
            return raw.decode()
        except UnicodeDecodeError:
            raise BadRuleSet("text that is not UTF-8") from None

    def words(self) -> array[int]:
        """Words of 64 bits with their number before them, in network order."""
        found = array("Q", self.take(8 * self.count(8, len(self._data))))
        if byteorder == "little":
            found.byteswap()
        return found

    def left(self) -> int:
        """How many bytes are left."""
        return len(self._data) - self.at


def uvarint(value: int) -> bytes:
    """What `Reader.uvarint` reads."""
    out = bytearray()
    while value >= 0x80:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    out.append(value)
    return bytes(out)


def prefixed(raw: bytes) -> bytes:
    """The bytes with their number before them."""
    return uvarint(len(raw)) + raw


def words(values: array[int]) -> bytes:
    """What `Reader.words` reads."""
    ordered = values[:]
    if byteorder == "little":
        ordered.byteswap()
    return uvarint(len(values)) + ordered.tobytes()


def utf8(text: str) -> bytes:
    """The bytes of a text. Raises BadRuleSet for half characters, which JSON can name and no file can have."""
    try:
        return text.encode()
    except UnicodeEncodeError:
        raise BadRuleSet("text that is not Unicode") from None
