"""What can be configured about SIP003 plugins.

`obfs-local` and `obfs-server` are built in (gproxy.layers.transport.obfs), and so is `v2ray-plugin`, which is a
transport within TLS; every other name is a program.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated, ClassVar, Final

from gproxy.layers.plugin.simpleobfs import Obfs, Role, read_obfs
from gproxy.layers.plugin.v2ray import NAME, read_client, read_server
from gproxy.net.unix import PREFIX
from gproxy.schema.fields import Secret
from gproxy.schema.groups import Dial, Listen, NetworkChoice, OverTcp
from gproxy.schema.model import Options, doc, fields_of
from gproxy.schema.tls import Tls, TlsInbound, TlsOutbound
from gproxy.schema.transport import Transport

_HALVES: Final[dict[Role, str]] = {"client": "obfs-local", "server": "obfs-server"}

# A program makes its own connections and listens by itself: these would shape sockets that are not ours.
_NOT_DIALLED = tuple(name for name in fields_of(Dial) if name not in ("connect_timeout", "udp_fragment"))
_NOT_LISTENED = (
    "listen_ports", "bind_interface", "routing_mark", "reuse_addr", "tcp_fast_open", "tcp_multi_path",
    "disable_tcp_keep_alive", "tcp_keep_alive", "tcp_keep_alive_interval", "proxy_protocol",
)  # fmt: skip


class PluginOptions(Options):
    """A SIP003 plugin around the TCP side. UDP goes past it."""

    plugin_role: ClassVar[Role]

    plugin: Annotated[
        str,
        doc(
            "SIP003 plugin around TCP; UDP goes past it. `obfs-local` (in outbounds), `obfs-server` (in inbounds) and "
            "`v2ray-plugin` are built in; any other name is a program, by its path or in `PATH`, that is run beside "
            "gproxy."
        ),
    ] = ""
    plugin_opts: Annotated[
        Secret,
        doc(r"Options of the plugin: `obfs=http;obfs-host=example.com`; `\` before a `;`, `=` or `\` of a value."),
    ] = Secret("")

    def check(self) -> Iterator[tuple[str, str]]:
        """There is such a plugin, and a built-in one knows its options."""
        yield from super().check()
        text = self.plugin_opts.reveal()
        if not self.plugin:
            if text:
                yield "plugin_opts", "there is no `plugin` to read them"
            return
        program = self.program()
        if not program:
            try:
                self.obfs()
                self.v2ray()
            except ValueError as error:
                yield "plugin_opts", str(error)
        elif program in _HALVES.values():
            yield "plugin", f"is the other side's half: expected `{_HALVES[self.plugin_role]}`"
        elif "\0" in program + text:
            yield "plugin_opts" if "\0" in text else "plugin", "no program can be told a NUL"
        elif not _is_program(program):
            yield "plugin", f"there is no program `{program}`"
        else:
            yield from self.check_program()

    def check_program(self) -> Iterator[tuple[str, str]]:
        """What does not go together with a program."""
        return iter(())

    def program(self) -> str:
        """The program that is to be run beside gproxy; "" for none."""
        return "" if self.plugin in (_HALVES[self.plugin_role], NAME) else self.plugin

    def obfs(self) -> Obfs | None:
        """What simple-obfs is to do, if it is wanted. Raises ValueError."""
        wanted = self.plugin == _HALVES[self.plugin_role]
        return read_obfs(self.plugin_opts.reveal(), self.plugin_role) if wanted else None

    def v2ray(self) -> tuple[Transport, Tls] | None:
        """The transport, and TLS around it, that v2ray-plugin is, if it is wanted. Raises ValueError."""
        return None


class ClientPlugin(Dial, OverTcp, PluginOptions):
    """A plugin on the way to the server."""

    plugin_role = "client"

    def check(self) -> Iterator[tuple[str, str]]:
        """There is something for the plugin to do."""
        yield from super().check()
        if self.plugin and self.network == ("udp",) and not self.over_tcp():
            yield "plugin", "`network` leaves no TCP to carry"

    def v2ray(self) -> tuple[Transport, TlsOutbound] | None:
        """See PluginOptions."""
        return read_client(self.plugin_opts.reveal()) if self.plugin == NAME else None

    def check_program(self) -> Iterator[tuple[str, str]]:
        """The program makes its own connections."""
        yield from _of_no_use(self, Dial, _NOT_DIALLED, "the plugin makes its own connections")


class ServerPlugin(Listen, NetworkChoice, PluginOptions):
    """A plugin on the way from the clients."""

    plugin_role = "server"

    def check(self) -> Iterator[tuple[str, str]]:
        """There is something for the plugin to do."""
        yield from super().check()
        if self.plugin and self.network == ("udp",):
            yield "plugin", "`network` leaves no TCP to carry"

    def v2ray(self) -> tuple[Transport, TlsInbound] | None:
        """See PluginOptions."""
        return read_server(self.plugin_opts.reveal()) if self.plugin == NAME else None

    def check_program(self) -> Iterator[tuple[str, str]]:
        """The program listens by itself, at one place."""
        yield from _of_no_use(self, Listen, _NOT_LISTENED, "the plugin listens by itself")
        if self.listen.startswith(PREFIX):
            yield "listen", "no plugin listens on a unix socket"
        elif not self.listen_port:
            yield "listen_port", "expected the port that the plugin is to listen on"


def _is_program(name: str) -> bool:
    from shutil import which  # a heavy module, which few configurations need

    return which(name) is not None


def _of_no_use(options: Options, model: type[Options], names: tuple[str, ...], why: str) -> Iterator[tuple[str, str]]:
    fields = fields_of(model)
    for name in names:
        if getattr(options, name) != fields[name].default:
            yield name, f"has no effect: {why}"
