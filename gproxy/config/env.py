"""`${NAME}` in text: values of the environment, put in after parsing, so that no value can bring syntax along."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from gproxy.schema.problem import KeyPath, Problem, Substituted

# `$${` is the text `${`; a `${` that begins no variable is a mistake and not silently itself.
_VARIABLE = re.compile(r"\$\$\{|\$\{(?P<name>[A-Za-z_][A-Za-z0-9_]*)(?P<fallback>:-[^}]*)?\}|\$\{")


def expand(tree: Any, environment: Mapping[str, str], at: KeyPath, problems: list[Problem]) -> Any:
    """The tree with the variables in its text values replaced. As in a shell, `:-` also stands in for an empty value.

    Text that is one variable and nothing else comes back as Substituted: a number or a boolean may be read from it.
    """
    if isinstance(tree, dict):
        return {key: expand(value, environment, (*at, key), problems) for key, value in tree.items()}
    if isinstance(tree, list):
        return [expand(value, environment, (*at, index), problems) for index, value in enumerate(tree)]
    if isinstance(tree, str) and "${" in tree:
        return _expand_text(tree, environment, at, problems)
    return tree


def _expand_text(text: str, environment: Mapping[str, str], at: KeyPath, problems: list[Problem]) -> str:
    def value_of(found: re.Match[str]) -> str:
        name, fallback = found["name"], found["fallback"]
        if name is None:
            if found[0] == "${":
                problems.append(Problem(at, "`${` begins no variable", "`$${` stands for the text `${`"))
            return "${"
        value = environment.get(name, "")
        if fallback is not None:
            return value or fallback[2:]
        if name not in environment:
            hint = f"`${{{name}:-default}}` gives it a default"
            problems.append(Problem(at, f"the environment has no variable `{name}`", hint))
        return value

    expanded = _VARIABLE.sub(value_of, text)
    whole = _VARIABLE.fullmatch(text)
    return Substituted(expanded) if whole is not None and whole["name"] else expanded
