"""An HTTP inbound between a client that is played and servers that are played."""

from __future__ import annotations

import logging

from gproxy.base.errors import StreamClosed
from gproxy.base.wiring import InboundWiring
from gproxy.protocol.http import INBOUND
from gproxy.protocol.http.options import HttpInboundOptions
from gproxy.relay import relay
from gproxy.rt.deadline import deadline
from gproxy.rt.sync import Queue
from gproxy.schema.fields import Secret
from gproxy.schema.groups import User
from tests.support.pipe import pipe
from tests.support.playbook import play
from tests.support.replays import no_replays

PATIENCE = 5.0


class Server:
    """The far end of one connection to a server: `hear` and `say`."""

    def __init__(self, stream):
        self.stream = stream
        self._heard = b""

    def hear(self, expected):
        with deadline(PATIENCE, AssertionError(f"only heard {self._heard!r}, expected {expected!r}")):
            while len(self._heard) < len(expected) and (data := self.stream.recv()):
                self._heard += data
        heard, self._heard = self._heard[: len(expected)], self._heard[len(expected) :]
        assert heard == expected
        return self

    def say(self, data):
        self.stream.sendall(data)
        return self

    def end(self):
        self.stream.close_write()
        return self

    def reset(self):
        self.stream.abort()

    def hear_end(self):
        """The end, in order or broken, and nothing before it."""
        assert not self._heard
        with deadline(PATIENCE, AssertionError("no end")):
            try:
                assert self.stream.recv() == b""
            except StreamClosed:
                pass
        self.stream.close()
        return self

    def silent(self):
        """Nothing has come that was not heard."""
        return not self._heard and not self.stream.unread


class Upstreams:
    """A Dispatcher that relays to servers in memory, as the engine does."""

    def __init__(self, error=None, *, silently=False, chunk=0):
        self.error = error
        self.silently = silently
        self.chunk = chunk
        self.sessions = []
        self.outcomes = []
        self._servers = Queue()

    def stream(self, session, stream, reply):
        self.sessions.append(session)
        if self.silently:
            stream.abort()
            return
        if self.error is not None:
            reply.reject(self.error)
            return
        near, far = pipe(chunk=self.chunk)
        self._servers.put(Server(far))
        reply.accept(None)
        try:
            outcome = relay(stream, near)
            if outcome.culprit == "right":
                stream.abort()
        finally:
            near.close()
        self.outcomes.append(outcome)

    def packets(self, session, conn):
        raise AssertionError("HTTP has no datagrams")

    def next(self):
        """The server that was connected to next."""
        return self._servers.get(timeout=PATIENCE)

    def targets(self):
        return [str(session.target) for session in self.sessions]


class Lab:
    """`lab.client` talks to the inbound, `lab.server()` is the next server it connects to."""

    def __init__(self, *users, chunk=0, **dispatching):
        self.upstreams = Upstreams(chunk=chunk, **dispatching)
        self.inbound = make_inbound(self.upstreams, *users)
        self.client = play(self.inbound.accept, chunk=chunk)

    def server(self):
        return self.upstreams.next()


def make_inbound(dispatcher, *users):
    options = HttpInboundOptions(
        type="http",
        tag="in",
        users=tuple(User(username=name, password=Secret(password)) for name, password in users),
    )
    wiring = InboundWiring("in", dispatcher, None, no_replays(), logging.getLogger("gproxy.test"), dispatcher)
    return INBOUND.build(options, wiring)
