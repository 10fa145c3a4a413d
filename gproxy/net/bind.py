"""Making the sockets that inbounds listen on. Nothing here accepts or reads: another process may do that."""

from __future__ import annotations

import contextlib
import errno
import socket as consts
import stat
from _socket import socket
from dataclasses import dataclass
from ipaddress import IPv6Address
from pathlib import Path
from typing import Literal

from gproxy.base.address import IP
from gproxy.base.defaults import LISTEN_BACKLOG
from gproxy.net import sockopt

Kind = Literal["stream", "packet"]

_FASTOPEN_QUEUE = 1024
_INTERFACE_NAME = 16  # netdevice(7): IFNAMSIZ
_ANY6 = IPv6Address("::")


@dataclass(frozen=True, slots=True)
class Endpoint:
    """One thing to listen on: where, what kind, and with which options. Equal endpoints can share a socket."""

    kind: Kind
    host: IP | str  # a str is a unix socket's name for the kernel
    port: int = 0
    bind_interface: str = ""
    routing_mark: int = 0
    reuse_addr: bool = False
    tcp_fast_open: bool = False
    tcp_multi_path: bool = False
    keep_alive: sockopt.KeepAlive | None = None

    def __str__(self) -> str:
        if isinstance(self.host, str):
            return "unix:" + self.host.replace("\0", "@", 1)
        host = str(self.host) if self.host.version == 4 else f"[{self.host}]"
        return f"{host}:{self.port}/{'tcp' if self.kind == 'stream' else 'udp'}"

    @property
    def is_unix(self) -> bool:
        """A unix socket, of which there can be only one."""
        return isinstance(self.host, str)

    def open(self, *, shared: bool = False) -> socket:
        """A bound, non-blocking socket; listening, if it is for streams. `shared`: others may be bound beside it.

        Raises OSError.
        """
        family = self._family()
        kind = consts.SOCK_STREAM if self.kind == "stream" else consts.SOCK_DGRAM
        mptcp = self.tcp_multi_path and self.kind == "stream" and family != consts.AF_UNIX
        sock = socket(family, kind | consts.SOCK_NONBLOCK, sockopt.IPPROTO_MPTCP if mptcp else 0)
        try:
            if shared and family != consts.AF_UNIX:
                sock.setsockopt(consts.SOL_SOCKET, consts.SO_REUSEPORT, 1)
            self._shape(sock, family)
            sock.bind(self.host if isinstance(self.host, str) else (str(self.host), self.port))
            if self.kind == "stream":
                sock.listen(LISTEN_BACKLOG)
        except OSError:
            sock.close()
            raise
        return sock

    def follows(self, other: Endpoint) -> bool:
        """Whether an open socket of the other one can be made one of ours, by `reshape`."""
        mine, its = (
            (each.kind, each.host, each.port, each.bind_interface, each.tcp_multi_path) for each in (self, other)
        )
        return bool(self.is_unix or self.port) and mine == its

    def is_settled(self, sock: socket) -> bool:
        """Whether a socket that is bound to our address has, besides, what can't be changed any more."""
        if self.is_unix:
            return True
        device = sock.getsockopt(consts.SOL_SOCKET, consts.SO_BINDTODEVICE, _INTERFACE_NAME).rstrip(b"\0").decode()
        mptcp = sock.getsockopt(consts.SOL_SOCKET, consts.SO_PROTOCOL) == sockopt.IPPROTO_MPTCP
        return device == self.bind_interface and mptcp == self.tcp_multi_path

    def reshape(self, sock: socket) -> None:
        """Give our options to the open socket of an endpoint that we follow. Raises OSError."""
        if self.is_unix:
            return
        if sock.getsockopt(consts.SOL_SOCKET, sockopt.SO_MARK) != self.routing_mark:
            sock.setsockopt(consts.SOL_SOCKET, sockopt.SO_MARK, self.routing_mark)
        if self.kind == "packet":
            sock.setsockopt(consts.SOL_SOCKET, consts.SO_REUSEADDR, self.reuse_addr)
            return
        if self.keep_alive is None:
            sock.setsockopt(consts.SOL_SOCKET, consts.SO_KEEPALIVE, 0)
        if not self.tcp_fast_open:
            sock.setsockopt(consts.IPPROTO_TCP, consts.TCP_FASTOPEN, 0)
        self._shape_tcp(sock)

    def _family(self) -> int:
        if isinstance(self.host, str):
            return consts.AF_UNIX
        return consts.AF_INET if self.host.version == 4 else consts.AF_INET6

    def _shape(self, sock: socket, family: int) -> None:
        if family == consts.AF_UNIX:
            remove_stale(str(self.host))
            return
        if self.bind_interface:
            sockopt.bind_to_interface(sock, self.bind_interface)
        if self.routing_mark:
            sock.setsockopt(consts.SOL_SOCKET, sockopt.SO_MARK, self.routing_mark)
        if family == consts.AF_INET6 and self.host == _ANY6:
            sock.setsockopt(consts.IPPROTO_IPV6, consts.IPV6_V6ONLY, 0)
        if self.kind == "stream":
            self._shape_tcp(sock)
        elif self.reuse_addr:
            sock.setsockopt(consts.SOL_SOCKET, consts.SO_REUSEADDR, 1)

    def _shape_tcp(self, sock: socket) -> None:
        # A server that restarts must not wait for its old connections' TIME_WAIT (as Go's listeners have it).
        sock.setsockopt(consts.SOL_SOCKET, consts.SO_REUSEADDR, 1)
        # Linux lets accepted sockets inherit these, which saves four calls for each connection.
        sock.setsockopt(consts.IPPROTO_TCP, consts.TCP_NODELAY, 1)
        if self.keep_alive is not None:
            self.keep_alive.apply(sock)
        if self.tcp_fast_open:
            sock.setsockopt(consts.IPPROTO_TCP, consts.TCP_FASTOPEN, _FASTOPEN_QUEUE)


def remove_stale(path: str) -> None:
    """Remove the file of a unix socket that nobody listens on any more; leave all else for bind to complain of."""
    if path[:1] == "\0":
        return
    try:
        if not stat.S_ISSOCK(Path(path).stat().st_mode):
            return
    except OSError:
        return
    probe = socket(consts.AF_UNIX, consts.SOCK_STREAM | consts.SOCK_NONBLOCK)  # a full queue means a live listener
    try:
        if probe.connect_ex(path) == errno.ECONNREFUSED:
            with contextlib.suppress(FileNotFoundError):
                Path(path).unlink()
    finally:
        probe.close()
