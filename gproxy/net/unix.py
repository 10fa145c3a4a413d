"""Unix sockets by the names that the configuration uses: `unix:/path` and, abstract, `unix:@name`."""

from __future__ import annotations

PREFIX = "unix:"


def unix_path(text: str) -> str | None:
    """The kernel's name of a `unix:` address, None if `text` is something else. Raises ValueError for a bad one."""
    if not text.startswith(PREFIX):
        return None
    name = text[len(PREFIX) :]
    if not name or name == "@":
        raise ValueError("expected a path after `unix:`")
    if "\0" in name:  # the kernel would take what stands before it
        raise ValueError("a unix socket's path can't hold a NUL")
    if len(name.encode()) > 107:  # sun_path has 108 bytes (unix(7)), one of them the end
        raise ValueError("a unix socket's path has at most 107 bytes")
    return "\0" + name[1:] if name[0] == "@" else name
