"""The service: APIs by their paths, on HTTP, and the file that they are saved to."""

from __future__ import annotations

from collections.abc import Collection
from pathlib import Path

from gproxy.base.iface import Stream
from gproxy.observe.books import Row
from gproxy.rt.offload import offload
from gproxy.rt.sync import Lock
from gproxy.service import files, http
from gproxy.service.http import Answer, Request
from gproxy.service.management import NOBODY, Peer, ServiceWiring
from gproxy.service.ssm import cache
from gproxy.service.ssm.api import Api
from gproxy.service.ssm.cache import Saved
from gproxy.service.ssm.options import SsmApiOptions


class SsmApi:
    """See Service."""

    def __init__(self, options: SsmApiOptions, wiring: ServiceWiring) -> None:
        self._management = wiring.management
        self._log = wiring.log
        self._servers = dict(options.servers)  # as they are written, since the file names them so
        self._apis = {
            tuple(part for part in path.split("/") if part): Api(inbound, wiring.management, wiring.tag)
            for path, inbound in self._servers.items()
        }
        self._path = Path(options.cache_path) if options.cache_path else None
        self._last = b""  # what is in the file
        self._saving: Lock | None = None  # made when it is first needed: not in the process that others are forked from
        self._held = False

    def accept(self, stream: Stream, peer: Peer = NOBODY) -> None:
        """See Service."""
        http.serve(stream, self._answer, peer)

    def _answer(self, request: Request) -> Answer:
        if self._held and (request.method != "GET" or "clear" in request.query):
            return Answer.of_text(503, "another process takes over: ask again")
        for count in range(len(request.parts), -1, -1):
            api = self._apis.get(tuple(request.parts[:count]))
            if api is not None:
                answer = api.answer(request, request.parts[count:])
                if request.method != "GET":
                    self.save()
                return answer
        return Answer.of_text(404, "there is nothing here")

    def hold(self) -> None:
        """See Service."""
        self._held = True
        self._save()

    def go_on(self) -> None:
        """See Service."""
        self._held = False

    def load(self, inbounds: Collection[str]) -> None:
        """See Service. Users that are known already are not those of the file."""
        if self._path is None or not set(inbounds) & set(self._servers.values()):
            return
        try:
            saved = cache.read(self._path)
        except OSError as error:
            self._log.error("can't read %s: %s", self._path, error.strerror)
            return
        except ValueError as error:
            self._put_aside(self._path, error)
            return
        for path, inbound in self._servers.items():
            if path in saved and inbound in inbounds:
                self._take_up(inbound, saved[path])

    def _put_aside(self, path: Path, why: ValueError) -> None:
        try:
            aside = cache.put_aside(path)
        except OSError as error:
            self._log.error("%s can't be used: %s; nor can it be kept: %s", path, why, error.strerror)
        else:
            self._log.error("%s can't be used: %s; it is kept as %s", path, why, aside)

    def _take_up(self, inbound: str, saved: Saved) -> None:
        management = self._management
        users = dict(management.users(inbound))
        if not management.known(inbound):
            users = self._usable(inbound, saved)
            management.replace(inbound, users)
        of = {name: name if name in users else "" for name in saved.traffic}
        rows: list[Row] = [[inbound, of[name], *traffic] for name, traffic in saved.traffic.items()]
        rows.append([inbound, "", *saved.past()])
        management.correct([row for row in rows if any(row[2:])])

    def _usable(self, inbound: str, saved: Saved) -> dict[str, str]:
        """The method may be another one than that of the saved keys."""
        users: dict[str, str] = {}
        for name, password in saved.users.items():
            if problem := self._management.problem(inbound, password):
                self._log.error("user %s of %s is left out: %s", name, inbound, problem)
            else:
                users[name] = password
        return users

    def save(self) -> None:
        """See Service. The file is not ours while we hold."""
        if not self._held:
            self._save()

    def _save(self) -> None:
        if self._path is None:
            return
        self._saving = self._saving or Lock()
        with self._saving:  # whoever waits here finds that his own change has been saved with another's
            data = cache.encode({path: self._saved(inbound) for path, inbound in self._servers.items()})
            if data == self._last:
                return
            try:
                offload(files.write, self._path, data)
            except OSError as error:
                self._log.error("can't save users to %s: %s", self._path, error.strerror)
            else:
                self._last = data

    def _saved(self, inbound: str) -> Saved:
        books, users = self._management.books, self._management.users(inbound)
        traffic = {name: books.of(inbound, name) for name in users}
        return Saved(users, traffic, books.total(inbound))
