"""Documents for tests: random trees, and writers that use every way in which TOML and JSON can say the same."""

from __future__ import annotations

import json
from typing import Any

from hypothesis import strategies as st

from gproxy.schema.problem import KeyPath

KEYS = st.one_of(
    st.from_regex(r"[A-Za-z0-9_-]{1,6}", fullmatch=True),
    st.text(st.characters(codec="utf-8", exclude_categories=["C"]), max_size=4),
)
TEXTS = st.text(st.characters(codec="utf-8", exclude_categories=["Cs", "Cc"]), max_size=12)
SCALARS = st.one_of(
    st.integers(-(10**6), 10**6), st.booleans(), TEXTS, st.sampled_from(["]", "}", "#", '"', "'", "\n", "a\\b"])
)
TREES = st.dictionaries(
    KEYS,
    st.recursive(
        SCALARS,
        lambda inner: st.one_of(
            st.lists(inner, max_size=3),
            st.dictionaries(KEYS, inner, max_size=3),
            st.lists(st.dictionaries(KEYS, inner, max_size=2), min_size=1, max_size=3),
        ),
        max_leaves=8,
    ),
    max_size=4,
)


def paths_of(tree: Any, at: KeyPath = ()) -> set[KeyPath]:
    """Every key path of a tree."""
    found = {at}
    if isinstance(tree, dict):
        for key, value in tree.items():
            found |= paths_of(value, (*at, key))
    if isinstance(tree, list):
        for index, value in enumerate(tree):
            found |= paths_of(value, (*at, index))
    return found


def value_at(tree: Any, path: KeyPath) -> Any:
    for part in path:
        tree = tree[part]
    return tree


class Writer:
    """Writes a tree; `draw(n)` chooses among n ways of writing."""

    def __init__(self, draw: Any) -> None:
        self.draw = draw

    # -- JSON

    def json(self, value: Any) -> str:
        if isinstance(value, dict):
            members = [
                f"{json.dumps(key)}{self.space()}:{self.space()}{self.json(each)}" for key, each in value.items()
            ]
            return "{" + self.space() + self.join(members) + "}"
        if isinstance(value, list):
            return "[" + self.space() + self.join([self.json(each) for each in value]) + "]"
        return json.dumps(value)

    def join(self, parts: list[str]) -> str:
        text = f",{self.space()}".join(parts)
        return text + ("," if parts and self.draw(2) else "") + self.space()

    def space(self) -> str:
        return ["", " ", "\n", '/* "x": { */', '// "y": [\n', "# }\n"][self.draw(6)]

    # -- TOML

    def toml(self, tree: dict[str, Any]) -> str:
        return "\n".join(self.table((), tree)) + "\n"

    def table(self, path: tuple[str, ...], table: dict[str, Any]) -> list[str]:
        lines, below = [], []
        for key, value in table.items():
            is_tables = isinstance(value, list) and value and all(isinstance(each, dict) for each in value)
            if isinstance(value, dict) and self.draw(3) == 0:
                below += ["", f"[ {self.dotted((*path, key))} ] # [x]", *self.table((*path, key), value)]
            elif is_tables and self.draw(2):
                for each in value:
                    below += [f"[[{self.dotted((*path, key))}]]", *self.table((*path, key), each)]
            elif isinstance(value, dict) and value and self.draw(2):
                lines += [f"{self.dotted((key, inner))} = {self.value(each)}" for inner, each in value.items()]
            else:
                lines.append(f"{self.key(key)} = {self.value(value)}{['', ' # c = [', '  '][self.draw(3)]}")
        return lines + below

    def dotted(self, path: tuple[str, ...]) -> str:
        return [".", " . "][self.draw(2)].join(self.key(part) for part in path)

    def key(self, key: str) -> str:
        if key and key.isascii() and key.replace("_", "").replace("-", "").isalnum() and self.draw(2):
            return key
        return f"'{key}'" if "'" not in key and key.isprintable() and self.draw(2) else self.basic(key)

    def basic(self, text: str) -> str:
        return json.dumps(text).replace("\x7f", "\\u007f") if text.isascii() else json.dumps(text, ensure_ascii=False)

    def value(self, value: Any) -> str:
        if isinstance(value, bool):
            return str(value).lower()
        if isinstance(value, str):
            return self.text(value)
        if isinstance(value, dict):
            return "{" + ", ".join(f"{self.key(key)} = {self.value(each)}" for key, each in value.items()) + " }"
        if isinstance(value, list):
            gap = ["", "\n  ", " # ]\n"][self.draw(3)]
            return "[" + gap + f",{gap} ".join(self.value(each) for each in value) + gap + "]"
        return str(value)

    def text(self, text: str) -> str:
        way = self.draw(4)
        if way == 1 and "'" not in text and text.isprintable():
            return f"'{text}'"
        if way == 2 and "''" not in text and not text.endswith("'") and text.isprintable():
            return f"'''{text}'''"
        if way == 3 and '"' not in text and not text.startswith((" ", "\t")):  # the line end takes blanks with it
            return '"""\\\n' + self.basic(text)[1:-1] + '"""'
        return self.basic(text)
