"""Where a client comes in and its session ends: the one broad except, and the close that always happens."""

from __future__ import annotations

import dataclasses
import logging
from typing import Any

from gproxy.base.address import UNSPECIFIED, Address, parse_ip
from gproxy.base.clock import now
from gproxy.base.defaults import UDP_IDLE
from gproxy.base.errors import GproxyError
from gproxy.base.iface import Accept, AcceptPackets, PacketConn, Stream
from gproxy.base.session import Session
from gproxy.engine.table import Table
from gproxy.observe import access
from gproxy.observe.meter import Meter

_log = logging.getLogger("gproxy.engine")


class Boundary:
    """The outermost frame of everything that is done for one client of one inbound."""

    def __init__(self, tag: str, table: Table, meter: Meter, udp_timeout: float = UDP_IDLE) -> None:
        self._tag = tag
        self._udp_timeout = udp_timeout
        self._table = table
        self._meter = meter

    def stream(self, accept: Accept, stream: Stream, name: Any, local: Address | None) -> None:
        """Serve one accepted stream. `name` is the kernel's name of the peer. Never raises."""
        source = Address(parse_ip(name[0]), name[1]) if isinstance(name, tuple) else UNSPECIFIED
        bound = local if local is not None else stream.bound()
        session = Session(self._table.next_id(), "tcp", self._tag, source, UNSPECIFIED, bound)
        session.udp_timeout = self._udp_timeout
        self._serve(accept, stream, session)

    def packets(self, accept: AcceptPackets, conn: PacketConn, source: Address, local: Address) -> None:
        """Serve one client's datagrams. Never raises."""
        session = Session(self._table.next_id(), "udp", self._tag, source, local, local)
        session.udp_timeout = self._udp_timeout
        self._serve(accept, conn, session)

    def branch(self, accept: Accept, stream: Stream, session: Session) -> None:
        """Serve one of the streams that a session's stream carries (see Branch), of whatever inbound. Never raises."""
        self._serve(accept, stream, dataclasses.replace(session, id=self._table.next_id(), carries=False))

    def _serve(self, accept: Any, opened: Stream | PacketConn, session: Session) -> None:
        began = now()
        self._table.add(session)
        self._meter.begin()
        try:
            accept(opened, session)
        except GproxyError as error:
            self._meter.record(error.word, 0, 0)
            quiet = error.reason == "empty"
            access.finished(session, error.word, 0, 0, now() - began, str(error), quiet=quiet)
        except Exception:  # noqa: BLE001 - a fault of ours in one session must not touch another
            self._meter.record("error", 0, 0)
            _log.exception("session %d of %s failed: this is a fault of gproxy", session.id, session.inbound)
        finally:
            opened.close()
            self._meter.leave()
            self._table.remove(session)
