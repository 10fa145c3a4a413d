"""Houses built from a configuration, and clients of their doors."""

from __future__ import annotations

import json
import socket as consts
from _socket import socket
from typing import Any

from gproxy.app.build import House, build
from gproxy.config.load import Source, load_sources
from gproxy.config.root import Root, read_root
from gproxy.net.bind import Endpoint
from gproxy.net.stream import SocketStream


def root_of(**config: Any) -> Root:
    """The checked configuration of these tables."""
    return read_root(load_sources([Source("test.json", json.dumps(config), "json")], {}))


def house_of(**config: Any) -> House:
    """What is built from it."""
    return build(root_of(**config))


def sockets_of(house: House) -> dict[Endpoint, dict[int, socket]]:
    """One open socket for each door."""
    return {door.endpoint: {0: door.endpoint.open()} for door in house.doors}


def client_of(port: int) -> SocketStream:
    """A connection to a door."""
    sock = socket(consts.AF_INET, consts.SOCK_STREAM)
    sock.connect(("127.0.0.1", port))
    sock.setblocking(False)
    return SocketStream(sock)
