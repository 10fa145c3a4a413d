"""Several servers that stand for each other, asked one after the other, as the system's resolver does it."""

from __future__ import annotations

from gproxy.base.address import IP, Address
from gproxy.base.errors import DialError, ProtocolError
from gproxy.base.iface import Dialer, Lookup, Stream
from gproxy.base.session import Session
from gproxy.dns.iface import Ask
from gproxy.dns.servers.asked import fail, own_session
from gproxy.dns.servers.pipelined import Pool
from gproxy.dns.servers.resolvconf import Resolv
from gproxy.dns.servers.udp import UdpServer
from gproxy.rt.deadline import deadline
from gproxy.wire.dns import types
from gproxy.wire.dns.message import HEAD, Question, parse
from gproxy.wire.dns.name import encode_name

PORT = 53
_NEXT = frozenset({types.SERVFAIL, types.NOTIMP, types.REFUSED})  # after which another server is asked


class Several:
    """The servers. They may be replaced by others while it is in use."""

    def __init__(self, via: Dialer, lookup: Lookup, who: str) -> None:
        self._via = via
        self._lookup = lookup
        self._who = who
        self._by_datagram: dict[IP, UdpServer] = {}
        self._by_stream: dict[IP, Pool] = {}
        self._says: Resolv | None = None
        self._turn = 0

    def exchange(self, ask: Ask, says: Resolv) -> bytes:
        """The answer for the first of the name's forms that there is one for, under the name that was asked for.

        Raises DialError.
        """
        self._forget_all_but(says)
        nothing = b""
        for name in says.names_for(ask.name):
            try:
                asked = _renamed(ask, name)
            except ValueError:  # too long with this domain behind it
                continue
            answer = self._ask(asked, says)
            if answer[3] & 0xF == types.NOERROR and answer[6:8] != b"\0\0":
                return _as_asked(answer, asked, ask)
            if not nothing or name == ask.name:
                nothing = _as_asked(answer, asked, ask)
        return nothing or fail(self._who, f"{ask.name}: no name that can be asked for")

    def _ask(self, ask: Ask, says: Resolv) -> bytes:
        servers = says.servers
        if says.rotate:
            self._turn += 1
            first = self._turn % len(servers)
            servers = (*servers[first:], *servers[:first])
        answer, why = b"", DialError("no server", reason="dns")
        for _ in range(says.attempts):
            for server in servers:
                try:
                    with deadline(says.timeout, DialError(f"{server} has not answered in time", reason="dns")):
                        answer = self._ask_one(server, ask, says)
                except DialError as error:
                    why = error
                    continue
                if answer[3] & 0xF not in _NEXT:
                    return answer
        return answer or fail(self._who, why)

    def _ask_one(self, server: IP, ask: Ask, says: Resolv) -> bytes:
        if says.tcp:
            if server not in self._by_stream:
                self._by_stream[server] = Pool(_Dial(self._via, Address(server, PORT)).dial, self._who)
            return self._by_stream[server].exchange(ask)
        if server not in self._by_datagram:
            self._by_datagram[server] = UdpServer(Address(server, PORT), self._via, self._lookup, self._who)
        return self._by_datagram[server].exchange(ask)

    def _forget_all_but(self, says: Resolv) -> None:
        if says is self._says:
            return
        self._says = says
        for gone in [ip for ip in self._by_datagram if ip not in says.servers]:
            self._by_datagram.pop(gone).close()
        for gone in [ip for ip in self._by_stream if ip not in says.servers]:
            self._by_stream.pop(gone).close()

    def close(self) -> None:
        """Give up what is open. Idempotent."""
        for server in self._by_datagram.values():
            server.close()
        for pool in self._by_stream.values():
            pool.close()
        self._by_datagram.clear()
        self._by_stream.clear()


class _Dial:
    """How to reach one of them on a stream."""

    def __init__(self, via: Dialer, server: Address) -> None:
        self._via = via
        self._server = server

    def dial(self, session: Session) -> Stream:
        return self._via.dial(self._server, own_session(session, "tcp", self._server))


def _renamed(ask: Ask, name: str) -> Ask:
    """The same question about another name. Raises ValueError."""
    if name == ask.name:
        return ask
    end = HEAD + len(encode_name(ask.name))
    return Ask(name, ask.type, ask.message[:HEAD] + encode_name(name) + ask.message[end:], ask.session)


def _as_asked(answer: bytes, asked: Ask, ask: Ask) -> bytes:
    """An answer about one name as an answer about the other. Raises DialError for one that can't be read."""
    if asked is ask:
        return answer
    try:
        message = parse(answer)
    except ProtocolError as error:
        raise DialError(f"{asked.name}: {error}", reason="dns") from error
    message.question = Question(ask.name, ask.type)
    message.answer = tuple([r._replace(name=ask.name) if r.name == asked.name else r for r in message.answer])
    return message.encode()
