"""Where a client comes in and its session ends: the one broad except, and the close that always happens."""

from __future__ import annotations

import dataclasses
import logging
from collections.abc import Callable
from typing import Any

from gproxy.base.address import UNSPECIFIED, Address, parse_ip
from gproxy.base.clock import now
from gproxy.base.defaults import UDP_IDLE
from gproxy.base.errors import Denied, GproxyError, Limited
from gproxy.base.iface import Accept, AcceptPackets, Later, PacketConn, Stream
from gproxy.base.session import Session
from gproxy.engine.admission import Admission
from gproxy.engine.table import Table
from gproxy.net.dscp import of_connection
from gproxy.observe import access
from gproxy.observe.meter import Meter
from gproxy.route.facts import Needs
from gproxy.route.owner import owner_of_peer

_log = logging.getLogger("gproxy.engine")


class Boundary:
    """The outermost frame of everything that is done for one client of one inbound."""

    def __init__(
        self,
        tag: str,
        table: Table,
        meter: Meter,
        udp_timeout: float = UDP_IDLE,
        needs: Needs | None = None,
        admission: Admission | None = None,
    ) -> None:
        """`admission` is for what a client carries within his stream; who leads here has asked it about himself."""
        self._tag = tag
        self._admission = admission
        self._needs = needs or Needs()
        self._udp_timeout = udp_timeout
        self._table = table
        self._meter = meter
        self._door = meter.door(tag)

    @property
    def marked(self) -> bool:
        """Whether rules ask for the code points of clients' packets."""
        return self._needs.dscp

    def stream(self, accept: Accept, stream: Stream, name: Any, local: Address | None) -> None:
        """Serve one accepted stream. `name` is the kernel's name of the peer. Never raises."""
        source = Address(parse_ip(name[0]), name[1]) if isinstance(name, tuple) else UNSPECIFIED
        bound = local if local is not None else stream.bound()
        session = Session(self._table.next_id(), "tcp", self._tag, source, UNSPECIFIED, bound)
        session.udp_timeout = self._udp_timeout
        if self._needs.dscp and (fd := stream.bare()) is not None:
            session.dscp = of_connection(fd)
        if self._needs.owner and source is UNSPECIFIED and (fd := stream.bare()) is not None:
            session.owner = owner_of_peer(fd)
        self._serve(accept, stream, session)

    def packets(self, accept: AcceptPackets, conn: PacketConn, source: Address, local: Address, dscp: int = 0) -> None:
        """Serve one client's datagrams; the code point is that of the first. Never raises."""
        session = Session(self._table.next_id(), "udp", self._tag, source, local, local, dscp=dscp)
        session.udp_timeout = self._udp_timeout
        self._serve(accept, conn, session)

    def branch(self, accept: Accept, stream: Stream, session: Session) -> None:
        """Serve one of the streams that a session's stream carries (see Branch), of whatever inbound. Never raises."""
        if session.held is not None:
            session.held.settled()
        if self._admission is not None:
            accept = self._admission.streams(accept)
        branch = dataclasses.replace(session, id=self._table.next_id(), carries=False, held=None, watcher=None)
        self._serve(accept, stream, branch)

    def burst(self, run: Callable[[], None]) -> None:
        """Run in the hub what answers datagrams one by one (see Keeper). Never raises."""
        try:
            run()
        except Exception:  # noqa: BLE001 - a fault of ours in one datagram must not end all others
            self._meter.record("error", 0, 0)
            _log.exception("a datagram of %s failed: this is a fault of gproxy", self._tag)

    def later(self, find: Later) -> bytes:
        """Find the answer to a datagram (see Keeper); nothing if that went wrong. Never raises."""
        try:
            return find()
        except GproxyError as error:
            self._meter.record(error.word, 0, 0)
            _log.debug("a datagram of %s was not answered: %s", self._tag, error)
        except Exception:  # noqa: BLE001 - a fault of ours in one datagram must not touch another
            self._meter.record("error", 0, 0)
            _log.exception("a datagram of %s failed: this is a fault of gproxy", self._tag)
        return b""

    def counted_one(self) -> None:
        """A question that came on a stream was answered."""
        self._meter.queries(1, 0, 0, 0)
        self._door.queries += 1

    def counted(self, answered: int, dropped: int, received: int, sent: int) -> None:
        """See Keeper."""
        self._meter.queries(answered, dropped, received, sent)
        self._door.queries += answered
        self._door.dropped += dropped

    def _serve(self, accept: Any, opened: Stream | PacketConn, session: Session) -> None:
        began = session.began = now()
        door = self._door
        self._table.add(session)
        self._meter.begin()
        door.opened += 1
        door.active += 1
        try:
            accept(opened, session)
        except GproxyError as error:
            session.fail(error)
            self._meter.record(error.word, 0, 0, session)
            quiet = error.reason == "empty" or isinstance(error, Limited | Denied)
            access.finished(session, error.word, 0, 0, now() - began, str(error), quiet=quiet)
        except Exception:  # noqa: BLE001 - a fault of ours in one session must not touch another
            self._meter.record("error", 0, 0, session)
            _log.exception("session %d of %s failed: this is a fault of gproxy", session.id, session.inbound)
        finally:
            opened.close()
            if session.held is not None:
                session.held.close()
                session.held = None
            self._meter.leave()
            door.active -= 1
            self._table.remove(session)
