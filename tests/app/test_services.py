from __future__ import annotations

import json
from _socket import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from gproxy.app import services as module
from gproxy.app.certificates import build_certificates
from gproxy.app.names import Names
from gproxy.app.services import ServicePlane, Services, build_services
from gproxy.net.bind import Endpoint
from gproxy.net.stream import SocketStream
from gproxy.rt.offload import offload
from gproxy.rt.sync import sleep
from gproxy.service import files
from gproxy.service.ssm import cache
from tests.app.rooms import client_of, house_of, root_of
from tests.support.ports import free_port
from tests.support.procs import curl
from tests.support.tls import make_certificate
from tests.support.wait import wait_until

pytestmark = pytest.mark.usefixtures("no_leaks")


class Plane:
    """One API before one inbound."""

    def __init__(self, path: Path) -> None:
        self.port = free_port()
        self.path = path
        inbound = {"type": "shadowsocks", "tag": "in", "listen_port": 1, "method": "aes-128-gcm", "managed": True}
        other = {"type": "shadowsocks", "tag": "other", "listen_port": 2, "method": "aes-128-gcm", "password": "x"}
        service = {
            "type": "ssm-api", "listen": "127.0.0.1", "listen_port": self.port, "servers": {"/": "in"},
            "cache_path": str(path),
        }  # fmt: skip
        self.services: Services = build_services(root_of(inbounds=[inbound, other], services=[service]))
        self.sockets: dict[Endpoint, dict[int, socket]] = {
            door.endpoint: {0: door.endpoint.open()} for door in self.services.doors
        }
        self.plane = ServicePlane(self.services, self.sockets)

    def begin(self, method: str = "GET", body: Any = None) -> SocketStream:
        client = client_of(self.port)
        data = b"" if body is None else json.dumps(body).encode()
        head = f"{method} /server/v1/users HTTP/1.1\r\nHost: x\r\nContent-Length: {len(data)}\r\n\r\n"
        client.sendall(head.encode() + data)
        return client

    def end(self, client: SocketStream) -> int:
        heard = b""
        while data := client.recv():
            heard += data
        client.close()
        return int(heard.split()[1])

    def add(self, name: str) -> int:
        return self.end(self.begin("POST", {"username": name, "uPSK": f"key of {name}"}))


@pytest.fixture
def plane(tmp_path: Path) -> Iterator[Plane]:
    plane = Plane(tmp_path / "users.json")
    yield plane
    for slots in plane.sockets.values():
        for sock in slots.values():
            sock.close()


def test_what_is_built(plane: Plane) -> None:
    management = plane.services.management
    assert management.inbounds() == ["in"]
    assert management.problem("in", "") == "expected a password"
    assert management.problem("in", "x") == ""
    [door] = plane.services.doors
    assert (door.endpoint.port, door.service) == (plane.port, plane.services.all[0])


def test_without_services_there_is_nothing() -> None:
    services = build_services(root_of(inbounds=[{"type": "socks", "listen_port": 1}]))
    assert (services.management.inbounds(), services.all, services.doors) == ([], [], [])
    with ServicePlane(services, {}) as plane:
        plane.load([])
        plane.start()
        plane.make_room()


def test_it_serves_when_it_is_told_to(plane: Plane) -> None:
    with plane.plane as served:
        waiting = plane.begin()
        sleep(0.05)
        assert len(served._clients) == 0
        served.start()
        assert plane.end(waiting) == 200
        assert plane.add("ada") == 201
        assert plane.services.management.users("in") == {"ada": "key of ada"}


def test_it_makes_room_and_goes_on(plane: Plane) -> None:
    """Who comes meanwhile waits for whoever serves next: here it is the same one."""
    with plane.plane as served:
        served.start()
        assert plane.add("ada") == 201
        wait_until(lambda: not len(served._clients), "the first one is not over")
        late = client_of(plane.port)
        wait_until(lambda: len(served._clients) == 1, "it is not accepted")
        served.make_room()
        late.sendall(b"DELETE /server/v1/users/ada HTTP/1.1\r\nHost: x\r\n\r\n")
        assert plane.end(late) == 503
        waiting = plane.begin()
        sleep(0.05)
        assert len(served._clients) == 0
        served.start()
        assert plane.end(waiting) == 200


def test_traffic_is_saved_now_and_then_and_at_the_end(plane: Plane, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_SAVE_EVERY", 0.02)
    books = plane.services.management.books

    def saved() -> int:
        return cache.read(plane.path)["/"].traffic["ada"].up

    with plane.plane as served:
        served.start()
        assert plane.add("ada") == 201
        books.add([["in", "ada", 5, 0, 0, 0, 0, 0]])
        wait_until(lambda: saved() == 5, "it is not saved")
        monkeypatch.setattr(module, "_SAVE_EVERY", 1000.0)
        sleep(0.05)
        books.add([["in", "ada", 1, 0, 0, 0, 0, 0]])
    assert saved() == 6


def test_what_was_saved_is_taken_up(plane: Plane) -> None:
    files.write(plane.path, cache.encode({"/": cache.Saved({"ada": "key"})}))
    with plane.plane as served:
        served.load([])
        assert plane.services.management.users("in") == {}
        served.load(["in"])
        assert plane.services.management.users("in") == {"ada": "key"}


def test_a_client_that_errs_harms_nobody(plane: Plane, caplog: pytest.LogCaptureFixture) -> None:
    with plane.plane as served:
        served.start()
        for words in (b"", b"nonsense\r\n\r\n", b"GET / HT"):
            client = client_of(plane.port)
            client.sendall(words)
            client.close()
        wait_until(lambda: not len(served._clients), "they are still there")
        assert plane.end(plane.begin()) == 200
        wait_until(lambda: not any(room.taken for room in served._rooms.values()), "a place is not given back")
    assert not [record for record in caplog.records if record.levelname == "ERROR"]


def test_whoever_answers_authorities_has_places_of_its_own(plane: Plane, tmp_path: Path) -> None:
    """It is there for anybody: whoever takes all of its places takes none of a service's."""
    acme = {
        "type": "acme",
        "domain": "site.test",
        "data_directory": str(tmp_path),
        "alternative_http_port": free_port(),
    }
    root = root_of(certificate_providers=[acme])
    certificates = build_certificates(root, Names(root))
    plane.services.doors.extend(build_services(root, certificates).doors)
    door = plane.services.doors[-1]
    assert door.service is certificates.manager
    plane.sockets[door.endpoint] = {0: door.endpoint.open()}
    with ServicePlane(plane.services, plane.sockets) as served:
        assert len(served._rooms) == 2
        served.start()
        waiting = [client_of(door.endpoint.port) for _ in range(2)]
        asked = client_of(door.endpoint.port)
        asked.sendall(b"GET /.well-known/acme-challenge/x HTTP/1.1\r\nHost: site.test\r\n\r\n")
        assert plane.end(asked) == 404
        assert plane.end(plane.begin()) == 200
        for client in waiting:
            client.close()


def test_a_service_behind_tls(tmp_path: Path) -> None:
    certificate = make_certificate(tmp_path)
    tls = {"enabled": True, "certificate_path": str(certificate.chain), "key_path": str(certificate.key)}
    port = free_port()
    service = {"type": "metrics", "tag": "m", "listen": "127.0.0.1", "listen_port": port, "tls": tls}
    house = house_of(services=[service])
    assert house.services.expiry is not None, "its certificate is looked after"
    sockets = {door.endpoint: {0: door.endpoint.open()} for door in house.services.doors}
    with ServicePlane(house.services, sockets) as served:
        served.start()
        client = client_of(port)
        client.sendall(b"GET /health HTTP/1.1\r\nHost: x\r\n\r\n")
        assert not client.recv().startswith(b"HTTP"), "what is no TLS is not answered"
        client.close()
        done = offload(curl, "-k", f"https://127.0.0.1:{port}/health")
        assert done == b"alive\n"
    for by_slot in sockets.values():
        by_slot[0].close()
