"""How rules are called in the log: `rule[3] domain_suffix=example.org => route(proxy)`."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from gproxy.route.options import ITEMS, Combination, Conditions, RuleOptions
from gproxy.schema.fields import RulePortRange
from gproxy.schema.model import Options

_VALUES_SHOWN = 3
_LONGEST = 160


def name_of(index: int, options: RuleOptions) -> str:
    """The rule's name: where it stands, what it looks for (cut short if that is much), and what it does."""
    return " ".join(part for part in (f"rule[{index}]", wanted_by(options), "=>", _action(options)) if part)


def wanted_by(options: Options, items: Sequence[str] = ITEMS) -> str:
    """What a rule looks for, cut short if that is much."""
    wanted = _conditions(options, items)
    return wanted[:_LONGEST] + "…" if len(wanted) > _LONGEST else wanted


def _conditions(options: Options, items: Sequence[str]) -> str:
    if isinstance(options, Combination):
        sign = " && " if options.mode == "and" else " || "
        text = "(" + sign.join(_conditions(rule, items) for rule in options.rules) + ")"
        return f"!{text}" if options.invert else text
    assert isinstance(options, Conditions)
    text = " ".join(_items(options, items))
    return f"!({text})" if options.invert else text


def _items(options: Conditions, items: Sequence[str]) -> Iterator[str]:
    for item in items:
        value = getattr(options, item)
        if value:
            yield f"{item}={_shown(value)}"


def _shown(value: object) -> str:
    if isinstance(value, dict):
        return _listed(tuple(f"{name}:{_shown(each)}" for name, each in value.items()))
    return _listed(value) if isinstance(value, tuple) and type(value) is tuple else _text(value)


def _listed(values: tuple[object, ...]) -> str:
    if len(values) == 1:
        return _text(values[0])
    more = "…" if len(values) > _VALUES_SHOWN else ""
    return "[" + " ".join(_text(value) for value in values[:_VALUES_SHOWN]) + more + "]"


def _text(value: object) -> str:
    if value is True:
        return "true"
    if isinstance(value, RulePortRange):
        return f"{value.first}:{value.last}"
    return str(value)


def _action(options: RuleOptions) -> str:
    about = {
        "route": options.outbound,
        "reject": options.method if options.method == "drop" else "",
        "resolve": options.strategy or "",
        "sniff": ",".join(options.sniffer),
    }.get(options.action, "")
    return f"{options.action}({about})" if about else str(options.action)
