"""`fakeip`: addresses that stand for the names that were asked for, until a client connects to one."""

from __future__ import annotations

from collections.abc import Iterator
from ipaddress import IPv4Network, IPv6Network
from typing import Annotated, Final

from gproxy.dns.fakeip import FakeAddresses
from gproxy.dns.iface import Ask, ServerWiring
from gproxy.dns.servers import answers
from gproxy.schema.fields import Cidr
from gproxy.schema.groups import Item
from gproxy.schema.model import doc
from gproxy.schema.registry import Row
from gproxy.wire.dns import types

_TTL: Final = 600  # as in sing-box
_LEAST: Final = 16  # addresses of a range


class FakeIpOptions(Item):
    """Ranges of addresses that are nobody's."""

    inet4_range: Annotated[Cidr | None, doc("IPv4 addresses that stand for names, such as `198.18.0.0/15`.")] = None
    inet6_range: Annotated[Cidr | None, doc("IPv6 addresses that stand for names, such as `fc00::/18`.")] = None

    def check(self) -> Iterator[tuple[str, str]]:
        """There are addresses, of the right family."""
        yield from super().check()
        if self.inet4_range is None and self.inet6_range is None:
            yield "", "expected `inet4_range`, `inet6_range`, or both"
        for key, version in (("inet4_range", 4), ("inet6_range", 6)):
            given = getattr(self, key)
            if given is not None and given.version != version:
                yield key, f"expected IPv{version} addresses"
            elif given is not None and given.num_addresses < _LEAST:
                yield key, f"expected {_LEAST} addresses at least"


class FakeIpServer:
    """See Server."""

    cacheable = False
    waits = False

    def __init__(self, options: FakeIpOptions, wiring: ServerWiring) -> None:
        four, six = options.inet4_range, options.inet6_range
        assert four is None or isinstance(four, IPv4Network), "it was checked"
        assert six is None or isinstance(six, IPv6Network), "it was checked"
        self.addresses = FakeAddresses(wiring.memory(), four, six)

    def exchange(self, ask: Ask, /) -> bytes:
        """See Server: addresses, and of everything else nothing."""
        version = {types.A: 4, types.AAAA: 6}.get(ask.type)
        ip = self.addresses.address_for(ask.name, version) if version is not None and ask.name else None
        return answers.with_nothing(ask) if ip is None else answers.with_addresses(ask, [ip], _TTL)

    def knows(self, name: str, /) -> bool:
        """See Server: what it says is about none in particular."""
        return False

    def close(self) -> None:
        """Nothing is open."""


SERVER = Row(FakeIpOptions, FakeIpServer)
