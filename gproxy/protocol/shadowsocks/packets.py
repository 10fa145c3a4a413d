"""What both ends of Shadowsocks over UDP share: how large a packet may be, and what becomes of bad ones."""

from __future__ import annotations

import logging
from collections import Counter
from typing import Final

from gproxy.base.address import Address
from gproxy.base.errors import GproxyError, TooLarge
from gproxy.limit.bucket import TokenBucket
from gproxy.wire.socksaddr import encode_address

LARGEST: Final = 65_507
"""Bytes of the largest UDP payload that IPv4 carries."""

# So many hosts that have sent something bad are remembered, so that each is told about once. Senders can be forged, so
# there is also a limit to how often anybody is told about: lines a second, and at once.
_HOSTS = 4096
_LINES, _LINES_AT_ONCE = 0.5, 20


class Dropped:
    """Packets that were dropped: all are counted, and each host is told about once, within reason."""

    def __init__(self, log: logging.Logger) -> None:
        self.counts: Counter[str] = Counter()  # by status word
        self._log = log
        self._told: dict[str, None] = {}
        self._lines = TokenBucket(_LINES, _LINES_AT_ONCE)

    def note(self, host: str, why: GproxyError) -> None:
        """A packet from this host, or for it, was dropped."""
        self.counts[why.word] += 1
        if host in self._told:
            return
        if len(self._told) >= _HOSTS:
            del self._told[next(iter(self._told))]
        self._told[host] = None
        if self._lines.take():
            self._log.info("a packet of %s was dropped: %s: %s; further ones are only counted", host, why.word, why)


class Heads:
    """Encoded addresses. Packets come in runs with the same address object, so the last one is kept."""

    __slots__ = ("_encoded", "_of")

    def __init__(self) -> None:
        self._of: Address | None = None
        self._encoded = b""

    def of(self, address: Address) -> bytes:
        """The address as it is written before a payload. Raises ValueError for too long a domain."""
        if address is not self._of:
            self._encoded = encode_address(address)
            self._of = address
        return self._encoded


def too_large(size: int) -> TooLarge:
    """The reason why a payload of so many bytes is dropped."""
    return TooLarge(f"{size} bytes of payload are too many for one sealed packet")
