"""Cooperative primitives under the names that the rest of the house uses."""

from __future__ import annotations

from gevent import sleep
from gevent.event import AsyncResult, Event
from gevent.lock import RLock as Lock
from gevent.queue import Empty, Full, Queue

__all__ = ["AsyncResult", "Empty", "Event", "Full", "Lock", "Queue", "sleep"]
