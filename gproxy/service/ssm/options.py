"""What can be configured about the management API."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Annotated, ClassVar

from gproxy.net.unix import PREFIX
from gproxy.schema.groups import Bind
from gproxy.schema.model import doc

_PATH = re.compile(r"/|(/[A-Za-z0-9._~-]+)+/?")


class SsmApiOptions(Bind):
    """An HTTP API for the users of `managed` Shadowsocks inbounds: who they are, and what they have moved.

    It asks nobody for credentials: whoever can reach it rules the users.
    """

    not_yet: ClassVar[tuple[str, ...]] = ("tls",)

    servers: Annotated[
        dict[str, str],
        doc("Which path manages which inbound: `/` or `/some/path`, and the tag of a `managed` inbound."),
    ]
    cache_path: Annotated[
        str,
        doc("File that users and their traffic are saved to, and loaded from at the start. Empty: they are forgotten."),
    ] = ""

    def check(self) -> Iterator[tuple[str, str]]:
        """There is something to manage, each at a path of its own."""
        yield from super().check()
        if self.listen_port is None and not self.listen_ports and not self.listen.startswith(PREFIX):
            yield "listen_port", "expected the port to listen on"
        if not self.servers:
            yield "servers", "expected a path and the tag of an inbound"
        seen: set[str] = set()
        for path in self.servers:
            if not _PATH.fullmatch(path):
                yield "servers", f"expected a path such as `/` or `/ss`, got `{path}`"
            elif path.rstrip("/") in seen:
                yield "servers", f"`{path}` is there twice"
            seen.add(path.rstrip("/"))
