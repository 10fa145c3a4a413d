"""HTTP fields that a configuration adds to a request or an answer: RFC 9110 section 5."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator, Mapping, Sequence
from typing import Final

_NAME: Final = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
_VALUE: Final = re.compile(r"(?:[!-~](?:[ \t!-~]*[!-~])?)?")


def is_field_name(text: str) -> bool:
    """Whether a field may have this name."""
    return _NAME.fullmatch(text) is not None


def field_problems(headers: Mapping[str, Sequence[str]], own: Collection[str]) -> Iterator[str]:
    """What is wrong with the fields. `own`, in lower case, are those that nobody else may set."""
    for name, values in headers.items():
        if not is_field_name(name) or name.lower() in own:
            yield f"{name!r} can't be set" if name.lower() in own else f"{name!r} is not a field name"
        elif not all(_VALUE.fullmatch(value) for value in values):
            yield f"a value of {name!r} is not ASCII text"


def hosts_in(headers: Mapping[str, Sequence[str]]) -> list[str]:
    """Every value of Host, however that is spelled."""
    return [value for name, values in headers.items() if name.lower() == "host" for value in values]
