"""IP prefixes in great numbers: as ranges of integers, read from text and written as few prefixes as possible."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from ipaddress import AddressValueError, IPv4Address, IPv6Address

from gproxy.route.ranges import Bounds, merged

_MAPPED_FIRST = 0xFFFF_0000_0000
_MAPPED_LAST = 0xFFFF_FFFF_FFFF


@dataclass(frozen=True, slots=True)
class IpRanges:
    """A set of addresses: ranges of both families, in order, that neither overlap nor touch. Empty ones are false.

    IPv4-mapped addresses (::ffff:0:0/96) are among the `six`, where they were written.
    """

    four: tuple[Bounds, ...] = ()
    six: tuple[Bounds, ...] = ()

    @classmethod
    def of(cls, four: Iterable[Bounds], six: Iterable[Bounds]) -> IpRanges:
        """The set of any ranges."""
        return cls(tuple(merged(four)), tuple(merged(six)))

    def __bool__(self) -> bool:
        return bool(self.four or self.six)

    def prefixes(self) -> Iterator[str]:
        """The fewest prefixes that make up the set, as text, IPv4 before IPv6."""
        for first, last in self.four:
            for address, bits in split(first, last, 32):
                yield f"{IPv4Address(address)}/{bits}"
        for first, last in self.six:
            for address, bits in split(first, last, 128):
                yield f"{text_of_six(address)}/{bits}"


NO_RANGES = IpRanges()


def read_prefixes(texts: Iterable[str]) -> IpRanges:
    """The set of prefixes (`10.0.0.0/8`; bits that it does not cover are ignored) and addresses. Raises ValueError."""
    four: list[Bounds] = []
    six: list[Bounds] = []
    for text in texts:
        first, last, wide = read_prefix(text)
        (six if wide else four).append((first, last))
    return IpRanges.of(four, six)


def read_prefix(text: str) -> tuple[int, int, bool]:
    """The first and last address of a prefix or of an address alone, and whether it is IPv6. Raises ValueError."""
    address, slash, length = text.partition("/")
    try:
        wide = ":" in address
        number = _six(address) if wide else int(IPv4Address(address))
    except AddressValueError:
        raise _bad(text) from None
    bits = 128 if wide else 32
    if not slash:
        return number, number, wide
    if not (length.isascii() and length.isdigit() and len(length) <= 3 and (length[0] != "0" or length == "0")):
        raise _bad(text)
    free = bits - int(length)
    if free < 0:
        raise _bad(text)
    first = number >> free << free
    return first, first + (1 << free) - 1, wide


def _six(text: str) -> int:
    if "%" in text:
        raise AddressValueError("a zone belongs to one machine")
    return int(IPv6Address(text))


def _bad(text: str) -> ValueError:
    return ValueError(f"expected an IP prefix such as `10.0.0.0/8`, or an IP address: {text[:60]!r}")


def split(first: int, last: int, width: int) -> Iterator[tuple[int, int]]:
    """The fewest prefixes that make up a range of addresses of `width` bits: pairs of an address and a length."""
    while first <= last:
        low = (first & -first).bit_length() - 1 if first else width  # bits that the first address has free
        free = min(low, (last - first + 1).bit_length() - 1)
        yield first, width - free
        first += 1 << free


def text_of_six(address: int) -> str:
    """An IPv6 address as text, a mapped one with its dots: `::ffff:1.2.3.4`."""
    if _MAPPED_FIRST <= address <= _MAPPED_LAST:
        return f"::ffff:{IPv4Address(address & 0xFFFFFFFF)}"
    return str(IPv6Address(address))
