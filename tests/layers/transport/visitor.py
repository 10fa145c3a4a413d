"""The other side of a link, spoken by h2."""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from typing import Any

from h2.config import H2Configuration
from h2.connection import H2Connection
from h2.events import ConnectionTerminated, DataReceived, Event, ResponseReceived, StreamEnded, TrailersReceived

from gproxy.base.errors import GproxyError, StreamClosed
from gproxy.base.iface import Accept, ServerLayer, Stream
from gproxy.base.session import Session
from gproxy.rt.group import Group
from tests.support.pipe import PipeEnd, pipe
from tests.support.playbook import new_session


class House:
    """A boundary that remembers what ended the streams."""

    def __init__(self) -> None:
        self.failed: list[str] = []
        self.sessions: list[Session] = []

    def branch(self, accept: Accept, stream: Stream, session: Session) -> None:
        self.sessions.append(session)
        try:
            accept(stream, session)
        except GproxyError as error:
            self.failed.append(error.word)
        finally:
            stream.close()


class Peer:
    """h2 on one end of a pipe."""

    def __init__(self, stream: PipeEnd, *, client: bool, **config: Any) -> None:
        self.stream = stream
        self.h2 = H2Connection(H2Configuration(client_side=client, **config))
        self.h2.initiate_connection()
        self.events: list[Event] = []
        self.flush()

    def flush(self) -> None:
        with contextlib.suppress(StreamClosed):  # what it has said before can still be heard
            self.stream.sendall(self.h2.data_to_send())

    def until(self, wanted: Callable[[], Any]) -> Any:
        """Listen until this gives something."""
        while not (found := wanted()):
            data = self.stream.recv()
            assert data, f"the end came first, after {self.events}"
            for event in self.h2.receive_data(data):
                self.events.append(event)
                if isinstance(event, DataReceived):
                    self.h2.acknowledge_received_data(event.flow_controlled_length, event.stream_id)
            self.flush()
        return found

    def of(self, kind: type[Event], number: int = 0) -> list[Any]:
        return [each for each in self.events if isinstance(each, kind) and getattr(each, "stream_id", 0) == number]

    def data(self, number: int) -> bytes:
        return b"".join(each.data for each in self.of(DataReceived, number))

    def answer(self, number: int) -> tuple[dict[str, str], bytes, dict[str, str]]:
        """Fields, payload and trailers of an answer that ends."""
        self.until(lambda: self.of(StreamEnded, number))
        [head] = self.of(ResponseReceived, number)
        trailers = [each.headers for each in self.of(TrailersReceived, number)]
        return dict(head.headers), self.data(number), dict(*trailers)


class Visit(Peer):
    """A client of a server layer."""

    def __init__(self, layer: ServerLayer, then: Accept, group: Group, *, raw: bytes = b"") -> None:
        near, far = pipe()
        self.error: GproxyError | None = None
        self._over = group.spawn(self._serve, layer.accepting(then), far)
        super().__init__(near, client=True, header_encoding="utf-8")

    def _serve(self, accept: Accept, stream: Stream) -> None:
        try:
            accept(stream, new_session())
        except GproxyError as error:
            self.error = error
        finally:
            stream.close()

    def ask(self, number: int, path: str, *, ends: bool = False, **fields: str) -> None:
        head = {":method": "GET", ":scheme": "https", ":authority": "a.test", ":path": path}
        head |= {name.replace("_", "-"): value for name, value in fields.items()}
        head[":method"] = head.pop("method", "GET")
        head[":authority"] = head.pop("host", "a.test")
        self.h2.send_headers(number, list(head.items()), end_stream=ends)
        self.flush()

    def say(self, number: int, data: bytes, *, ends: bool = False) -> None:
        self.h2.send_data(number, data, end_stream=ends)
        self.flush()

    def farewell(self) -> int:
        """The code of the server's goodbye."""
        [goodbye] = self.until(lambda: self.of(ConnectionTerminated))
        return int(goodbye.error_code)

    def leave(self) -> None:
        """Hang up, and see the link's end."""
        self.stream.close()
        self.over()

    def over(self) -> None:
        """See the link's end."""
        self._over.join()
