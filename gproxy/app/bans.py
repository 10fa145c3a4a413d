"""The bans of a configuration: who is banned when, and what keeps that."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from gproxy.config.root import Root
from gproxy.limit.bans import Bans, BanTable, Policy
from gproxy.limit.memory import Memory
from gproxy.route.cidrs import CidrSet
from gproxy.schema.bans import BanOptions

if TYPE_CHECKING:
    from gproxy.service.bans import BanKeeper


def build_bans(root: Root, memory: Memory) -> tuple[Bans | None, BanKeeper | None]:
    """Both, or none if nobody is banned. What was kept is in force then. Raises OSError."""
    options = root.bans
    if options is None or not options.enabled:
        return None, None
    from gproxy.service.bans import BanFile, BanKeeper
    from gproxy.service.files import state_folder
    from gproxy.service.nftables import Nftables

    table = BanTable(memory)
    file = BanFile(Path(options.path) if options.path else state_folder() / "bans.json")
    if table.claim_loading():
        file.load(table)
    sets = Nftables(options.nftables) if options.nftables is not None else None
    audited = root.log.audit is not None
    return Bans(table, policy_of(options), CidrSet(options.allow)), BanKeeper(table, file, sets, audited=audited)


def policy_of(options: BanOptions) -> Policy:
    """When somebody is banned."""
    weights = options.weights
    return Policy(
        tries=options.tries,
        window=options.window,
        duration=options.duration,
        growth=options.growth,
        longest=options.max_duration,
        prefix_ipv4=options.source_prefix_ipv4,
        prefix_ipv6=options.source_prefix_ipv6,
        weights={"auth": weights.auth, "replay": weights.replay, "malformed": weights.malformed},
    )
