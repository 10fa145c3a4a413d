"""How rules are called in the log: `rule[3] domain_suffix=example.org => route(proxy)`."""

from __future__ import annotations

from collections.abc import Iterator

from gproxy.route.options import ITEMS, Combination, Conditions, NestedRuleOptions, RuleOptions
from gproxy.schema.fields import RulePortRange

_VALUES_SHOWN = 3
_LONGEST = 160


def name_of(index: int, options: RuleOptions) -> str:
    """The rule's name: where it stands, what it looks for (cut short if that is much), and what it does."""
    wanted = _conditions(options)
    if len(wanted) > _LONGEST:
        wanted = wanted[:_LONGEST] + "…"
    return " ".join(part for part in (f"rule[{index}]", wanted, "=>", _action(options)) if part)


def _conditions(options: RuleOptions | NestedRuleOptions) -> str:
    if isinstance(options, Combination):
        sign = " && " if options.mode == "and" else " || "
        text = "(" + sign.join(_conditions(rule) for rule in options.rules) + ")"
        return f"!{text}" if options.invert else text
    assert isinstance(options, Conditions)
    text = " ".join(_items(options))
    return f"!({text})" if options.invert else text


def _items(options: Conditions) -> Iterator[str]:
    for item in ITEMS:
        value = getattr(options, item)
        if value:
            yield f"{item}={_listed(value) if isinstance(value, tuple) else _text(value)}"


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
    }.get(options.action, "")
    return f"{options.action}({about})" if about else str(options.action)
