"""Which process of this machine a client is: by its socket, which the kernel finds, and by who holds that socket open.

The kernel tells the socket's user and number at once, to everybody. Who holds it stands in `/proc/PID/fd`, which only
the same user may read, and whoever has CAP_SYS_PTRACE: for clients of other users nothing more than the user may be
found out. That search takes time, so it is done in a thread, by one at a time, and begins with the processes that were
found before.

Of a unix socket the kernel has noted the process that connected.
"""

from __future__ import annotations

import contextlib
import grp
import os
import pwd
import socket as consts
from _socket import socket
from collections import OrderedDict
from collections.abc import Iterable, Iterator
from ipaddress import IPv4Address, IPv6Address

from gproxy.base.address import IP, Address
from gproxy.base.clock import now
from gproxy.base.session import Owner, Session
from gproxy.net.netlink import Netlink
from gproxy.net.sockopt import peer_of
from gproxy.rt.offload import offload
from gproxy.rt.sync import Lock
from gproxy.wire import netlink as wire

_REMEMBERED = 1024  # sockets
_REMEMBERED_SECONDS = 60.0  # a process may hand its socket on, or become another by exec
_RECENT = 32  # processes
_ACCOUNTS = 256
_ACCOUNT_SECONDS = 300.0
_MOST_FILES = 200_000  # that one search looks at
_UNITS = (".service", ".scope", ".socket", ".slice", ".mount", ".swap")
_NOWHERE: dict[int, IP] = {4: IPv4Address(0), 6: IPv6Address(0)}


class Owners:
    """Finds the owners of clients' sockets."""

    def __init__(self, proc: str = "/proc") -> None:
        self._proc = proc
        self._sockets = Netlink(wire.SOCK_DIAG)
        self._routes = Netlink(wire.ROUTE)
        self._known: OrderedDict[int, tuple[Owner, float]] = OrderedDict()  # by the socket's number
        self._recent: OrderedDict[int, None] = OrderedDict()  # processes, those found last at the end
        self._accounts: OrderedDict[int, tuple[str, tuple[str, ...], float]] = OrderedDict()
        self._searching = Lock()

    def find(self, session: Session) -> Owner | None:
        """The client's process; None if the client is not on this machine. It may wait for a search."""
        found = self._socket_of(session)
        if found is None:
            return None
        owner = self._remembered(found.inode)
        if owner is None:
            with self._searching:
                owner = self._remembered(found.inode) or offload(self._search, found.inode, found.user_id)
                self._remember(found.inode, owner)
        return owner

    def close(self) -> None:
        """Give back what the kernel is asked with. Idempotent; another question opens it again."""
        self._sockets.close()
        self._routes.close()

    def _remembered(self, inode: int) -> Owner | None:
        owner, until = self._known.get(inode, (None, 0.0))
        return owner if now() < until else None

    def _remember(self, inode: int, owner: Owner) -> None:
        self._known[inode] = owner, now() + _REMEMBERED_SECONDS
        self._known.move_to_end(inode)
        if len(self._known) > _REMEMBERED:
            self._known.popitem(last=False)

    def _socket_of(self, session: Session) -> wire.SocketFacts | None:
        source, local = session.source, session.local
        if isinstance(source.host, str) or local is None or isinstance(local.host, str):
            return None
        there = local.host
        if there.version != source.host.version:  # it listens at `::`, and this is an IPv4 client
            there = _NOWHERE[source.host.version]
        try:
            if not self._is_ours(source.host):
                return None
            if session.network == "tcp":
                return self._connection(source, Address(there, local.port))
            return self._datagrams(source, Address(there, local.port))
        except OSError:  # no such socket any more, or a kernel without this
            return None

    def _is_ours(self, ip: IP) -> bool:
        if ip.is_loopback:
            return True
        answer = self._routes.ask(wire.GET_ROUTE, wire.REQUEST, wire.find_route(ip))
        return any((route := wire.read_route(body)) and route.kind == wire.LOCAL_ROUTE for _, body in answer)

    def _connection(self, source: Address, local: Address) -> wire.SocketFacts | None:
        return next(self._asked(6, source, local, wire.REQUEST), None)

    def _datagrams(self, source: Address, local: Address) -> wire.SocketFacts | None:
        """Kernels have looked at the two addresses either way round; a socket that is not connected may be at any
        address, and which of ours a connected one is connected to is not known if we listen at all of them.
        """
        for one, other in ((local, source), (source, local)):
            with contextlib.suppress(OSError):
                for found in self._asked(17, one, other, wire.REQUEST):
                    if found.port == source.port and found.address in {source.host, _NOWHERE[4], _NOWHERE[6]}:
                        return found
        version = _host(source).version
        anywhere, nothing = Address(_NOWHERE[version], source.port), Address(_NOWHERE[version], 0)
        candidates = list(self._asked(17, anywhere, nothing, wire.DUMP))
        if version == 4:  # a socket of IPv6 may send from IPv4 addresses
            candidates += self._asked(17, Address(_NOWHERE[6], source.port), Address(_NOWHERE[6], 0), wire.DUMP)
        fitting = [each for each in candidates if each.port == source.port and each.peer_port in {0, local.port}]
        exact = [each for each in fitting if each.address == source.host]
        return next(iter(exact or [each for each in fitting if each.address in _NOWHERE.values()]), None)

    def _asked(self, protocol: int, one: Address, other: Address, flags: int) -> Iterator[wire.SocketFacts]:
        query = wire.find_socket(protocol, _host(one), one.port, _host(other), other.port)
        for _, body in self._sockets.ask(wire.SOCKET_BY_FAMILY, flags, query):
            found = wire.read_socket(body)
            if found is not None and found.inode:
                yield found

    # What follows runs in a thread.

    def _search(self, inode: int, user_id: int) -> Owner:
        user, groups = self._account(user_id)
        pid = self._holder(f"socket:[{inode}]", user_id)
        if not pid:
            return Owner(user_id=user_id, user=user, groups=groups)
        self._recent[pid] = None
        self._recent.move_to_end(pid)
        if len(self._recent) > _RECENT:
            self._recent.popitem(last=False)
        return Owner(_executable(self._proc, pid), user_id, user, _unit(self._proc, pid), groups)

    def _holder(self, link: str, user_id: int) -> int:
        """The process that has this open; 0 if none can be found. First those known, then those of the same user."""
        left = _MOST_FILES
        for pid in self._processes(user_id):
            directory = f"{self._proc}/{pid}/fd"
            try:
                names = os.listdir(directory)
            except OSError:  # it is over, or not ours to look at
                continue
            for name in reversed(names):  # the newest mostly have the highest numbers
                try:
                    if os.readlink(f"{directory}/{name}") == link:
                        return pid
                except OSError:
                    continue
            left -= len(names)
            if left < 0:
                break
        return 0

    def _processes(self, user_id: int) -> Iterator[int]:
        recent = list(reversed(self._recent))
        yield from recent
        others: list[int] = []
        for pid in _numbers(self._proc):
            if pid in recent:
                continue
            try:
                same = os.stat(f"{self._proc}/{pid}").st_uid == user_id  # noqa: PTH116 - for thousands
            except OSError:
                continue
            if same:
                yield pid
            else:  # who opened it as another user, or got it from one
                others.append(pid)
        yield from others

    def _account(self, user_id: int) -> tuple[str, tuple[str, ...]]:
        """The user's name and groups, as the system knows them."""
        user, groups, until = self._accounts.get(user_id, ("", (), 0.0))
        if now() < until:
            return user, groups
        user, groups = _look_up(user_id)
        self._accounts[user_id] = user, groups, now() + _ACCOUNT_SECONDS
        if len(self._accounts) > _ACCOUNTS:
            self._accounts.popitem(last=False)
        return user, groups


def owner_of_peer(fd: int) -> Owner | None:
    """The process that has connected to a unix socket, as the kernel noted then; None of any other descriptor."""
    credentials = credentials_of_peer(fd)
    return offload(_described, *credentials) if credentials is not None else None


def credentials_of_peer(fd: int) -> tuple[int, int] | None:
    """The ids of that process, and of its user."""
    copy = os.dup(fd)
    try:
        sock = socket(fileno=copy)
    except OSError:
        os.close(copy)
        return None
    try:
        if sock.family != consts.AF_UNIX:
            return None
        return peer_of(sock)
    except OSError:
        return None
    finally:
        sock.close()


def _described(pid: int, user_id: int) -> Owner:
    user, groups = _look_up(user_id)
    if not pid:  # it is in a namespace whose processes have no number here
        return Owner(user_id=user_id, user=user, groups=groups)
    return Owner(_executable("/proc", pid), user_id, user, _unit("/proc", pid), groups)


def _executable(proc: str, pid: int) -> str:
    try:
        return os.readlink(f"{proc}/{pid}/exe").removesuffix(" (deleted)")
    except OSError:
        return ""


def _unit(proc: str, pid: int) -> str:
    try:
        with open(f"{proc}/{pid}/cgroup", encoding="utf-8", errors="replace") as file:
            return unit_of(file.read(64 * 1024))
    except OSError:
        return ""


def _host(address: Address) -> IP:
    assert not isinstance(address.host, str)
    return address.host


def _numbers(proc: str) -> Iterable[int]:
    try:
        return [int(name) for name in os.listdir(proc) if name.isascii() and name.isdigit()]
    except OSError:
        return []


def _look_up(user_id: int) -> tuple[str, tuple[str, ...]]:
    try:
        account = pwd.getpwuid(user_id)
        ids = os.getgrouplist(account.pw_name, account.pw_gid)
    except (KeyError, OSError):
        return "", ()
    groups = []
    for group_id in ids:
        with contextlib.suppress(KeyError, OSError):
            groups.append(grp.getgrgid(group_id).gr_name)
    return account.pw_name, tuple(groups)


def unit_of(cgroups: str) -> str:
    """The innermost systemd unit in what `/proc/PID/cgroup` says (cgroups(7)); empty if there is none."""
    for line in cgroups.splitlines():
        number, _, rest = line.partition(":")
        controllers, _, path = rest.partition(":")
        if (number == "0" and not controllers) or controllers == "name=systemd":
            units = [part for part in path.split("/") if part.endswith(_UNITS)]
            if units:
                return units[-1]
    return ""
