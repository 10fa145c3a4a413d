"""The `transport` tables of inbounds and outbounds: the V2Ray transports, of which both ends must have the same."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import field
from typing import Annotated, Any, ClassVar, Final

from gproxy.schema.fields import Duration
from gproxy.schema.headers import field_problems, hosts_in, is_field_name
from gproxy.schema.model import Options, doc
from gproxy.schema.problem import KeyPath, Problem, expected, near_miss

_HOST: Final = re.compile(r"[0-9A-Za-z.:\[\]_-]+")
_NO_PATH: Final = re.compile(r"[\x00-\x20\x7f?#]")

# What the transport itself says, or what would end the request elsewhere.
_OWN: Final = frozenset((
    "connection", "upgrade", "content-length", "transfer-encoding", "date", "sec-websocket-key", "sec-websocket-accept",
    "sec-websocket-version", "sec-websocket-extensions", "sec-websocket-protocol",
))  # fmt: skip

_NOT_IN_HTTP2: Final = frozenset(("keep-alive", "proxy-connection", "te"))

_EARLY_PROTOCOL: Final = "sec-websocket-protocol"

MOST_EARLY: Final = 8192
"""The most early data: in base64 it fits into the request line, and the fields, that web servers take."""


class Transport(Options):
    """A transport: `type` says which."""

    others: ClassVar[tuple[str, ...]] = ("quic",)

    @classmethod
    def model_for(cls, tree: Mapping[str, Any], at: KeyPath, problems: list[Problem]) -> type[Options] | None:
        """The model of the transport's `type`; None after telling what is wrong with it."""
        kinds, name = Transport.variants(), tree.get("type")
        if isinstance(name, str) and name in kinds:
            return kinds[name]
        names = " or ".join(f"`{each}`" for each in kinds)
        if name is None:
            problems.append(Problem(at, "`type` is missing", f"it is {names}"))
        elif not isinstance(name, str):
            problems.append(Problem((*at, "type"), str(expected("text", name))))
        elif name in cls.others:
            problems.append(Problem((*at, "type"), f"transport `{name}` is not supported yet"))
        else:
            problems.append(Problem((*at, "type"), "unknown transport", near_miss(name, kinds) or f"it is {names}"))
        return None

    @classmethod
    def variants(cls) -> Mapping[str, type[Options]]:
        """Every transport."""
        return {
            "ws": WsTransport, "http": HttpTransport, "httpupgrade": HttpUpgradeTransport, "grpc": GrpcTransport,
        }  # fmt: skip


class Web(Transport):
    """What transports at a place of a web server have."""

    type: Annotated[str, doc("`ws`, `http` or `httpupgrade`.")]
    path: Annotated[
        str,
        doc("Path of the request. Inbounds answer 404 to every other. What a path can't have is encoded with `%`."),
    ] = "/"
    headers: Annotated[
        dict[str, tuple[str, ...]],
        doc(
            "Further fields of the request, or of an inbound's answer. `Host` is the one that an outbound asks for, "
            "and the only one that an inbound knows. An outbound without it asks for `tls.server_name`, or else the "
            "server's address."
        ),
    ] = field(default_factory=dict)

    def check(self) -> Iterator[tuple[str, str]]:
        """Nothing that would break the request apart, or say twice what the transport says itself."""
        yield from super().check()
        if _NO_PATH.search(self.path):
            yield "path", "expected a path without `?`, `#` and spaces"
        for problem in field_problems(self.headers, _OWN):
            yield "headers", problem
        hosts = hosts_in(self.headers)
        if len(hosts) > 1 or not all(_HOST.fullmatch(host) for host in hosts):
            yield "headers", "expected one Host: a name, or a name with a port"

    def place(self) -> str:
        """The path, as it begins."""
        return self.path if self.path.startswith("/") else f"/{self.path}"


class WsTransport(Web):
    """WebSocket."""

    max_early_data: Annotated[
        int,
        doc(
            "Bytes of the first payload that an outbound puts into its request, which then waits for them. An inbound "
            "takes as many as come, if this is not 0.",
            minimum=0,
            maximum=MOST_EARLY,
        ),
    ] = 0
    early_data_header_name: Annotated[
        str,
        doc(
            "Field of the request for early data: `Sec-WebSocket-Protocol` for Xray. Behind the path if empty. "
            "Both ends must have the same."
        ),
    ] = ""

    def check(self) -> Iterator[tuple[str, str]]:
        """Early data has one place of its own."""
        yield from super().check()
        name = self.early_data_header_name.lower()
        if not name:
            return
        if not self.max_early_data:
            yield "early_data_header_name", "has no effect: `max_early_data` allows no early data"
        taken = {each.lower() for each in self.headers} | _OWN | {"host"}
        if not is_field_name(name):
            yield "early_data_header_name", "is not a field name"
        elif name != _EARLY_PROTOCOL and name in taken:
            yield "early_data_header_name", "says something else in the request"


class HttpUpgradeTransport(Web):
    """A request to upgrade, and then bytes without frames."""

    host: Annotated[str, doc("As `Host` in `headers`.")] = ""

    def check(self) -> Iterator[tuple[str, str]]:
        """The host is said once."""
        yield from super().check()
        if self.host and not _HOST.fullmatch(self.host):
            yield "host", "expected a name, or a name with a port"
        if self.host and any(name.lower() == "host" for name in self.headers):
            yield "host", "stands in `headers`, too"


class KeptAlive(Transport):
    """What transports over HTTP/2 have."""

    idle_timeout: Annotated[
        Duration,
        doc(
            "After so much silence on a link, an outbound asks the server whether it is there. After as long without a "
            "stream, an inbound gives up the link. 0: never."
        ),
    ] = Duration(0)
    ping_timeout: Annotated[
        Duration, doc("How long a server may take to answer that before its link is given up; 15s if 0.")
    ] = Duration(0)


class HttpTransport(Web, KeptAlive):
    """The bodies of an HTTP request and its answer: HTTP/2 over TLS, else HTTP/1.1."""

    host: Annotated[
        tuple[str, ...],
        doc(
            "As `Host` in `headers`, and there may be several: an outbound asks for one after the other, an inbound "
            "knows them all."
        ),
    ] = ()
    method: Annotated[
        str, doc("Method of the request; `PUT` if empty. Inbounds answer 404 to every other, and know any if empty.")
    ] = ""

    def check(self) -> Iterator[tuple[str, str]]:
        """What HTTP/2 can't carry is not said."""
        yield from super().check()
        for problem in field_problems(self.headers, _NOT_IN_HTTP2):
            yield "headers", problem
        if not all(_HOST.fullmatch(host) for host in self.host):
            yield "host", "expected names, or names with a port"
        if self.host and hosts_in(self.headers):
            yield "host", "stands in `headers`, too"
        if self.method and (not is_field_name(self.method) or self.method in ("CONNECT", "HEAD")):
            yield "method", "expected a method whose request and answer have a body"


class GrpcTransport(KeptAlive):
    """The messages of a gRPC call."""

    type: Annotated[str, doc("`grpc`.")]
    service_name: Annotated[
        str,
        doc(
            "The service: its call `Tun` is asked for. One that begins with `/` is the call's whole path, as Xray has "
            "it; the name of another call may stand behind a `|`, and is not used."
        ),
    ] = ""
    permit_without_stream: Annotated[bool, doc("Ask after silence on links without streams, too (outbounds).")] = False

    def check(self) -> Iterator[tuple[str, str]]:
        """The name becomes part of a path."""
        yield from super().check()
        if _NO_PATH.search(self.service_name) or self.service_name == "/":
            yield "service_name", "expected a name without `?`, `#` and spaces"


class TransportListen(Options):
    """For inbounds that can be behind a transport."""

    transport: Annotated[Transport | None, doc("V2Ray transport of the streams, within TLS: a table with `type`.")] = (
        None
    )


class TransportDial(Options):
    """For outbounds whose server can be behind a transport."""

    transport: Annotated[Transport | None, doc("V2Ray transport of the streams, within TLS: a table with `type`.")] = (
        None
    )
