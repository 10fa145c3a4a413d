"""Sets of names as binary rule sets have them: a trie of the reversed names, level by level, in a few bits a node.

    version   u8, which readers ignore
    leaves    words   bit i: a name ends at node i
    shape     words   for each node a 0 for each of its children, then a 1
    labels    bytes   the byte that leads to node i + 1

Nodes are numbered from the root (0) level by level, those of a level in the order of their names; bit 0 is the lowest
of the first word. Characters are reversed, the bytes of each stay in order. Readers can search it as it lies; here it
is taken apart and put together. Both go over it a level or a name at a time, not bit by bit: sets have a million names.
"""

from __future__ import annotations

from array import array
from collections.abc import Iterable, Iterator
from itertools import chain, compress, repeat
from operator import add
from sys import byteorder

from gproxy.route.formats.binary import Reader, prefixed, utf8, words
from gproxy.route.headless import BadRuleSet

MAX_NODES = 2**23
MAX_KEYS = 2**21
MAX_KEY = 2048
"""Bytes of the longest name: one of DNS has 253, one that is a pattern may have some more."""
MAX_TEXT = 2**26
"""Bytes of all names: a small trie can have many long ones that end differently."""

_BYTES_OF_BITS = bytes.maketrans(b"01", b"\0\1")


def read_keys(reader: Reader) -> list[str]:
    """The names, not reversed any more, in the order of their length and then of the reversed names.

    Raises BadRuleSet.
    """
    reader.u8()
    leaves, shape = reader.words(), reader.words()
    labels = reader.take(reader.count(1, MAX_NODES))
    counts = _counts(shape, len(labels))
    ends = _bits(leaves)[: len(counts)].encode().translate(_BYTES_OF_BITS)
    keys = list(_keys(labels, counts, ends.ljust(len(counts), b"\0")))
    if labels.isascii():
        return [key[::-1] for key in keys]
    try:
        return [key.encode("latin-1").decode()[::-1] for key in keys]
    except UnicodeDecodeError:
        raise BadRuleSet("a name that is not UTF-8") from None


def _bits(values: array[int]) -> str:
    """Zeros and ones, the lowest bit of the first word first."""
    if not values:
        return ""
    ordered = values
    if byteorder == "big":
        ordered = values[:]
        ordered.byteswap()
    return f"{int.from_bytes(ordered.tobytes(), 'little'):0{64 * len(values)}b}"[::-1]


def _counts(shape: array[int], labels: int) -> list[int]:
    """How many children each node has."""
    if len(shape) * 64 > 2 * (labels + 1) + 64:
        raise BadRuleSet("a trie whose parts contradict each other")
    counts = list(map(len, _bits(shape).split("1")))
    counts.pop()  # what fills up the last word
    if len(counts) != labels + 1 or sum(counts) != labels or max(counts) > 256:
        raise BadRuleSet("a trie whose parts contradict each other")
    if counts.count(0) > MAX_KEYS:  # no level is wider than that
        raise BadRuleSet(f"more than {MAX_KEYS} names")
    return counts


def _keys(labels: bytes, counts: list[int], ends: bytes) -> Iterator[str]:
    """Each byte of a key is a character here."""
    characters = labels.decode("latin-1")
    if ends.count(1) > MAX_KEYS:
        raise BadRuleSet(f"more than {MAX_KEYS} names")
    level, first, left = [""], 0, MAX_TEXT
    for depth in range(MAX_KEY + 1):
        after = first + len(level)
        found = list(compress(level, ends[first:after]))
        left -= len(found) * depth
        if left < 0 or len(level) * depth > MAX_TEXT:
            raise BadRuleSet(f"names of more than {MAX_TEXT >> 20} MiB")
        yield from found
        if after == len(counts):
            return
        parents = chain.from_iterable(map(repeat, level, counts[first:after]))
        children = sum(counts[first:after])
        if not children:
            raise BadRuleSet("a trie with nodes that nothing leads to")
        # The label that leads to a node has the number of the node less one.
        level = list(map(add, parents, characters[after - 1 : after - 1 + children]))
        first = after
    raise BadRuleSet(f"a name of more than {MAX_KEY} bytes")


def write_keys(names: Iterable[str]) -> bytes:
    """The trie of these names. Raises BadRuleSet if it would be larger than one that is read."""
    keys = sorted({utf8(name[::-1]) for name in names})
    if len(keys) > MAX_KEYS or max(map(len, keys), default=0) > MAX_KEY:
        raise BadRuleSet(f"more than {MAX_KEYS} names, or one of more than {MAX_KEY} bytes")
    labels, shape, leaves = _levels(keys)
    if len(labels) > MAX_NODES or sum(map(len, keys)) > MAX_TEXT:
        raise BadRuleSet(f"names of more than {MAX_TEXT >> 20} MiB, or with more than {MAX_NODES} different parts")
    return b"\0" + words(_packed(leaves)) + words(_packed(shape)) + prefixed(labels)


def _levels(keys: list[bytes]) -> tuple[bytes, bytes, bytes]:
    """Labels, and the digits of shape and leaves.

    Where a key parts from the one before it, the node gets one more child, and every byte from there on is a new node:
    it ends what the level's node before it had for children, and has one child itself unless the key ends there.
    """
    depth = max(map(len, keys), default=0)
    labels = [bytearray() for _ in range(depth + 1)]
    shape = [bytearray() for _ in range(depth + 1)]
    leaves = [bytearray() for _ in range(depth + 1)]
    leaves[0] += b"1" if keys and not keys[0] else b"0"
    before = b""
    for key in filter(None, keys):
        shared, length = _shared(before, key), len(key)
        shape[shared] += b"0"
        for level in range(shared + 1, length):
            labels[level].append(key[level - 1])
            shape[level] += b"10"
            leaves[level] += b"0"
        labels[length].append(key[-1])
        shape[length] += b"1"
        leaves[length] += b"1"
        before = key
    # In each level the first node ended none before it, and none has ended the last.
    ended = [shape[0] + b"1", *(level[1:] + b"1" for level in shape[1:])]
    return b"".join(labels), b"".join(ended), b"".join(leaves)


def _shared(one: bytes, other: bytes) -> int:
    """How many bytes both begin with."""
    shorter = min(len(one), len(other))
    different = int.from_bytes(one[:shorter], "big") ^ int.from_bytes(other[:shorter], "big")
    return shorter - (different.bit_length() + 7) // 8


def _packed(digits: bytes) -> array[int]:
    """The digits as words, without words at the end that have no 1."""
    count = (digits.rfind(b"1") + 64) // 64
    number = int(digits[: 64 * count][::-1], 2) if count else 0
    packed = array("Q", number.to_bytes(8 * count, "little"))
    if byteorder == "big":
        packed.byteswap()
    return packed
