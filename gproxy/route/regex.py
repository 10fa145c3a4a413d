"""Regular expressions in RE2's dialect, as sing-box has them (Go's `regexp`): their time is linear in the input.

Python's own `re` is not an alternative: it knows other escapes, and one hostile name could keep it busy for hours.
The library is imported when the first expression is met.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

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
    """As few searches as possible, one of which finds something when any of the expressions does.

    Raises RegexError when an expression by itself is wrong.
    """
    if len(expressions) == 1:
        return (compile_regex(expressions[0]),)
    try:
        if any("\\Q" in expression for expression in expressions):  # its quotation may run to the very end
            raise RegexError("can't be joined")
        return (compile_regex("|".join(f"(?:{expression})" for expression in expressions)),)
    except RegexError:  # too large together, or the same group name twice
        middle = len(expressions) // 2
        return compile_any(expressions[:middle]) + compile_any(expressions[middle:])
