"""Opening TCP connections: one address at a time, by the dial options that the configuration gave."""

from __future__ import annotations

import errno
import socket as consts
from _socket import socket
from dataclasses import dataclass

from gproxy.base.address import IP, Address
from gproxy.base.errors import DialError
from gproxy.net import sockopt
from gproxy.net.oserror import dial_failed
from gproxy.net.stream import SocketStream
from gproxy.rt.sockets import WRITE, Readiness

_STREAM = consts.SOCK_STREAM | consts.SOCK_NONBLOCK


@dataclass(frozen=True, slots=True)
class SocketOptions:
    """The dial fields that end in the kernel."""

    bind_interface: str = ""
    inet4_bind_address: IP | None = None
    inet6_bind_address: IP | None = None
    bind_address_no_port: bool = False
    routing_mark: int = 0
    reuse_addr: bool = False
    netns: str = ""
    tcp_fast_open: bool = False
    tcp_multi_path: bool = False
    udp_fragment: bool | None = None
    keep_alive: sockopt.KeepAlive | None = None

    def bind_address(self, family: int) -> IP | None:
        """The configured source address for this family."""
        return self.inet6_bind_address if family == consts.AF_INET6 else self.inet4_bind_address

    def make(self, family: int, kind: int, protocol: int = 0) -> socket:
        """A non-blocking socket with all that TCP and UDP share, bound if a source address is set. Raises OSError."""
        if self.netns:
            with sockopt.network_namespace(self.netns):
                sock = socket(family, kind | consts.SOCK_NONBLOCK, protocol)
        else:
            sock = socket(family, kind | consts.SOCK_NONBLOCK, protocol)
        try:
            self._shape(sock, family)
        except OSError:
            sock.close()
            raise
        return sock

    def _shape(self, sock: socket, family: int) -> None:
        if self.bind_interface:
            sockopt.bind_to_interface(sock, self.bind_interface)
        if self.routing_mark:
            sock.setsockopt(consts.SOL_SOCKET, sockopt.SO_MARK, self.routing_mark)
        if self.reuse_addr:
            sock.setsockopt(consts.SOL_SOCKET, consts.SO_REUSEADDR, 1)
        source = self.bind_address(family)
        if source is not None:
            if self.bind_address_no_port:
                sock.setsockopt(consts.IPPROTO_IP, sockopt.IP_BIND_ADDRESS_NO_PORT, 1)
            sock.bind((str(source), 0))


def connect(ip: IP, port: int, options: SocketOptions) -> SocketStream:
    """A stream to one address. Raises DialError; the caller's deadline bounds the wait."""
    family = consts.AF_INET if ip.version == 4 else consts.AF_INET6
    try:
        sock = _make(family, options)
    except OSError as error:
        raise DialError(f"no socket for {Address(ip, port)}: {error.strerror or error}", reason="failed") from error
    try:
        # Written so, it costs half of what its own str() needs, and one of IPv6 a thirtieth.
        code = sock.connect_ex((consts.inet_ntop(family, ip.packed), port))
        if code == errno.EINPROGRESS:
            code = _finish(sock)
        if code:
            raise dial_failed(Address(ip, port), code)
    except BaseException:  # a deadline, too, must not leave the socket behind
        sock.close()
        raise
    return SocketStream(sock)


def _make(family: int, options: SocketOptions) -> socket:
    sock = options.make(family, _STREAM, sockopt.IPPROTO_MPTCP if options.tcp_multi_path else consts.IPPROTO_TCP)
    try:
        sock.setsockopt(consts.IPPROTO_TCP, consts.TCP_NODELAY, 1)
        if options.keep_alive is not None:
            options.keep_alive.apply(sock)
        if options.tcp_fast_open:
            sock.setsockopt(consts.IPPROTO_TCP, sockopt.TCP_FASTOPEN_CONNECT, 1)
    except OSError:
        sock.close()
        raise
    return sock


def _finish(sock: socket) -> int:
    """Wait for a connect in progress; its errno, 0 when it is open."""
    ready = Readiness(sock.fileno(), WRITE)
    try:
        ready.wait()
    finally:
        ready.close()
    return sock.getsockopt(consts.SOL_SOCKET, consts.SO_ERROR)
