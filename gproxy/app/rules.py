"""What rules may look at besides the session, made of a configuration: one for those of `route` and those of `dns`."""

from __future__ import annotations

from gproxy.app import places
from gproxy.config.root import Root
from gproxy.route.context import Context, Mode
from gproxy.route.facts import Facts
from gproxy.route.leases import USUAL, Leases


def build_context(root: Root) -> Context:
    """What both routers compile their rules with. Raises ConfigError."""
    route = root.route
    facts = Facts(Leases(route.dhcp_lease_files or USUAL))
    if route.find_process:
        facts.needs.ask("owner")
    if route.find_neighbor:
        facts.needs.ask("mac", "hostname")
    return Context(
        facts=facts,
        mode=Mode(route.default_mode.lower()),
        countries=places.countries(route),
        asns=places.asns(route),
        sites=places.sites(route),
    )
