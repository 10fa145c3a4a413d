"""A resolver with servers that say what a test wants, in few words."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from gproxy.base.address import Address, parse_ip
from gproxy.base.errors import DialError
from gproxy.base.session import Session
from gproxy.dns.asking import Asking
from gproxy.dns.cache import Cache
from gproxy.dns.conditions import Asked
from gproxy.dns.iface import Ask, Told
from gproxy.dns.options import DnsOptions, DnsRuleOptions
from gproxy.dns.resolver import DnsResolver
from gproxy.dns.reverse import Reverse
from gproxy.dns.rules import Rules
from gproxy.route.context import NO_CONTEXT, Context
from gproxy.rt.sync import Event
from gproxy.schema.model import read
from gproxy.schema.problem import Problem
from gproxy.wire.dns import types
from gproxy.wire.dns.message import Edns, Message, Question, Record, make_query, parse
from gproxy.wire.dns.name import encode_name

SOURCE = Address(parse_ip("192.0.2.1"), 50000)

Say = Callable[[str, int], Message]


def soa(minimum: int = 60) -> Record:
    """An SOA record: how long there is nothing."""
    numbers = b"".join(number.to_bytes(4, "big") for number in (1, 2, 3, 4, minimum))
    return Record("test", types.SOA, 300, encode_name("ns.test") + encode_name("root.test") + numbers)


def reply(name: str, kind: int, *datas: str | bytes, rcode: int = 0, ttl: int = 300) -> Message:
    """An answer: addresses as text, all else as octets."""
    records = tuple(Record(name, kind, ttl, parse_ip(data).packed if isinstance(data, str) else data) for data in datas)
    return Message(
        response=True, rcode=rcode, question=Question(name, kind), answer=records,
        authority=() if records else (soa(),),
    )  # fmt: skip


class FakeServer:
    """See Server. It says what `say` says, when `go` is set, and remembers what it was asked."""

    def __init__(self, say: Say, *, waits: bool = True, cacheable: bool = True, known: tuple[str, ...] = ()) -> None:
        self.say = say
        self.waits = waits
        self.cacheable = cacheable
        self.asked: list[Ask] = []
        self.go = Event()
        self.go.set()
        self.closed = False
        self.searching = False
        self._known = known

    def exchange(self, ask: Ask, /) -> bytes:
        self.asked.append(ask)
        self.go.wait()
        return self.say(ask.name, ask.type).encode()

    def knows(self, name: str, /) -> bool:
        return name in self._known

    def searches(self) -> bool:
        return self.searching

    def close(self) -> None:
        self.closed = True


class Under:
    """See UnderWay."""

    def __init__(self) -> None:
        self.forgotten = False

    def forget(self) -> None:
        self.forgotten = True


class PromptServer(FakeServer):
    """See Starting. A test says itself what those are told who don't wait."""

    def __init__(self, say: Say) -> None:
        super().__init__(say)
        self.busy = False
        self.started: list[tuple[bytes, bytes, Told, Under]] = []

    def start(self, message: bytes, question: bytes, told: Told, /) -> Under | None:
        if self.busy:
            return None
        under = Under()
        self.started.append((message, question, told, under))
        return under

    def tell(self, message: Message | bytes) -> None:
        """The answer to what was begun last."""
        self.started[-1][2].told(message if isinstance(message, bytes) else message.encode())

    def fail(self, why: str, *, again: bool = False) -> None:
        """The end of what was begun last."""
        self.started[-1][2].failed(why, again=again)


def at(four: str, six: str = "", **how: Any) -> FakeServer:
    """A server that has these addresses for every name."""

    def say(name: str, kind: int) -> Message:
        found = {types.A: four, types.AAAA: six}.get(kind, "")
        return reply(name, kind, *([found] if found else []))

    return FakeServer(say, **how)


def failing(why: str = "nobody there") -> FakeServer:
    """A server that can't be reached."""

    def say(name: str, kind: int) -> Message:
        raise DialError(why, reason="dns")

    return FakeServer(say)


def problems(table: Mapping[str, Any]) -> list[tuple[str, str]]:
    """What is wrong with a `dns` table, but for its servers: where, and what."""
    found: list[Problem] = []
    read(DnsOptions, dict(table), (), found)
    return [(".".join(map(str, each.path)), each.message) for each in found]


def options(**table: Any) -> DnsOptions:
    """The table, which must be right."""
    found: list[Problem] = []
    read_table = read(DnsOptions, table, (), found)
    assert read_table is not None, found
    return read_table


def rules(*each: Mapping[str, Any]) -> tuple[DnsRuleOptions, ...]:
    """Rules, which must be right."""
    return options(rules=list(each)).rules


def resolver(
    servers: Mapping[str, FakeServer], context: Context = NO_CONTEXT, fakes: tuple[str, ...] = (), **table: Any
) -> DnsResolver:
    """A resolver with these servers, and this table."""
    said = options(**table)
    cache = None if said.disable_cache else Cache(optimistic=said.stale())
    asking = Asking(servers, cache, strategy=said.strategy, timeout=said.wait(), client_subnet=said.client_subnet)
    reverse = Reverse() if said.reverse_mapping else None
    compiled = Rules(said.rules, servers, context, frozenset(fakes))
    return DnsResolver(asking, compiled, said.final or next(iter(servers)), facts=context.facts, reverse=reverse)


def new_session(inbound: str = "in") -> Session:
    """Whoever asks."""
    return Session(1, "udp", inbound, SOURCE, Address("asked.test", 53))


def asked(name: str = "www.site.test", kind: int = types.A, **facts: Any) -> Asked:
    """A question as rules see it."""
    session = new_session()
    session.target = Address(name, 0)
    return Asked(name, kind, session, **facts)


def query(name: str, kind: int = types.A, *, number: int = 7, edns: Edns | None = None, **flags: bool) -> bytes:
    """A client's message."""
    return number.to_bytes(2, "big") + make_query(name, kind, edns=edns, **flags)[2:]


def told(answer: bytes) -> tuple[str, list[str]]:
    """The response code, and the data of the answer's records: addresses as text, all else in hex."""
    message = parse(answer)
    datas = [
        str(parse_ip(_address(each.data))) if each.type in (types.A, types.AAAA) else each.data.hex()
        for each in message.answer
    ]
    return types.rcode_name(message.rcode), datas


def _address(packed: bytes) -> str:
    if len(packed) == 4:
        return ".".join(map(str, packed))
    return ":".join(packed[place : place + 2].hex() for place in range(0, 16, 2))
