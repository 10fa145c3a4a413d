"""The rules about names: a walk over them, compiled once. It is pure: what it wants done, it says, and is told."""

from __future__ import annotations

from collections.abc import Generator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Final, Protocol

from gproxy.base.errors import Rejected
from gproxy.base.session import DEFAULT_LOOKUP, LookupOptions
from gproxy.dns.conditions import Asked, Condition, Verdict, compile_condition
from gproxy.dns.iface import Server
from gproxy.dns.options import DNS_ITEMS, DnsRuleOptions, tags_of
from gproxy.route.action import Reject
from gproxy.route.context import Context
from gproxy.route.naming import wanted_by
from gproxy.wire.dns import types
from gproxy.wire.dns.message import Message, Question, Record

_FILTERED: Final = frozenset({types.A, types.AAAA, types.HTTPS})
"""Questions that rules which look at addresses are for."""


class Future(Protocol):
    """What a server was asked for while the walk went on."""

    done: bool
    answer: Message | None  # None: there was none, or not yet


@dataclass(frozen=True, slots=True)
class Launch:
    """Ask this server, and go on meanwhile. The walk is sent the Future."""

    server: str
    how: LookupOptions


@dataclass(frozen=True, slots=True)
class Wait:
    """Wait until one of these is done that was not. The walk is sent nothing."""

    futures: tuple[Future, ...]


@dataclass(frozen=True, slots=True)
class Route:
    """Ask this server (empty: the final one) and give its answer, if `rule` accepts that; else the walk goes on.

    `future`: it was asked already.
    """

    server: str
    how: LookupOptions
    name: str
    rule: Rule | None = None
    future: Future | None = None


@dataclass(frozen=True, slots=True)
class Respond:
    """Give the answer that was asked for before; there may have been none."""

    future: Future | None
    name: str


@dataclass(frozen=True, slots=True)
class Refuse:
    """Refuse to answer."""

    refusal: Reject

    @property
    def name(self) -> str:
        """How the rule is called in the log."""
        return self.refusal.rule

    def error(self) -> Rejected:
        """It counts towards the flood guard."""
        return self.refusal.error()


@dataclass(frozen=True, slots=True)
class Predefined:
    """Give an answer that the configuration has."""

    rcode: int
    answer: tuple[Record, ...]
    authority: tuple[Record, ...]
    additional: tuple[Record, ...]
    name: str

    def message(self, question: Question) -> Message:
        """The answer to this question, without EDNS."""
        return Message(
            response=True,
            authoritative=True,
            recursion_available=True,
            rcode=self.rcode,
            question=question,
            answer=_named(self.answer, question.name),
            authority=_named(self.authority, question.name),
            additional=_named(self.additional, question.name),
        )


Step = Launch | Wait | Route | Respond | Refuse | Predefined
"""What the walk wants done. Whoever does it sends back what the step says, or closes the walk."""


@dataclass(frozen=True, slots=True)
class Change:
    """How a rule changes the way in which a question is asked."""

    how: LookupOptions
    _from_default: LookupOptions = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "_from_default", self._merged(DEFAULT_LOOKUP))

    def apply(self, before: LookupOptions) -> LookupOptions:
        """The way as it is afterwards."""
        return self._from_default if before is DEFAULT_LOOKUP else self._merged(before)

    def _merged(self, before: LookupOptions) -> LookupOptions:
        said = self.how
        if said == DEFAULT_LOOKUP:
            return before
        subnet, removed = before.client_subnet, before.remove_client_subnet
        if said.client_subnet is not None or said.remove_client_subnet:
            subnet, removed = said.client_subnet, said.remove_client_subnet
        return replace(
            before,
            strategy=said.strategy or before.strategy,
            timeout=before.timeout if said.timeout is None else said.timeout,
            disable_cache=before.disable_cache or said.disable_cache,
            disable_optimistic_cache=before.disable_optimistic_cache or said.disable_optimistic_cache,
            rewrite_ttl=before.rewrite_ttl if said.rewrite_ttl is None else said.rewrite_ttl,
            client_subnet=subnet,
            remove_client_subnet=removed,
        )


@dataclass(frozen=True, slots=True)
class Rule:
    """One rule, compiled. `tags`: the answers that it looks at; `race`: it does not wait for them."""

    name: str
    condition: Condition
    action: str
    change: Change
    server: str = ""
    tag: str = ""  # of what `evaluate` gets
    tags: tuple[str, ...] = ()
    own_tag: str = ""  # whose answer `respond` gives
    race: bool = False
    speculative: bool = False
    end: Refuse | Predefined | None = None

    def possible(self, asked: Asked) -> bool:
        """Whether its action is to be done, as far as that can be said before its own server has answered."""
        if self.action == "route" and self.condition.filters():
            return asked.type in _FILTERED and self.condition.ahead(asked) is not Verdict.NO
        return self.condition.matches(asked)

    def filters(self) -> bool:
        """Whether the answer that its server gives decides."""
        return self.condition.filters()

    def accepts(self, asked: Asked, answer: Message) -> bool:
        """Whether the answer that its server has given is one that it is for, if it filters."""
        return answer.rcode in (types.NOERROR, types.NXDOMAIN) and self.condition.matches(asked, answer)


class Rules:
    """All rules in their order."""

    __slots__ = ("_fakes", "_rules")

    def __init__(
        self, options: Sequence[DnsRuleOptions], servers: Mapping[str, Server], context: Context, fakes: frozenset[str]
    ) -> None:
        """`servers` are filled before the first walk; `fakes` are the tags of those whose addresses are nobody's."""
        self._rules = tuple(_rule(index, each, servers, context) for index, each in enumerate(options))
        self._fakes = fakes

    def __bool__(self) -> bool:
        return bool(self._rules)

    def walk(self, asked: Asked, how: LookupOptions, *, internal: bool) -> Generator[Step, Any, None]:
        """What is to be done with a question: see Step. `internal`: who asks needs addresses that lead somewhere."""
        return _Walk(self._rules, asked, how, self._fakes if internal else frozenset()).run()


@dataclass(slots=True)
class _Armed:
    """A rule that may still match, when what it looks at is there."""

    rule: Rule
    how: LookupOptions
    futures: dict[str, Future]


class _Walk:
    """One walk. Rules that race are looked at again whenever an answer has come."""

    __slots__ = ("_armed", "_asked", "_fakes", "_futures", "_how", "_rules")

    def __init__(self, rules: Sequence[Rule], asked: Asked, how: LookupOptions, fakes: frozenset[str]) -> None:
        self._rules = rules
        self._asked = asked
        self._how = how
        self._fakes = fakes
        self._futures: dict[str, Future] = {}
        self._armed: list[_Armed] = []

    def run(self) -> Generator[Step, Any, None]:
        asked = self._asked
        session = asked.session
        for rule in self._rules:
            necessary = rule.condition.necessary
            if necessary is not None and not necessary(session):
                continue  # most rules are none for this question
            if rule.tags:
                if rule.race and self._pending(rule):
                    held = {tag: self._futures[tag] for tag in rule.tags if tag in self._futures}
                    self._armed.append(_Armed(rule, self._how, held))
                    continue
                while pending := self._pending(rule):
                    yield from self._wait(pending)
                asked.answers = _answers(self._futures)
            if not rule.possible(asked) or rule.server in self._fakes:
                continue
            if rule.action == "route-options":
                self._how = rule.change.apply(self._how)
            elif rule.action == "evaluate":
                if not rule.speculative:
                    yield from self._drain()
                self._futures[rule.tag] = yield Launch(rule.server, rule.change.apply(self._how))
            else:
                yield from self._finish(rule)
        yield from self._drain()
        yield Route("", self._how, "final")

    def _finish(self, rule: Rule) -> Generator[Step, Any, None]:
        """A rule whose action ends the walk, unless it does not accept the answer."""
        if rule.action != "route":
            yield from self._drain()
            yield from self._end(rule, self._how, self._futures)
            return
        how = rule.change.apply(self._how)
        future: Future | None = None
        if self._armed and rule.speculative:
            future = yield Launch(rule.server, how)
        yield from self._drain()
        yield Route(rule.server, how, rule.name, rule, future)

    def _end(self, rule: Rule, how: LookupOptions, futures: Mapping[str, Future]) -> Generator[Step, Any, None]:
        if rule.action == "respond":
            future = futures.get(rule.own_tag)
            while future is not None and not future.done:
                yield from self._wait((future,))
            yield Respond(future, rule.name)
        elif rule.action == "route":
            yield Route(rule.server, rule.change.apply(how), rule.name, rule)
        else:
            assert rule.end is not None
            yield rule.end

    def _pending(self, rule: Rule) -> tuple[Future, ...]:
        found = (self._futures.get(tag) for tag in rule.tags)
        return tuple(future for future in found if future is not None and not future.done)

    def _wait(self, futures: tuple[Future, ...]) -> Generator[Step, Any, None]:
        """Wait for these, and for those that racing rules look at: such a rule may come to match meanwhile."""
        raced = (future for armed in self._armed for future in armed.futures.values() if not future.done)
        yield Wait(tuple(dict.fromkeys((*futures, *raced), None)))
        yield from self._sweep()

    def _drain(self) -> Generator[Step, Any, None]:
        """Wait until no rule races any more."""
        yield from self._sweep()
        while self._armed:
            yield from self._wait(())

    def _sweep(self) -> Generator[Step, Any, None]:
        """Look at the rules that race and whose answers are all there, in their order."""
        for armed in list(self._armed):
            if all(future.done for future in armed.futures.values()):
                self._armed.remove(armed)
                self._asked.answers = _answers({**self._futures, **armed.futures})
                if armed.rule.possible(self._asked) and armed.rule.server not in self._fakes:
                    yield from self._end(armed.rule, armed.how, {**self._futures, **armed.futures})


def _answers(futures: Mapping[str, Future]) -> dict[str, Message | None]:
    return {tag: future.answer if future.done else None for tag, future in futures.items()}


def _rule(index: int, options: DnsRuleOptions, servers: Mapping[str, Server], context: Context) -> Rule:
    name = _name_of(index, options)
    how = LookupOptions(
        strategy=options.strategy,
        timeout=options.timeout or None,
        disable_cache=options.disable_cache,
        disable_optimistic_cache=options.disable_optimistic_cache,
        rewrite_ttl=options.rewrite_ttl,
        client_subnet=options.client_subnet,
        remove_client_subnet=options.remove_client_subnet,
    )
    tags = tuple(dict.fromkeys(tags_of(options)))
    if options.action == "respond" and not tags:
        tags = ("",)
    return Rule(
        name,
        compile_condition(options, context, servers),
        str(options.action),
        Change(how),
        options.server,
        options.tag,
        tags,
        tags[0] if tags else "",
        options.race,
        options.speculative,
        _end_of(options, name),
    )


def _end_of(options: DnsRuleOptions, name: str) -> Refuse | Predefined | None:
    if options.action == "reject":
        return Refuse(Reject("drop" if options.method == "drop" else "default", options.no_drop, name))
    if options.action == "predefined":
        answer, authority, additional = (
            tuple(each.record for each in section) for section in (options.answer, options.ns, options.extra)
        )
        return Predefined(int(options.rcode or 0), answer, authority, additional, name)
    return None


def _name_of(index: int, options: DnsRuleOptions) -> str:
    about = options.server or {"reject": options.method if options.method == "drop" else ""}.get(options.action, "")
    action = f"{options.action}({about})" if about else str(options.action)
    return " ".join(part for part in (f"dns.rule[{index}]", wanted_by(options, DNS_ITEMS), "=>", action) if part)


def _named(records: tuple[Record, ...], name: str) -> tuple[Record, ...]:
    """A name with a star stands for any that ends with what is behind it."""
    if not any(record.name.startswith("*") for record in records):
        return records
    return tuple(
        record._replace(name=name) if record.name.startswith("*") and name.endswith(record.name[1:]) else record
        for record in records
    )
