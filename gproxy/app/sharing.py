"""Inbounds that have a port in common: one of them has the doors, and all are behind these."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from gproxy.base.defaults import UDP_IDLE
from gproxy.base.iface import Accept
from gproxy.config.listening import places
from gproxy.schema.groups import Listen
from gproxy.schema.tls import TlsListen

if TYPE_CHECKING:
    from gproxy.layers.tls.choice import Choice
    from gproxy.layers.tls.supply import Supply


@dataclass(frozen=True, slots=True)
class Share:
    """An inbound's part in the ports that it has in common with others."""

    choice: Choice
    leads: bool  # whether the doors are this one's
    tag: str
    options: Listen

    def join(self, accept: Accept, supply: Supply | None) -> Accept:
        """Serve this inbound's clients with `accept`, TLS included; what serves all clients of the ports."""
        from gproxy.layers.tls.choice import Member

        assert isinstance(self.options, TlsListen), "only these share ports"
        timeout = self.options.udp_timeout or UDP_IDLE
        self.choice.add(Member.of(self.tag, timeout, accept, self.options.tls, supply))
        return self.choice.accept


def shares(inbounds: Sequence[Listen]) -> dict[int, Share]:
    """The part of each inbound that shares its ports, by its index. The configuration has been checked."""
    together: dict[tuple[tuple[str, str, int, int], ...], list[int]] = {}
    for index, options in enumerate(inbounds):
        if not isinstance(options, TlsListen) or not options.tls.enabled:
            continue
        where = places(options)
        if any(what == "unix" or first for what, _, first, _ in where):  # of port 0 everybody gets another one
            together.setdefault(tuple(where), []).append(index)
    found: dict[int, Share] = {}
    for members in together.values():
        if len(members) > 1:
            choice = _choice([inbounds[index] for index in members])
            for index in members:
                tag = inbounds[index].tag or str(index)
                found[index] = Share(choice, index == members[0], tag, inbounds[index])
    return found


def _choice(members: Sequence[Listen]) -> Choice:
    from gproxy.layers.tls.choice import Choice

    return Choice(max(float(each.tls.handshake_timeout) for each in members if isinstance(each, TlsListen)))
