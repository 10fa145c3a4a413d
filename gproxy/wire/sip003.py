r"""The options of a SIP003 plugin: `obfs=http;obfs-host=example.com`.

A pair of a key and its value, or a key alone; pairs are separated by semicolons. A backslash takes the meaning from
the character behind it: `;`, `=` in a key, and `\` itself.
"""

from __future__ import annotations


def parse_options(text: str) -> list[tuple[str, str]]:
    """The pairs in their order; a key that stands alone has the value "". Raises ValueError, which quotes nothing."""
    pairs: list[tuple[str, str]] = []
    key: str | None = None  # None while the key is being read
    piece: list[str] = []
    characters = iter(text)
    for character in characters:
        if character == "\\":
            escaped = next(characters, None)
            if escaped is None:
                raise ValueError("nothing follows the last backslash")
            piece.append(escaped)
        elif character == "=" and key is None:
            key, piece = "".join(piece), []
        elif character == ";":
            pairs.append(_pair(key, piece))
            key, piece = None, []
        else:
            piece.append(character)
    if key is not None or piece:
        pairs.append(_pair(key, piece))
    return pairs


def _pair(key: str | None, piece: list[str]) -> tuple[str, str]:
    name, value = ("".join(piece), "") if key is None else (key, "".join(piece))
    if not name:
        raise ValueError("an option without a name")
    return name, value


def encode_options(pairs: list[tuple[str, str]]) -> str:
    """The pairs as text. A value "" is written as a key alone."""
    return ";".join(_escape(key) + ("=" + _escape(value) if value else "") for key, value in pairs)


def _escape(text: str) -> str:
    return text.replace("\\", "\\\\").replace(";", "\\;").replace("=", "\\=")
