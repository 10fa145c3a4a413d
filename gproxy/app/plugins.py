"""The programs that a configuration wants beside gproxy, and the loopback ports between them and us."""

from __future__ import annotations

import dataclasses

from gproxy.base.defaults import CONNECT_TIMEOUT
from gproxy.base.iface import Connect
from gproxy.config.listening import DEFAULT_ADDRESS
from gproxy.layers.plugin.external import LOOPBACK, Plugin, Through, unused_port
from gproxy.layers.plugin.options import ClientPlugin, ServerPlugin
from gproxy.schema.fields import Port
from gproxy.schema.groups import Listen, Server
from gproxy.schema.model import Options


class Plugins:
    """What was asked for so far. Both calls raise OSError when no port is free."""

    def __init__(self) -> None:
        self.wanted: list[Plugin] = []
        self._taken: set[int] = set()

    def towards(self, tag: str, options: Options) -> Connect | None:
        """How an outbound reaches its server through a program, if that is its plugin."""
        if not isinstance(options, ClientPlugin) or not isinstance(options, Server) or not options.program():
            return None
        port = unused_port(self._taken)
        self.wanted.append(
            Plugin(
                f"outbound {tag}", "client", options.program(), options.plugin_opts.reveal(),
                options.server, int(options.server_port), port,
            )
        )  # fmt: skip
        return Through(port, options.connect_timeout or CONNECT_TIMEOUT).connect

    def behind(self, tag: str, options: Listen) -> Listen:
        """Where an inbound listens for streams: on loopback behind a program, if that is its plugin."""
        if not isinstance(options, ServerPlugin) or not options.program():
            return options
        assert options.listen_port is not None, "the options have been checked"
        port = unused_port(self._taken)
        self.wanted.append(
            Plugin(
                f"inbound {tag}", "server", options.program(), options.plugin_opts.reveal(),
                options.listen or str(DEFAULT_ADDRESS), int(options.listen_port), port,
            )
        )  # fmt: skip
        return dataclasses.replace(options, listen=str(LOOPBACK), listen_port=Port(port))
