"""Names: the DNS servers of a configuration, its resolver, and who looks names up for whom."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING

from gproxy.app import layers
from gproxy.base.address import IP
from gproxy.base.errors import ConfigError
from gproxy.base.iface import Lookup, Outbound, Resolver
from gproxy.base.session import DEFAULT_LOOKUP, LookupOptions, Session
from gproxy.base.wiring import NO_NAMES
from gproxy.config.root import DnsTable, Root
from gproxy.dns import SERVERS
from gproxy.dns.iface import Server, ServerWiring
from gproxy.dns.options import DnsRuleOptions, looks_at_clients, rule_sets_of
from gproxy.engine.decide import system_names
from gproxy.limit.memory import Memory
from gproxy.net.resolve import system_lookup
from gproxy.route.context import Context
from gproxy.schema.groups import Dial, Item, lookup_options
from gproxy.schema.model import Options, read
from gproxy.service.files import state_folder

if TYPE_CHECKING:
    from gproxy.dns.asking import Asking
    from gproxy.dns.cache import Cache
    from gproxy.dns.fakeip import FakeAddresses
    from gproxy.dns.resolver import DnsResolver

IMPLICIT_SERVER = "local"
"""The tag and the type of the DNS server that is there when none is configured."""

_PLAIN = Dial()
_log = logging.getLogger("gproxy.dns")


class _By:
    """Looks names up in one way."""

    __slots__ = ("_how", "_names")

    def __init__(self, names: Names, how: LookupOptions) -> None:
        self._names = names
        self._how = how

    def lookup(self, domain: str, session: Session) -> tuple[IP, ...]:
        """See Lookup."""
        return self._names.resolver.lookup(domain, session, self._how)


class Names:
    """Everything about names. The servers are built last, since they may be asked through outbounds; see `furnish`."""

    def __init__(self, root: Root, memory: Memory | None = None) -> None:
        """`memory` is what all workers share. Raises ConfigError where what is to outlive them can't be opened."""
        self._root = root
        self._file = _kept(root)
        store = root.experimental.cache_file
        self._memory = (self._file if store.store_fakeip else None) or memory
        self._asked_by_clients = root.dns is not None or _is_asked(root)
        self.servers: dict[str, Server] = {}
        self.cache: Cache | None = None
        self.asking: Asking | None = None
        self._default = _default(root)
        self.resolver: Resolver = NO_NAMES
        self.dns: DnsResolver | None = None  # the same, where there is one

    def lookup_for(self, options: Options) -> Lookup:
        """Who looks names up for an outbound: the one that it names, or else the default one."""
        if self._root.dns is None:
            return system_lookup
        own = lookup_options(options.domain_resolver) if isinstance(options, Dial) else None
        return _By(self, own or self._default).lookup

    def resolve(self, domain: str, session: Session, how: LookupOptions) -> tuple[IP, ...]:
        """See Names of `gproxy.engine.decide`."""
        if self._root.dns is None:
            return system_names(domain, session, how)
        return self.resolver.lookup(domain, session, how)

    def name_of(self) -> Callable[[IP], str] | None:
        """What tells the name that has led clients to an address, if that is to be remembered."""
        table = self._root.dns
        return self.dns.name_of if self.dns is not None and table is not None and table.reverse_mapping else None

    def _shared(self) -> Memory:
        """What all workers share; one of our own where nobody else's was given."""
        if self._memory is None:
            self._memory = Memory()
        return self._memory

    def fakes(self) -> list[FakeAddresses]:
        """The addresses that stand for names."""
        if not self.servers:
            return []
        from gproxy.dns.servers.fakeip import FakeIpServer

        return [each.addresses for each in self.servers.values() if isinstance(each, FakeIpServer)]

    def furnish(self, outbounds: Mapping[str, Outbound], context: Context, trusted: layers.Trusted) -> None:
        """Build the servers and the resolver, if there is anybody to ask them. Raises ConfigError."""
        if not self._asked_by_clients:
            return
        from gproxy.dns.asking import Asking
        from gproxy.dns.resolver import DnsResolver
        from gproxy.dns.reverse import Reverse
        from gproxy.dns.rules import Rules

        table = self._root.dns or DnsTable()
        rooms = table.servers or (_implicit(),)
        for index, options in enumerate(rooms):
            tag = options.tag or str(index)
            self.servers[tag] = self._server(tag, options, outbounds, trusted)
        fakes = frozenset(each.tag or str(index) for index, each in enumerate(rooms) if each.type == "fakeip")
        self.cache = None if table.disable_cache else self._make_cache(table)
        self.asking = asking = Asking(
            self.servers,
            self.cache,
            strategy=table.strategy,
            timeout=table.wait(),
            client_subnet=table.client_subnet,
        )
        self.dns = self.resolver = DnsResolver(
            asking,
            Rules(table.rules, self.servers, context, fakes),
            table.final or next(iter(self.servers)),
            facts=context.facts,
            reverse=Reverse() if table.reverse_mapping else None,
            alike=_alike(table.rules, context),
        )
        if table.independent_cache:
            _log.warning(
                "`dns.independent_cache` has no effect: answers are always remembered for each server by itself"
            )

    def _server(self, tag: str, options: Item, outbounds: Mapping[str, Outbound], trusted: layers.Trusted) -> Server:
        shaped = layers.with_defaults(options, self._root.route)
        lookup = self.lookup_for(options)
        via = layers.dialer(shaped if isinstance(shaped, Dial) else _PLAIN, outbounds, lookup)
        connect = layers.connecting(options, via, trusted)
        log = logging.getLogger(f"gproxy.dns.{tag}")
        server: Server = SERVERS.row(options.type).build(
            options, ServerWiring(tag, connect, via, lookup, self.servers, log, self._shared)
        )
        return server

    def _make_cache(self, table: DnsTable) -> Cache:
        from gproxy.dns.cache import CAPACITY, Cache
        from gproxy.dns.shared import Shared

        capacity = table.cache_capacity or CAPACITY
        kept = self._file if self._root.experimental.cache_file.store_dns else None
        return Cache(
            capacity,
            optimistic=table.stale(),
            prefetch=table.prefetch,
            expire=not table.disable_expire,
            shared=Shared(capacity, kept) if kept is not None or self._root.runtime.workers > 1 else None,
        )

    def close(self) -> None:
        """Let every server give up what it keeps open, ask for nothing more behind answers, let go of the memory."""
        if self.cache is not None:
            self.cache.close()
        for server in self.servers.values():
            server.close()
        self._memory = self._file = None


def _alike(rules: Sequence[DnsRuleOptions], context: Context) -> Callable[[], bool]:
    """What tells whether no rule looks at who asks. Rule sets may come to do so when they are replaced."""
    if any(map(looks_at_clients, rules)):
        return lambda: False
    named = [context.rule_sets[tag] for rule in rules for tag in rule_sets_of(rule)]
    return lambda: not any(each.contents.clients for each in named)


def _kept(root: Root) -> Memory | None:
    """What outlives gproxy, if anything is to."""
    store = root.experimental.cache_file
    if not store.enabled:
        return None
    path = state_folder() / (f"{store.path}-{store.cache_id}" if store.cache_id else store.path)
    try:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        return Memory.at(path)
    except OSError as error:
        raise ConfigError(f"can't open the cache file {path}: {error.strerror or error}") from error


def _default(root: Root) -> LookupOptions:
    """How names are looked up for whoever says nothing: as `route` says, by the only server, or as the rules say."""
    said = lookup_options(root.route.default_domain_resolver)
    if said is not None:
        return said
    servers = root.dns.servers if root.dns is not None else ()
    if len(servers) > 1:
        return DEFAULT_LOOKUP
    return LookupOptions(server=(servers[0].tag or "0") if servers else IMPLICIT_SERVER)


def _is_asked(root: Root) -> bool:
    """Whether clients may ask, though the configuration says nothing about names."""
    hijacks = any(rule.action == "hijack-dns" for rule in root.route.rules)
    return hijacks or any(inbound.type == "dns" for inbound in root.inbounds)


def _implicit() -> Item:
    options = read(SERVERS.row(IMPLICIT_SERVER).options, {"type": IMPLICIT_SERVER, "tag": IMPLICIT_SERVER}, (), [])
    assert isinstance(options, Item)
    return options
