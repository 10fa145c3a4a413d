"""What the master does when a generation is refused, can't be begun, or dies, and when a process of one does.

Standard library only.
"""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING, Final

from gproxy.app.messages import Serve
from gproxy.base.clock import now
from gproxy.proc import orders
from gproxy.proc.admin import default_path
from gproxy.proc.crashes import Crashes
from gproxy.proc.generation import Generation

if TYPE_CHECKING:
    from gproxy.proc.master import Master

# The template among the workers, for the back-off of its crashes.
_TEMPLATE: Final = -2

# Exit codes: see docs/cli.md.
_FAILED, _REFUSED = 1, 3


class Failures:
    """Whoever was serving goes on. Where nothing does, though something did, it is tried again."""

    def __init__(self, master: Master) -> None:
        self._master = master
        self._crashes = Crashes()
        self.served = False  # some generation has come so far
        self.retrying = False  # nothing serves, and a reload will begin soon

    def refused(self, generation: Generation) -> None:
        """What was coming does not: what was opened for it is closed, and nothing changes."""
        master = self._master
        master.coming = None
        master.slots.remove(generation.opened)
        report = generation.refused or "its template died while it started"
        if master.stopping:
            return
        master.say("error", f"generation {generation.number} was refused:\n{report}")
        code = _REFUSED if generation.misconfigured else _FAILED
        if master.current is None and self.served:
            self.start_over()
        elif master.current is None:
            master.code = code
        else:
            self._go_on(master.current, yielded=generation.state in {"taking over", "starting"})
        master.tell_verdict(ok=False, error=report, code=code, generation=generation.number)

    def not_begun(self, why: str) -> None:
        """There is no process for a new generation."""
        master = self._master
        master.say("error", f"generation {master.number} was not begun: {why}")
        if master.current is not None:
            master.notifier.ready()
        elif self.served:
            self.start_over()
        else:
            master.code = _FAILED
        master.tell_verdict(ok=False, error=why, code=_FAILED, generation=master.number)

    def _go_on(self, current: Generation, *, yielded: bool) -> None:
        """As if nothing had happened."""
        master = self._master
        if yielded:
            master.tell(current, Serve())
        if current.plan is not None:
            with contextlib.suppress(OSError):
                master.admin.listen(current.plan.control or default_path())
        master.notifier.ready()

    def start_over(self) -> None:
        """Nothing serves, though something did: try the configuration again, ever more slowly."""
        self.retrying = True
        self._master.timers.after(self._crashes.wait(_TEMPLATE, now()), self._retry)

    def _retry(self) -> None:
        if self.retrying:
            self._master.reload()

    def died(self, generation: Generation, message: orders.Died) -> None:
        """A process has, by itself. While a generation comes up, that is the end of it; later it is replaced."""
        master = self._master
        name = "control" if message.worker == orders.CONTROL else f"worker {message.worker}"
        master.say("error", f"{name} ({message.pid}) of generation {generation.number} {message.how}")
        if generation is master.coming:
            master.give_up(generation, f"{name} {message.how} while it started")
        elif generation is master.current:
            wait = self._crashes.wait(message.worker, now())
            master.timers.after(wait, lambda: master.tell(generation, orders.ForkAgain(message.worker)))
