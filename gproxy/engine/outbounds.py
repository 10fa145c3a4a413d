"""The outbounds by tag, and which of them is the default."""

from __future__ import annotations

from collections.abc import Mapping

from gproxy.base.errors import DialError
from gproxy.base.iface import Outbound
from gproxy.base.session import Network


class Outbounds:
    """Every configured outbound. References were checked when the configuration was read, so a tag is always known."""

    def __init__(self, by_tag: Mapping[str, Outbound], default: str) -> None:
        self._by_tag = dict(by_tag)
        self.default = default

    def get(self, tag: str, network: Network) -> Outbound:
        """The outbound `tag`, if it carries `network`. Raises DialError."""
        outbound = self._by_tag[tag]
        if network not in outbound.networks:
            raise DialError(f"outbound {tag} carries no {network}", reason="declined")
        return outbound

    def close(self) -> None:
        """Let every outbound give up what it pools."""
        for outbound in self._by_tag.values():
            outbound.close()
