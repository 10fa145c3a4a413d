"""The template: one for each generation. It loads everything once, freezes it, and forks control and workers from it.

It never runs a hub: it loops, blocking, on its channels and on a pipe that tells of dead children, with the system's
own calls. So what it forks is a process in which nothing of gevent has begun. It starts as
`python -m gproxy.proc.template`, with the channel to its master as a descriptor, and ends when its last worker has.
"""

from __future__ import annotations

from gproxy.rt.patch import hub_exists, original, patch

if __name__ == "__main__":
    patch()

import contextlib
import logging
import os
import signal
import sys
from _socket import socket, socketpair
from collections.abc import Iterator
from dataclasses import asdict, dataclass, replace
from select import POLLIN, POLLOUT
from typing import NoReturn

from gproxy.app.build import House, build
from gproxy.app.messages import (
    AskDebug,
    Debugged,
    Handover,
    Prepared,
    Reopen,
    RuleSetChanged,
    Serve,
    Serving,
    Snapshot,
    Stop,
    StopNow,
    Stopped,
    Supplied,
    Traffic,
    Users,
    Yield,
    Yielded,
)  # fmt: skip
from gproxy.base.errors import ConfigError
from gproxy.config.load import load
from gproxy.config.root import Root, read_root
from gproxy.limit.memory import Memory
from gproxy.observe import access, audit
from gproxy.observe.books import Books
from gproxy.observe.log import setup
from gproxy.observe.sink import Sink
from gproxy.proc import control, orders, worker
from gproxy.proc.arguments import Arguments
from gproxy.proc.beat import HUNG, Beats
from gproxy.proc.heap import settle
from gproxy.proc.orders import CONTROL, KINDS
from gproxy.proc.place import Place
from gproxy.proc.post import Post, PostClosed
from gproxy.proc.title import call_process

_log = logging.getLogger("gproxy.proc")

_poll = original("select", "poll")  # not select, which knows no descriptor above 1023
_fork = original("os", "fork")
_signal = original("signal", "signal")

# How often heartbeats are looked at, in seconds.
_LOOK = 1.0

# How long a hung worker may take to write down its stack before it is killed, in seconds.
_LAST_WORDS = 3.0


@dataclass(slots=True)
class Child:
    """A process of this generation."""

    worker: int
    pid: int
    life: int
    post: Post | None  # None: its channel is closed, and its end comes by SIGCHLD or has come
    stopped: bool = False  # it has said that it ends, or was told to
    hung: float = 0.0  # when it was told to write down its stack


class Template:
    """Stands between the master and the processes of one generation, and passes on what they say."""

    def __init__(self, master: Post, root: Root, house: House, workers: int, sink: Sink) -> None:
        self._master: Post | None = master
        self._sink = sink
        self._root = root
        self._house = house
        self._workers = workers
        self._descriptors: dict[tuple[int, int], int] = {}
        self._children: dict[int, Child] = {}
        self._lives: dict[int, int] = {}
        self._counted: dict[tuple[int, int], orders.Counted] = {}  # for a control that has to begin anew
        self._books = Books()  # for that, too
        self._users: dict[str, Users] = {}  # of managed inbounds, as was said last
        self._supplied: dict[str, Supplied] = {}  # certificates that came since, by their provider
        self._rule_sets: dict[str, tuple[RuleSetChanged, list[int]]] = {}  # by tag: new versions since
        self._load: list[str] = []  # the managed inbounds of which no generation before knows anything
        self._managed = house.services.management.inbounds()
        self._replaced = False  # another generation serves: it keeps the books of managed inbounds
        self._said: dict[type, set[int]] = {Prepared: set(), Serving: set(), Yielded: set()}
        self._generation = 0
        self._serving = False
        self._stopping = False
        self._phase: Serve | Yield | None = None  # the last that was ordered
        self._beats = Beats(workers)
        self._dead_read, self._dead_write = os.pipe2(os.O_CLOEXEC | os.O_NONBLOCK)

    def run(self) -> None:
        """Loop until the last worker has ended."""
        _signal(signal.SIGCHLD, lambda *_: None)
        signal.set_wakeup_fd(self._dead_write)
        while not (self._stopping and not any(self._living_workers())):
            readable = [self._dead_read, *(child.post.fileno() for child in self._children.values() if child.post)]
            if self._master is not None:
                readable.append(self._master.fileno())
            for fd in _ready(readable, _LOOK):
                self._hear(fd)
            self._find_hung()
        self._end_control()

    def _hear(self, fd: int) -> None:
        if fd == self._dead_read:
            self._reap()
        elif self._master is not None and fd == self._master.fileno():
            self._obey()
        else:
            for child in list(self._children.values()):
                if child.post is not None and child.post.fileno() == fd:
                    self._listen_to(child, child.post)

    def _living_workers(self) -> Iterator[Child]:
        return (child for child in self._children.values() if child.worker != CONTROL)

    # -- the master ----------------------------------------------------------------------------------------------------

    def _obey(self) -> None:
        assert self._master is not None
        try:
            message, descriptors = self._master.receive()
        except PostClosed:  # nobody will ever replace us: let the clients finish
            self._master.close()
            self._master = None
            self._stop(Stop(self._root.runtime.stop_grace))
            return
        if isinstance(message, orders.Sockets):
            self._descriptors.update(zip(map(_place, message.places), descriptors, strict=True))
        elif isinstance(message, orders.Fork):
            self._load = self._managed if message.load is None else message.load
            self._generation = message.generation
            self._fork_all()
        elif isinstance(message, Users):
            self._spread(message)
        elif isinstance(message, Traffic):
            self._enter(message)
        elif isinstance(message, orders.ForkAgain):
            self._fork_one(message.worker)
        elif isinstance(message, orders.AskStatus):
            self._tell(self._children.get(CONTROL), message)
        elif isinstance(message, AskDebug):
            for child in list(self._children.values()):
                if message.worker in {None, child.worker}:
                    self._tell(child, message)
        elif isinstance(message, Handover):
            self._tell(self._children.get(message.slot % self._workers), message, descriptors)
            _close(descriptors)
        elif isinstance(message, Stop | StopNow):
            self._stop(message)
        elif isinstance(message, Serve | Yield | Reopen):
            self._serving = self._serving or isinstance(message, Serve)
            if isinstance(message, Serve):
                self._said[Yielded].clear()
            if isinstance(message, Reopen):
                with contextlib.suppress(OSError):  # the workers say so
                    self._sink.reopen()
            else:
                self._phase = message
            for child in self._children.values():
                self._tell(child, message)

    def _stop(self, message: Stop | StopNow) -> None:
        self._stopping = True
        for child in list(self._children.values()):
            child.stopped = child.stopped or child.worker != CONTROL
            self._tell(child, message)
        if isinstance(self._phase, Yield) and not self._replaced:
            self._replaced = True
            if rows := self._books.rows(self._managed):
                self._report(Traffic(rows))

    def _spread(self, message: Users) -> None:
        """From the master, or from control: everybody else is to know."""
        self._users[message.inbound] = message
        for child in list(self._children.values()):
            self._tell(child, message)

    def _change_rule_set(self, message: RuleSetChanged, descriptors: list[int]) -> None:
        """From control: all workers are to know, and those that replace them."""
        _, before = self._rule_sets.get(message.tag, (message, []))
        self._rule_sets[message.tag] = message, descriptors
        _close(before)
        for each in list(self._living_workers()):
            self._tell(each, message, descriptors)

    def _enter(self, message: Traffic) -> None:
        """Into the books: ours, which a control that begins anew gets, and those of control, or of our successor."""
        if self._replaced:
            if rows := [row for row in message.rows if row[0] in self._managed]:
                self._report(Traffic(rows))
        else:
            self._books.add(message.rows)
            self._tell(self._children.get(CONTROL), message)

    def _report(self, message: object, descriptors: tuple[int, ...] = ()) -> None:
        if self._master is not None:
            try:
                self._master.send(message, descriptors)
            except PostClosed:
                return  # its end of the channel is readable now, and that is where we notice

    # -- the children --------------------------------------------------------------------------------------------------

    def _listen_to(self, child: Child, post: Post) -> None:
        try:
            message, descriptors = post.receive()
        except PostClosed:
            return _hang_up(child)
        if isinstance(message, Prepared | Serving | Yielded):
            self._note(type(message), child)
        elif isinstance(message, Handover):
            self._report(message, tuple(descriptors))
            _close(descriptors)
        elif isinstance(message, Snapshot):
            counted = orders.Counted(child.worker, child.life, asdict(message))
            self._counted[child.worker, child.life] = counted
            self._tell(self._children.get(CONTROL), counted)
        elif isinstance(message, Traffic) and child.worker == CONTROL:  # it has that in its own books
            self._books.add(message.rows)
        elif isinstance(message, Traffic):
            self._enter(message)
        elif isinstance(message, Users):
            self._users[message.inbound] = message
            for each in list(self._living_workers()):
                self._tell(each, message)
            self._report(message)
        elif isinstance(message, Supplied):
            self._supplied[message.provider] = message
            for each in list(self._living_workers()):
                self._tell(each, message)
        elif isinstance(message, RuleSetChanged):
            self._change_rule_set(message, descriptors)
        elif isinstance(message, Stopped):
            child.stopped = True
        elif isinstance(message, Debugged):
            self._report(replace(message, worker=child.worker))
        elif isinstance(message, orders.Status | orders.Rotated):
            self._report(message)
        return None

    def _note(self, what: type[Prepared | Serving | Yielded], child: Child) -> None:
        """Tell the master when all have said so, control too; what was replaced begins to serve at once."""
        everyone = self._said[what]
        complete = len(everyone) > self._workers
        if complete and what is Prepared and isinstance(self._phase, Serve):
            self._tell(child, Serve())
        everyone.add(child.worker)
        if not complete and len(everyone) > self._workers:
            self._report(what())

    @staticmethod
    def _tell(child: Child | None, message: object, descriptors: list[int] | None = None) -> None:
        """A child that does not take its messages is cut off: it sees that, finishes, and is replaced."""
        if child is not None and child.post is not None:
            try:
                child.post.send(message, descriptors or ())
            except PostClosed:
                _hang_up(child)

    def _reap(self) -> None:
        while _drain(self._dead_read):
            pass
        for child in list(self._children.values()):
            pid, status = os.waitpid(child.pid, os.WNOHANG)
            if pid:
                self._hear_out(child)
                del self._children[child.worker]
                if not child.stopped and not self._stopping:
                    self._report(orders.Died(child.worker, child.pid, _how(status)))

    def _hear_out(self, child: Child) -> None:
        """The last that it said is still in its channel."""
        while child.post is not None and _ready([child.post.fileno()], 0):
            self._listen_to(child, child.post)
        _hang_up(child)

    def _find_hung(self) -> None:
        if not self._serving:
            return
        for child in self._living_workers():
            silence = self._beats.silence(child.worker)
            if silence < HUNG:
                child.hung = 0.0
            elif not child.hung:
                child.hung = silence
                _log.error("worker %d (%d) hangs for %.0f s: its stack follows", child.worker, child.pid, silence)
                os.kill(child.pid, signal.SIGABRT)
            elif silence - child.hung > _LAST_WORDS:
                os.kill(child.pid, signal.SIGKILL)

    def _end_control(self) -> None:
        child = self._children.get(CONTROL)
        if child is not None:
            if child.post is not None:
                child.post.end()
            while child.post is not None and _ready([child.post.fileno()], _LAST_WORDS):
                self._listen_to(child, child.post)
            _hang_up(child)
            os.kill(child.pid, signal.SIGKILL)
            os.waitpid(child.pid, 0)

    # -- forking -------------------------------------------------------------------------------------------------------

    def _fork_all(self) -> None:
        settle()
        for number in (CONTROL, *range(self._workers)):
            self._fork_one(number)

    def _fork_one(self, number: int) -> None:
        assert not hub_exists(), "a template never makes a hub"
        ours, theirs = socketpair()
        self._beats.beat(number)
        pid = _fork()
        if pid == 0:
            ours.close()
            self._become(number, theirs)
        theirs.close()
        self._lives[number] = self._lives.get(number, -1) + 1
        post = Post(ours, KINDS, _wait_readable, _wait_writable)
        child = self._children[number] = Child(number, pid, self._lives[number], post)
        for users in self._users.values():
            self._tell(child, users)
        for changed, descriptors in self._rule_sets.values():
            self._tell(child, changed, descriptors)
        if number != CONTROL:
            for supplied in self._supplied.values():
                self._tell(child, supplied)
        if number == CONTROL:
            for counted in self._counted.values():
                self._tell(child, counted)
            self._tell(child, Traffic(self._books.rows()))
            self._tell(child, orders.Begin(self._load))
            self._load = []
        self._report(orders.Forked(number, pid))

    def _become(self, number: int, theirs: socket) -> NoReturn:
        """In the child: let go of what is the template's, and be that process until the end."""
        code = 1
        try:
            self._shed()
            place = Place(number, self._workers, theirs, self._beats, self._generation)
            call_process("gproxy-control" if number == CONTROL else f"gproxy-worker{number}")
            if number == CONTROL:
                control.main(place, self._root, self._house, self._descriptors)
            else:
                worker.main(place, self._root, self._house, self._descriptors)
            code = 0
        except BaseException:  # noqa: BLE001 - whatever it is, a child must not go on as a second template
            sys.excepthook(*sys.exc_info())
        finally:
            os._exit(code)

    def _shed(self) -> None:
        signal.set_wakeup_fd(-1)
        _signal(signal.SIGCHLD, signal.SIG_DFL)
        os.close(self._dead_read)
        os.close(self._dead_write)
        if self._root.log.output:
            os.close(self._sink.fileno())  # each process opens its own
        if self._master is not None:
            self._master.close()
        for _, descriptors in self._rule_sets.values():
            _close(descriptors)
        for child in self._children.values():
            _hang_up(child)


def _hang_up(child: Child) -> None:
    if child.post is not None:
        child.post.close()
        child.post = None


def _place(pair: list[int]) -> tuple[int, int]:
    endpoint, slot = pair
    return endpoint, slot


def _close(descriptors: list[int]) -> None:
    for fd in descriptors:
        os.close(fd)


def _drain(fd: int) -> bytes:
    try:
        return os.read(fd, 4096)
    except BlockingIOError:
        return b""


def _how(status: int) -> str:
    code = os.waitstatus_to_exitcode(status)
    return f"was killed by {signal.Signals(-code).name}" if code < 0 else f"exited with status {code}"


def _ready(descriptors: list[int], seconds: float | None = None, events: int = POLLIN) -> list[int]:
    """Those that are ready, or have ended, waiting for the first one so long at most."""
    poll = _poll()
    for fd in descriptors:
        poll.register(fd, events)
    return [fd for fd, _ in poll.poll(None if seconds is None else seconds * 1000)]


def _wait_for_master_to_say(fd: int) -> None:
    _ready([fd])


def _wait_for_master_to_read(fd: int) -> None:
    _ready([fd], events=POLLOUT)


def _wait_readable(fd: int) -> None:
    """Raises PostClosed when the rest of a message does not come for too long."""
    if not _ready([fd], _LAST_WORDS):
        raise PostClosed("the rest of a message does not come")


def _wait_writable(fd: int) -> None:
    """Raises PostClosed when the other side does not read for too long: nobody waits for a process that hangs."""
    if not _ready([fd], _LAST_WORDS, POLLOUT):
        raise PostClosed("it does not read its messages")


def _load(arguments: Arguments) -> Root:
    """Read the configuration. Raises ConfigError."""
    sources = arguments.sources
    if sources.base:
        os.chdir(sources.base)
    return read_root(load(sources.files, sources.directories))


def _shared_memory(fd: int) -> Memory:
    """The master's. One of other code may have none, or one of another layout: then each generation has its own."""
    try:
        return Memory.adopt(fd)
    except ValueError:
        return Memory()


def _open_log(root: Root) -> Sink:
    try:
        sink = setup(root.log)
    except OSError as error:
        raise ConfigError(f"can't open the log {root.log.output}: {error.strerror}") from error
    access.probe(root.log.access)
    audit.probe(root.log.audit)
    return sink


def _audit(root: Root) -> dict[str, str] | None:
    """What the master has to know of the audit log."""
    options = root.log.audit
    if options is None:
        return None
    return {"output": options.output, "format": options.format, "clients": root.log.clients}


def main() -> int:
    """Be the template of a new generation. The channel's descriptor and the sources are the only argument, as JSON."""
    call_process("gproxy-template")
    arguments = Arguments.from_json(sys.argv[1])
    master = Post(socket(fileno=arguments.channel), KINDS, _wait_for_master_to_say, _wait_for_master_to_read)
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGUSR1, signal.SIGUSR2):
        _signal(number, signal.SIG_IGN)  # the terminal sends them to everyone, and the master speaks for all
    try:
        root = _load(arguments)
        sink = _open_log(root)  # what is built may have something to say
        house = build(root, _shared_memory(arguments.memory))
    except (ConfigError, OSError) as error:
        master.send(orders.Refused(str(error)))
        return 1
    runtime = root.runtime
    workers = int(runtime.workers)
    master.send(
        orders.Plan(
            [orders.endpoint_to_json(endpoint) for endpoint in house.endpoints()],
            workers, runtime.grace, runtime.stop_grace, runtime.control,
            {"output": root.log.output, "format": root.log.format, "timestamp": root.log.timestamp,
             "disabled": root.log.disabled, "level": root.log.level},
            house.services.management.inbounds(),
            list(map(str, root.bans.allow)) if root.bans is not None and root.bans.enabled else None,
            debug=True,
            audit=_audit(root),
        )
    )  # fmt: skip
    Template(master, root, house, workers, sink).run()
    return 0


if __name__ == "__main__":
    sys.exit(main())
