"""SSH (RFC 4253 section 4.2): the client's identification, a line of up to 255 octets.

SSH-2.0-software [SP comment] CR LF
"""

from __future__ import annotations

from gproxy.base.errors import TooLarge
from gproxy.base.session import Sniffed
from gproxy.route.sniff.found import no
from gproxy.wire.cursor import Cursor

_PREFIX = b"SSH-2.0-"
_LONGEST = 254  # without the LF


def sniff_ssh(cursor: Cursor) -> Sniffed:
    """A Decode for the line. The client is what follows the version, if it is text."""
    start = bytes(cursor.data[cursor.at : cursor.at + len(_PREFIX)])
    if not _PREFIX.startswith(start):
        raise no("SSH")
    try:
        line = cursor.until(b"\n", _LONGEST)
    except TooLarge:
        raise no("SSH") from None
    client = line[len(_PREFIX) :].removesuffix(b"\r").decode("latin-1")
    return Sniffed("ssh", client=client if client.isascii() and client.isprintable() else "")
