"""Domains with wildcards: `*` is any text, dots too, or none; `?` is any one character. As in mihomo and Surge.

They become expressions of Python's `re` in which nothing is tried twice, so that no name takes longer than the product
of the two lengths.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from fnmatch import translate
from typing import Any, Self

from gproxy.base.address import MAX_DOMAIN
from gproxy.schema.problem import BadValue, expected

_ALLOWED = re.compile(r"[a-z0-9_.*?-]+")


class DomainWildcard(str):
    """A domain with wildcards, in lower case and ASCII."""

    __slots__ = ()

    @classmethod
    def parse(cls, value: object) -> Self:
        """Read one. Raises BadValue."""
        what = "a domain with wildcards such as `*.example.org` or `api-??.example.org`, in ASCII"
        if not isinstance(value, str):
            raise expected(what, value)
        text = value.lower().rstrip(".")
        if len(text) > MAX_DOMAIN or _ALLOWED.fullmatch(text) is None:
            raise BadValue(f"expected {what}")
        if "*" not in text and "?" not in text:
            raise BadValue(f"expected {what}", "`domain` is for those without")
        return cls(text)

    @classmethod
    def json_schema(cls) -> dict[str, Any]:
        """Text."""
        return {"type": "string"}


def compile_wildcards(wildcards: Iterable[str]) -> Callable[[str], object]:
    """What tells whether a whole name is of one of these kinds: gives None if not.

    Several stars in a row are one, and `translate` makes an atomic group of what is between two stars.
    """
    return re.compile("|".join(map(translate, wildcards))).match
