"""The client side of SOCKS 4, 4a and 5."""

from __future__ import annotations

from gproxy.base.address import IP, UNSPECIFIED, Address, parse_host
from gproxy.base.defaults import HANDSHAKE_TIMEOUT
from gproxy.base.errors import DialError, ProtocolError, StreamClosed
from gproxy.base.iface import PacketConn, Stream
from gproxy.base.session import Session
from gproxy.base.wiring import OutboundWiring
from gproxy.layers.mux.uot import PacketsOverStream
from gproxy.net.buffered import Buffered
from gproxy.net.resolve import order
from gproxy.protocol.socks import wire
from gproxy.protocol.socks.options import SocksOutboundOptions
from gproxy.protocol.socks.packets import RelayedPackets
from gproxy.protocol.socks.replies import SUCCEEDED, error_for
from gproxy.rt.deadline import deadline
from gproxy.rt.group import Group


class SocksOutbound:
    """Asks a SOCKS server for connections and, with version 5, for UDP associations."""

    def __init__(self, options: SocksOutboundOptions, wiring: OutboundWiring) -> None:
        self._over_tcp = options.over_tcp()
        carried = {"tcp", "udp"} if options.version == "5" or self._over_tcp else {"tcp"}
        self.networks = frozenset(carried & set(options.network or carried))
        self._version = options.version
        self._name = options.username.encode()
        self._password = options.password.reveal().encode()
        self._server = Address(parse_host(options.server), options.server_port)
        self._connect_timeout = float(options.connect_timeout)
        self._connect = wiring.connect
        self._via = wiring.via
        self._lookup = wiring.lookup
        self._controls = Group(f"socks outbound {wiring.tag}")

    def dial(self, target: Address, session: Session) -> Stream:
        """See Dialer. Version 4 carries IPv4 alone: domains are resolved here, and their addresses tried in turn."""
        if self._version != "4":
            return self._ask(wire.CONNECT, target, session)[0]
        failure = DialError("SOCKS4 carries no IPv6", reason="unreachable")
        for ip in self._ipv4_of(target, session):
            try:
                return self._ask(wire.CONNECT, Address(ip, target.port), session)[0]
            except DialError as error:
                failure = error
        raise failure

    def dial_packet(self, target: Address, session: Session) -> PacketConn:
        """See Dialer. Any address can be reached, domains by the server's resolver."""
        if self._over_tcp:
            return PacketsOverStream.open(self.dial, target, session, self._over_tcp)
        if self._version != "5":
            raise DialError(f"SOCKS{self._version} carries no UDP", reason="declined")
        control, bound = self._ask(wire.UDP_ASSOCIATE, UNSPECIFIED, session)
        try:
            relay = self._relay(bound)
            conn = RelayedPackets(self._via.dial_packet(relay, session), relay, control)
        except BaseException:
            control.close()
            raise
        self._controls.spawn(conn.watch, control)
        return conn

    def close(self) -> None:
        """See Outbound: nothing is pooled."""

    def _relay(self, bound: Address) -> Address:
        """Where datagrams go: to the server itself, if its reply names no address that means something here."""
        host = bound.host
        if not bound.port:
            raise DialError("the SOCKS server named no port for datagrams", reason="declined")
        if isinstance(host, str) or host.is_unspecified:
            return Address(self._server.host, bound.port)
        return bound

    def _ask(self, command: int, target: Address, session: Session) -> tuple[Buffered, Address]:
        """A stream on which the server has said yes to `command`, and the address that it said."""
        server = Buffered(self._connect(session))
        try:
            with deadline(HANDSHAKE_TIMEOUT, DialError("no answer from the SOCKS server in time", reason="timeout")):
                shake = self._shake5 if self._version == "5" else self._shake4
                return server, shake(server, command, target)
        except (ProtocolError, StreamClosed) as error:
            server.close()
            raise DialError(f"the SOCKS server broke off the handshake: {error}", reason="declined") from error
        except BaseException:  # a deadline, too, must not leave the stream behind
            server.close()
            raise

    def _shake4(self, server: Buffered, command: int, target: Address) -> Address:
        server.sendall(wire.encode_request4(command, target, self._name))
        answer = server.decode(wire.decode_reply4, wire.MAX_MESSAGE)
        if answer.code != wire.GRANTED4:
            raise error_for(answer.code)
        return answer.bound

    def _shake5(self, server: Buffered, command: int, target: Address) -> Address:
        self._authenticate(server)
        server.sendall(wire.encode_request5(command, target))
        answer = server.decode(wire.decode_reply5, wire.MAX_MESSAGE)
        if answer.code != SUCCEEDED:
            raise error_for(answer.code)
        return answer.bound

    def _authenticate(self, server: Buffered) -> None:
        offered = wire.PASSWORD if self._name else wire.NO_AUTH
        server.sendall(wire.encode_greeting(offered))
        method = server.decode(wire.decode_method, wire.MAX_MESSAGE)
        if method == wire.NO_AUTH:  # a server without users may say so even to a client that offered a password
            return
        if method != offered:
            needs = "takes no password" if self._name else "wants a password or another authentication"
            raise DialError(f"the SOCKS server {needs}", reason="declined")
        server.sendall(wire.encode_password(self._name, self._password))
        if not server.decode(wire.decode_welcome, wire.MAX_MESSAGE):
            raise DialError("the SOCKS server refused the user name or password", reason="declined")

    def _ipv4_of(self, target: Address, session: Session) -> tuple[IP, ...]:
        host = target.host
        if not isinstance(host, str):
            return order((host,), "ipv4_only")
        if session.addresses and host == session.target.host:
            return order(session.addresses, "ipv4_only")
        with deadline(self._connect_timeout, DialError(f"{host}: no answer in time", reason="timeout")):
            return order(self._lookup(host, session), "ipv4_only")
