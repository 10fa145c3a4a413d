"""Regular expressions in RE2's dialect, as sing-box has them (Go's `regexp`): their time is linear in the input.

Python's own `re` is not an alternative: it knows other escapes, and one hostile name could keep it busy for hours.
The library is imported when the first expression is met.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

# How many expressions become one: more would seldom be faster, and RE2 gives up on what needs more than 8 MiB.
_TOGETHER = 64

Search = Callable[[bytes], object]
"""Finds the expression anywhere in a text: gives None if it is nowhere."""


class RegexError(ValueError):
    """The expression is none of RE2, or too large for it."""


def compile_regex(expression: str) -> Search:
    """What searches for the expression. Raises RegexError."""
    import re2

    options = re2.Options()
    options.log_errors = False
    options.never_capture = True
    try:
        search: Search = re2.compile(expression, options).search
    except re2.error as error:
        said = error.args[0] if error.args else b""
        raise RegexError(said.decode(errors="replace") if isinstance(said, bytes) else str(said)) from None
    return search


def compile_any(expressions: Sequence[str]) -> tuple[Search, ...]:
    """A few searches, one of which finds something when any of the expressions (one at least) does.

    Raises RegexError when an expression by itself is wrong.
    """
    if len(expressions) == 1:
        return (compile_regex(expressions[0]),)
    if len(expressions) <= _TOGETHER and not any("\\Q" in each for each in expressions):  # a quotation has no sure end
        try:
            return (compile_regex("|".join(f"(?:{each})" for each in expressions)),)
        except RegexError:  # too large together, or the same group name twice
            pass
    middle = len(expressions) // 2
    return compile_any(expressions[:middle]) + compile_any(expressions[middle:])
