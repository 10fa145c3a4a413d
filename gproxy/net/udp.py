"""A UDP socket as a PacketConn, client direction: datagrams to and from any address."""

from __future__ import annotations

import contextlib
import errno
import socket as consts
from _socket import socket
from collections import deque
from collections.abc import Callable

from gproxy.base.address import IP, Address, Host, parse_ip
from gproxy.base.defaults import DATAGRAM_BURST, MAX_DATAGRAM, UDP_INBOX
from gproxy.base.errors import DialError, StreamClosed
from gproxy.base.iface import Buffer, Take
from gproxy.net.oserror import closed, dial_failed
from gproxy.net.outbox import OUTBOX
from gproxy.net.tcp import SocketOptions
from gproxy.rt.sockets import READ, Gate, Readiness

# ICMP errors that an unconnected socket reports for some earlier datagram: they say nothing about the next one.
_PASSING = frozenset({errno.ECONNREFUSED, errno.EHOSTUNREACH, errno.ENETUNREACH, errno.EMSGSIZE, errno.EPROTO})

_LOST = frozenset({errno.EAGAIN, errno.ENOBUFS, errno.EMSGSIZE, errno.ECONNREFUSED, errno.EPERM, errno.EINVAL})

_KNOWN = 1024

_scratch = bytearray(MAX_DATAGRAM)
_view = memoryview(_scratch)

Resolve = Callable[[str], tuple[IP, ...]]

Check = Callable[[IP, int], None]
"""Whether an address may be sent to. Raises GproxyError."""


class _Offering:
    """What an UdpConn has besides when its datagrams are offered where they arrive."""

    __slots__ = ("end", "gate", "take", "unwanted")

    def __init__(self, take: Take | None) -> None:
        self.take = take
        self.unwanted: deque[tuple[Buffer, Address]] = deque(maxlen=UDP_INBOX)
        self.gate = Gate()
        self.end: StreamClosed | None = None


class UdpConn:
    """One unconnected UDP socket (full cone). A domain is resolved at its first datagram and keeps that address.

    Answers from there carry the domain again, as the asker knows it, unless `unmap` is off. An IPv6 socket carries both
    families, since its IPv4 peers appear as mapped addresses.
    """

    __slots__ = (
        "_check",
        "_ipv6",
        "_last",
        "_names",
        "_offering",
        "_readable",
        "_resolve",
        "_sock",
        "_targets",
        "_unmap",
    )

    def __init__(
        self, sock: socket, resolve: Resolve | None = None, *, unmap: bool = True, check: Check | None = None
    ) -> None:
        """`check` is asked about each address before the first datagram for it leaves."""
        self._check = check
        self._sock: socket | None = sock
        self._ipv6 = sock.family == consts.AF_INET6
        self._readable = Readiness(sock.fileno(), READ)
        self._resolve = resolve
        self._unmap = unmap
        self._targets: dict[Address, tuple[str, int]] = {}
        self._names: dict[tuple[str, int], Address] = {}
        self._last: tuple[Address | None, tuple[str, int]] = None, ("", 0)  # of the targets: they come in runs
        self._offering: _Offering | None = None

    def recv_from(self) -> tuple[Buffer, Address]:
        """See PacketConn."""
        if self._offering is not None:
            return self._unwanted(self._offering)
        while True:
            if self._sock is None:
                raise StreamClosed("closed here", reason="local")
            try:
                size, name = self._sock.recvfrom_into(_scratch)
            except BlockingIOError:
                self._readable.wait()
                continue
            except OSError as error:
                if error.errno in _PASSING:
                    continue
                raise closed(error) from error
            # The scratch belongs to every UdpConn, so the datagram leaves it before anyone else can run.
            return bytes(_view[:size]), self._address(name)

    @staticmethod
    def _unwanted(offering: _Offering) -> tuple[Buffer, Address]:
        while not offering.unwanted:
            if offering.end is not None:
                raise offering.end
            offering.gate.wait()
        return offering.unwanted.popleft()

    def offer(self, take: Take | None, /) -> None:
        """See Prompt. Nobody may be waiting in `recv_from`."""
        if self._offering is not None:
            self._offering.take = take
        elif self._sock is not None:
            self._offering = _Offering(take)
            self._readable.call(self._arrived)

    def _arrived(self) -> None:
        OUTBOX.gather(self._burst)

    def _burst(self) -> None:
        offering = self._offering
        assert offering is not None, "what arrives is offered"
        for _ in range(DATAGRAM_BURST):
            if self._sock is None:  # the datagram before has led to the end
                return
            try:
                size, name = self._sock.recvfrom_into(_scratch)
            except BlockingIOError:
                return
            except OSError as error:
                if error.errno not in _PASSING:
                    self._end(closed(error))
                    return
                continue
            data, source = bytes(_view[:size]), self._address(name)
            if offering.take is None or not offering.take(data, source):
                offering.unwanted.append((data, source))
                offering.gate.open()

    def _end(self, why: StreamClosed) -> None:
        if self._offering is None:
            self._readable.wake(why)
        elif self._offering.end is None:
            self._offering.end = why
            self._readable.stop()
            self._offering.gate.open()

    def _address(self, name: tuple[str, int]) -> Address:
        known = self._names.get(name[:2])
        if known is None:
            known = Address(parse_ip(name[0]), name[1])
            self._make_room()
            self._names[name[:2]] = known
        return known

    def send_to(self, data: Buffer, to: Address, /) -> None:
        """See PacketConn."""
        last, target = self._last
        if to is not last:
            target = self._targets.get(to) or self._learn(to)
            self._last = to, target
        if self._sock is None:
            raise StreamClosed("closed here", reason="local")
        if OUTBOX.open:
            OUTBOX.put(self._sock, data, target)
            return
        try:
            self._sock.sendto(data, target)
        except OSError as error:
            if error.errno not in _LOST:
                raise dial_failed(to, error.errno or 0) from error

    def prompt(self, to: Address, /) -> bool:
        """See Prompt: a domain may have to be looked up."""
        return not to.is_domain

    def _learn(self, to: Address) -> tuple[str, int]:
        ip = self._ip_of(to.host)
        if self._check is not None:
            self._check(ip, to.port)
        text = f"::ffff:{ip}" if self._ipv6 and ip.version == 4 else str(ip)
        self._make_room()
        target = (text, to.port)
        self._targets[to] = target
        if self._unmap and to.is_domain:
            self._names[target] = to
        return target

    def _make_room(self) -> None:
        """All tables at once: a target must not outlive the name that its answers carry."""
        if len(self._targets) >= _KNOWN or len(self._names) >= _KNOWN:
            self._last = None, ("", 0)
            self._targets.clear()
            self._names.clear()

    def connect(self, target: Address) -> None:
        """From now on only hear `target`, and let the kernel drop everything else. Raises DialError, StreamClosed."""
        name = self._learn(target)
        if self._sock is None:
            raise StreamClosed("closed here", reason="local")
        code = self._sock.connect_ex(name)
        if code:
            raise dial_failed(target, code)

    def _ip_of(self, host: Host) -> IP:
        if isinstance(host, str):
            if self._resolve is None:
                raise DialError(f"{host}: no resolver here", reason="dns")
            choices = self._resolve(host)
        else:
            choices = (host,)
        for ip in choices:
            if self._ipv6 or ip.version == 4:
                return ip
        raise DialError(f"{host}: an IPv6 address for an IPv4 socket", reason="unreachable")

    def bound(self) -> Address:
        """Our own address. Raises StreamClosed."""
        if self._sock is None:
            raise StreamClosed("closed here", reason="local")
        name = self._sock.getsockname()
        return Address(parse_ip(name[0]), name[1])

    def close(self) -> None:
        """See PacketConn."""
        sock, self._sock = self._sock, None
        if sock is not None:
            self._end(StreamClosed("closed here", reason="local"))
            self._readable.close()
            with contextlib.suppress(OSError):
                sock.close()


def open_udp(options: SocketOptions, target: Host) -> socket:
    """A UDP socket by the dial fields, for `target` and, where it can, any other address. Raises OSError.

    It is an IPv6 socket that carries IPv4 too, unless the machine has no IPv6. Where a source address is set, one
    socket can't speak for both families: it is of the target's.
    """
    if options.inet4_bind_address is not None or options.inet6_bind_address is not None:
        by_name = 6 if options.inet4_bind_address is None else 4
        version = by_name if isinstance(target, str) else target.version
        if version == 6:
            return _open(options, consts.AF_INET6)
    else:
        try:
            return _open(options, consts.AF_INET6)
        except OSError as error:
            if error.errno not in (errno.EAFNOSUPPORT, errno.EADDRNOTAVAIL):
                raise
    return _open(options, consts.AF_INET)


def _open(options: SocketOptions, family: int) -> socket:
    from gproxy.net import sockopt

    sock = options.make(family, consts.SOCK_DGRAM)
    try:
        if options.udp_fragment is not None:
            sockopt.set_udp_fragment(sock, family, options.udp_fragment)
        if options.bind_address(family) is None:  # one that is bound already speaks for that address alone
            if family == consts.AF_INET6:
                sock.setsockopt(consts.IPPROTO_IPV6, consts.IPV6_V6ONLY, 0)
            sock.bind(("::" if family == consts.AF_INET6 else "0.0.0.0", 0))  # noqa: S104 - an outgoing socket
    except OSError:
        sock.close()
        raise
    return sock


def bind_udp(ip: IP, port: int) -> socket:
    """A UDP socket on exactly this address. Raises OSError."""
    family = consts.AF_INET if ip.version == 4 else consts.AF_INET6
    sock = socket(family, consts.SOCK_DGRAM | consts.SOCK_NONBLOCK)
    try:
        sock.bind((str(ip), port))
    except OSError:
        sock.close()
        raise
    return sock
