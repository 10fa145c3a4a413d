"""The channel between the planes when both live in one process."""

from __future__ import annotations

from gproxy.app.messages import ToControl, ToData
from gproxy.rt.sync import Queue


class LocalChannel:
    """Two queues. The data plane has `tell` and `receive`, the control plane `order` and `hear`."""

    def __init__(self) -> None:
        self._to_data: Queue[ToData] = Queue()
        self._to_control: Queue[ToControl] = Queue()

    def tell(self, message: ToControl, descriptor: int | None = None) -> None:
        """See DataEnd. Nothing is ever handed over within a process."""
        self._to_control.put(message)

    def receive(self) -> tuple[ToData, int | None]:
        """See DataEnd."""
        return self._to_data.get(), None

    def order(self, message: ToData) -> None:
        """Control → data. Never waits."""
        self._to_data.put(message)

    def hear(self) -> ToControl:
        """The control plane's next message, waiting for it."""
        return self._to_control.get()
