"""The master: owns the listening sockets, starts generations, obeys signals and the control socket.

Standard library only, unpatched: it knows no protocol, no TOML and no gevent. It never serves a client, so it has
nothing to lose when it is replaced: an upgrade is an exec of itself, with its sockets and children as they are (see
resume.py).
"""

from __future__ import annotations

import contextlib
import os
import selectors
import signal
import sys
from typing import Any

from gproxy import __version__
from gproxy.app.messages import (
    Debugged,
    Handover,
    Prepared,
    Reopen,
    Serve,
    Serving,
    Stop,
    StopNow,
    Traffic,
    Users,
    Yield,
    Yielded,
)  # fmt: skip
from gproxy.base.clock import now, wall
from gproxy.base.errors import ConfigError
from gproxy.limit.memory import Memory
from gproxy.proc import orders, resume
from gproxy.proc.acts import Act, Record, acted
from gproxy.proc.admin import AdminServer, Request, default_path
from gproxy.proc.arguments import Sources
from gproxy.proc.banning import BanDesk
from gproxy.proc.debug import DebugDesk
from gproxy.proc.failures import Failures
from gproxy.proc.generation import Generation
from gproxy.proc.limits import raise_descriptor_limit
from gproxy.proc.notify import Notifier, inherited
from gproxy.proc.post import MAX_FDS, PostClosed
from gproxy.proc.say import Voice
from gproxy.proc.slots import Slots
from gproxy.proc.status import StatusDesk
from gproxy.proc.tally import Tally
from gproxy.proc.timers import Timers
from gproxy.proc.title import call_process
from gproxy.proc.verdicts import Verdicts

# A new generation must serve by then, in seconds, or it is given up and the old one goes on.
_START_LIMIT = 60.0

# How long the old generation may take to hand over, in seconds, before the new one begins without its flows.
_HANDOVER_LIMIT = 5.0

# More draining generations than this are too many: the oldest ends at once. Each has a process for every worker.
_MOST_DRAINING = 8


class Master:
    """One supervised gproxy. `current` serves, `coming` is on its way, `draining` finish what they have."""

    def __init__(self, sources: Sources) -> None:
        self.sources = sources
        self.slots = Slots()
        self.memory = Memory()  # what no generation may forget when another one comes
        self.users: dict[str, list[list[str]]] = {}  # of managed inbounds, as a service has said last
        self.current: Generation | None = None
        self.coming: Generation | None = None
        self.draining: list[Generation] = []
        self.number = 0
        self.started = wall()
        self.tally = Tally()
        self.code = 0
        self._selector = selectors.DefaultSelector()
        self.admin = AdminServer(self._selector, self._answer)
        self._voice = Voice()
        self.notifier = Notifier()
        self._record = Record(self.say)
        self.timers = Timers()
        self.stopping = 0  # how often it was told to stop
        self._verdicts = Verdicts()
        self.failures = Failures(self)
        self._signals: list[int] = []
        self._desk = StatusDesk(self)
        self._debug = DebugDesk(self)
        self._bans = BanDesk(lambda: self.memory, self.say)

    # -- the loop ------------------------------------------------------------------------------------------------------

    def run(self) -> int:
        """Start the first generation, or go on after an upgrade, and supervise until told to stop; the exit code."""
        self._listen_to_signals()
        for generation in self.generations():
            self._attend(generation)
        if self.current is not None and self.current.plan is not None:
            self.failures.served = True
            self._voice.become(self.current.plan.log)
            self._record.become(self.current.plan.audit)
        self.slots.inherit(inherited())
        self.reload(self._act("start", "start") if self.current is None else self._act("reload", "upgrade"))
        self._pat()
        while self.current or self.coming or self.draining or self.failures.retrying:
            for key, _ in self._selector.select(self.timers.next_in()):
                key.data()
            self.timers.run_due()
        self.admin.close()
        self.slots.close()
        return self.code

    def generations(self) -> list[Generation]:
        """All of them, the oldest first."""
        return [*self.draining, *(each for each in (self.current, self.coming) if each is not None)]

    def _listen_to_signals(self) -> None:
        read, write = os.pipe2(os.O_CLOEXEC | os.O_NONBLOCK)
        signal.set_wakeup_fd(write)
        for number in resume.SIGNALS:
            signal.signal(number, lambda number, _: self._signals.append(number))
        signal.pthread_sigmask(signal.SIG_UNBLOCK, resume.SIGNALS)  # an upgrade keeps them until here
        self._selector.register(read, selectors.EVENT_READ, lambda: self._signalled(read))

    def _signalled(self, pipe: int) -> None:
        with contextlib.suppress(BlockingIOError):
            while os.read(pipe, 512):
                pass
        while self._signals:
            number = self._signals.pop(0)
            if number == signal.SIGHUP:
                if signal.SIGUSR2 not in self._signals:  # an upgrade is a reload, too
                    self.reload(self._act("reload"))
            elif number == signal.SIGUSR1:
                self._reopen()
                self._act("reopen").answer(ok=True)
            elif number == signal.SIGUSR2:
                self.upgrade(self._act("upgrade"))
            elif number == signal.SIGCHLD:
                self._reap()
            else:
                self.stop(self._act("stop"))

    def _act(self, event: str, by: str = "signal") -> Act:
        return Act(self._record.write, event, by=by)

    def _reopen(self) -> None:
        for generation in self.generations():
            self.tell(generation, Reopen())

    def take_signals(self) -> list[int]:
        """Those that have come and are not obeyed yet; they are the caller's now."""
        taken, self._signals = self._signals, []
        return taken

    def _attend(self, generation: Generation) -> None:
        self._selector.register(generation.post, selectors.EVENT_READ, lambda: self._hear(generation))

    def say(self, level: str, text: str) -> None:
        """In the log."""
        self._voice.say(level, text)

    # -- what may be asked ---------------------------------------------------------------------------------------------

    def reload(self, request: Request | None = None) -> None:
        """Begin a new generation. Its verdict goes to the log, and to `request`."""
        if self.stopping:
            if request is not None:
                request.answer(ok=False, error="gproxy is stopping")
            return
        if self.coming is not None:
            self._verdicts.wait_for_next(request)
            return
        self.failures.retrying = False
        self.number += 1
        self._verdicts.wait(request)
        if self.current is not None:
            self.notifier.reloading()
        try:
            self.coming = generation = Generation.start(self.number, self.sources, now(), self.memory.fd)
        except OSError as error:  # no memory or no place for another process; there may be later
            self.failures.not_begun(f"can't start a process: {error.strerror}")
            return
        self._attend(generation)
        self.timers.after(_START_LIMIT, lambda: self.give_up(generation, "it was not ready in time"))

    def upgrade(self, request: Request | None = None) -> None:
        """Go on as the code that is installed now: exec it with all sockets and children, then reload."""
        problem = "gproxy is stopping" if self.stopping else "a reload is under way" if self.coming else resume.trial()
        if problem:
            self.say("error", f"no upgrade: {problem}")
            if request is not None:
                request.answer(ok=False, error=problem)
            return
        if request is not None:
            request.answer(ok=True, message="upgrading; `gproxy status` tells the new version when it serves")
        self.say("info", f"upgrading from {__version__}")
        try:
            resume.execute(self)
        except OSError as error:
            self.say("error", f"no upgrade: {error}")
            self._act("upgrade").answer(ok=False, error=str(error))

    def stop(self, request: Request | None = None) -> None:
        """The first time, let sessions end for a while; the second time, end them at once."""
        self.stopping += 1
        self.failures.retrying = False
        grace = self._stop_grace()
        self.notifier.stopping(grace)
        if self.stopping == 1:
            self.say("info", "stopping")
            self.admin.close()
        if self.coming is not None and self.coming.state in {"loading", "forking"}:
            os.kill(self.coming.pid, signal.SIGKILL)
        for generation in self.generations():
            self.tell(generation, Stop(grace) if self.stopping == 1 else StopNow())
        if request is not None:
            request.answer(ok=True)

    def _stop_grace(self) -> float:
        plan = self.current.plan if self.current is not None else None
        return plan.stop_grace if plan is not None else 0.0

    def _answer(self, request: Request) -> None:
        """The control socket's questions."""
        request = acted(request, self._record.write)
        asked = request.values.get("ask")
        if asked == "status":
            self._desk.ask(request)
        elif asked == "reload":
            self.reload(request)
        elif asked == "upgrade":
            self.upgrade(request)
        elif asked == "stop":
            self.stop(request)
        elif asked in ("debug", "explain"):
            self._debug.ask(request)
        elif asked == "ban":
            plan = self.current.plan if self.current is not None else None
            self._bans.answer(request, plan.bans if plan is not None else None)
        else:
            request.answer(ok=False, error="ask one of status, reload, upgrade, stop, ban, debug, explain")

    # -- what a generation says ----------------------------------------------------------------------------------------

    def _hear(self, generation: Generation) -> None:
        try:
            message, descriptors = generation.post.receive()
        except PostClosed:
            self._lost(generation)
            return
        if isinstance(message, orders.Refused):
            generation.refused = message.report
            generation.misconfigured = True
        elif isinstance(message, orders.Plan):
            self._provide(generation, message)
        elif isinstance(message, orders.Forked):
            generation.processes[message.worker] = message.pid
        elif isinstance(message, orders.Died):
            self.failures.died(generation, message)
        elif isinstance(message, Prepared):
            self._take_over(generation)
        elif isinstance(message, Handover):
            self._hand_over(generation, message, descriptors)
        elif isinstance(message, Yielded):
            self._begin_serving()
        elif isinstance(message, Serving):
            self._installed(generation)
        elif isinstance(message, Users):
            self._spread(generation, message)
        elif isinstance(message, Traffic):
            self._pass_on(generation, message)
        elif isinstance(message, Debugged):
            self._debug.hear(generation, message)
        elif isinstance(message, orders.Rotated):
            self._reopen()
        elif isinstance(message, orders.Status):
            self._desk.hear(generation, message)
            if not message.request:
                self.notifier.watchdog()

    def tell(self, generation: Generation, message: object, descriptors: tuple[int, ...] = ()) -> None:
        with contextlib.suppress(PostClosed):  # its end is readable now, and that is where we notice
            generation.post.send(message, descriptors)

    def _provide(self, generation: Generation, plan: orders.Plan) -> None:
        """Give a new generation the sockets that it needs, opening those that are not there yet."""
        generation.accept_plan(plan)
        try:
            generation.opened = self.slots.open(generation.endpoints, max(1, plan.workers), shared=True)
            self.admin.listen(plan.control or default_path())
        except (ConfigError, OSError) as error:
            place = plan.control or default_path()
            text = str(error) if isinstance(error, ConfigError) else f"no control socket at {place}: {error.strerror}"
            self.give_up(generation, text)
            return
        places = [
            (index, slot, sock.fileno())
            for index, endpoint in enumerate(generation.endpoints)
            for slot, sock in enumerate(self.slots.of(endpoint))
        ]
        for first in range(0, len(places), MAX_FDS):
            batch = places[first : first + MAX_FDS]
            pairs = [[index, slot] for index, slot, _ in batch]
            self.tell(generation, orders.Sockets(pairs), tuple(fd for _, _, fd in batch))
        generation.state = "forking"
        for inbound, users in self.users.items():
            if generation.manages(inbound):
                self.tell(generation, Users(inbound, users))
        before = self.current
        lacking = [tag for tag in plan.managed if before is None or not before.manages(tag)]
        self.tell(generation, orders.Fork(lacking, generation.number))

    def _spread(self, generation: Generation, message: Users) -> None:
        """A service has said who the users are: all generations obey, and those that come later."""
        if generation.state == "draining":
            return
        self.users[message.inbound] = message.users
        for other in self.generations():
            if other is not generation and other.manages(message.inbound):
                self.tell(other, message)

    def _pass_on(self, generation: Generation, message: Traffic) -> None:
        """What a generation that was replaced has counted, and what its last sessions move."""
        current = self.current
        if current is None or current is generation:
            return
        if rows := [row for row in message.rows if current.manages(row[0])]:
            self.tell(current, Traffic(rows))

    def _take_over(self, generation: Generation) -> None:
        """All is ready: let the serving generation yield, so that only one reads the sockets at a time."""
        if generation is not self.coming:
            return
        generation.state = "taking over"
        if self.current is None:
            self._begin_serving()
            return
        self.tell(self.current, Yield())
        self.timers.after(_HANDOVER_LIMIT, lambda: self._wait_no_longer(generation))

    def _hand_over(self, generation: Generation, message: Handover, descriptors: list[int]) -> None:
        """Pass flows on to the generation that takes over, if it has their socket too."""
        endpoint = generation.endpoints[message.endpoint]
        coming = self.coming
        index = None if coming is None else self.slots.heir(endpoint, coming.endpoints)
        if coming is not None and index is not None:
            self.tell(coming, Handover(index, message.slot, message.clients), tuple(descriptors))
        for fd in descriptors:
            os.close(fd)

    def _wait_no_longer(self, generation: Generation) -> None:
        if generation is self.coming:
            self._begin_serving()

    def _begin_serving(self) -> None:
        if self.coming is not None and self.coming.state == "taking over":
            self.coming.state = "starting"
            self.tell(self.coming, Serve())

    def _installed(self, generation: Generation) -> None:
        """The new generation serves: the old one may finish."""
        if generation is not self.coming or generation.plan is None:
            return
        self.coming, old, self.current = None, self.current, generation
        generation.state = "serving"
        self.failures.served = True
        self._voice.become(generation.plan.log)
        self._record.become(generation.plan.audit)
        if old is not None:
            self._retire(old, generation.plan.grace)
        self.slots.remove(endpoint for endpoint in self.slots.endpoints() if endpoint not in generation.endpoints)
        self.slots.store(self.notifier)
        listening = ", ".join(map(str, self.slots.endpoints())) or "nothing"
        self.say("info", f"generation {generation.number} serves with {generation.plan.workers} workers: {listening}")
        self.notifier.ready(f"generation {generation.number}, {generation.plan.workers} workers, {listening}")
        self.tell_verdict(ok=True, generation=generation.number)
        self._record.settle()

    def _retire(self, old: Generation, grace: float) -> None:
        old.state = "draining"
        self.draining.append(old)
        self.tell(old, Stop(grace))
        if len(self.draining) > _MOST_DRAINING:
            self.say("warn", f"generation {self.draining[0].number} ends early: too many are draining")
            self.tell(self.draining[0], StopNow())

    def tell_verdict(self, **verdict: Any) -> None:
        """To all who wait for it; and begin what was asked for meanwhile."""
        if self._verdicts.tell(**verdict):
            self.reload()

    # -- failures ------------------------------------------------------------------------------------------------------

    def give_up(self, generation: Generation, why: str) -> None:
        """A generation that did not come so far as to serve: kill it. Its end comes as the end of its channel."""
        if generation is self.coming:
            generation.refused = generation.refused or why
            with contextlib.suppress(ProcessLookupError):
                os.kill(generation.pid, signal.SIGKILL)

    def _lost(self, generation: Generation) -> None:
        """Its channel is closed: its template has ended, or is as good as dead."""
        self._selector.unregister(generation.post)
        generation.post.close()
        self.tally.close(generation.number)
        if generation is self.coming:
            self.failures.refused(generation)
        elif generation is self.current:
            self.current = None
            if not self.stopping:
                self.say("error", f"the template of generation {generation.number} has died: a new one begins")
                self.failures.start_over()
        else:
            self.draining.remove(generation)
            self.say("info", f"generation {generation.number} has ended")

    def _reap(self) -> None:
        """Collect dead children: templates, and workers whose template died before them."""
        with contextlib.suppress(ChildProcessError):
            while os.waitpid(-1, os.WNOHANG)[0]:
                pass

    def _pat(self) -> None:
        """Show the service manager a sign of life, if the generation that serves gives one (see `Status`)."""
        interval = self.notifier.watchdog_interval()
        if interval is not None:
            if self.current is not None:
                self.tell(self.current, orders.AskStatus(0))
            else:
                self.notifier.watchdog()
            self.timers.after(interval, self._pat)


def main() -> int:
    """Be the master. The only argument is the sources, as JSON."""
    call_process("gproxy")
    become_subreaper()
    raise_descriptor_limit()  # all others inherit it
    master = Master(Sources.from_json(sys.argv[1]))
    resume.restore(master)
    return master.run()


def become_subreaper() -> None:
    """Workers whose template has died become ours."""
    import ctypes

    pr_set_child_subreaper = 36
    ctypes.CDLL(None).prctl(pr_set_child_subreaper, 1, 0, 0, 0)


if __name__ == "__main__":
    sys.exit(main())
