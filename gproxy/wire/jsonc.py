"""JSON with comments and trailing commas, as sing-box takes it, made plain."""

from __future__ import annotations

import re

_STRING = r'"(?:[^"\\\n]|\\.)*+"?+'  # a string that never ends takes the rest of its line
_COMMENTS = re.compile(_STRING + r"|(//[^\n]*|#[^\n]*|/\*.*?\*/)", re.DOTALL)
_TRAILING_COMMAS = re.compile(_STRING + r"|(,)(?=\s*[}\]])")


def blank_comments(text: str) -> str:
    """JSON with its comments replaced by as many blanks, so that offsets stay true."""
    return _COMMENTS.sub(lambda found: re.sub(r"[^\n]", " ", found[0]) if found[1] else found[0], text)


def plain_json(text: str) -> str:
    """Plain JSON, if that is what the text is apart from comments and trailing commas. Offsets stay true."""
    return _TRAILING_COMMAS.sub(lambda found: " " if found[1] else found[0], blank_comments(text))
