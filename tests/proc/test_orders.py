"""Every message goes through a channel as it is."""

from __future__ import annotations

import socket
from dataclasses import is_dataclass
from ipaddress import ip_address
from typing import Any

import pytest

from gproxy.app import messages
from gproxy.net.bind import Endpoint
from gproxy.net.sockopt import KeepAlive
from gproxy.proc import orders
from gproxy.proc.orders import KINDS, endpoint_from_json, endpoint_to_json
from gproxy.proc.post import Post
from gproxy.proc.wait import wait_readable, wait_writable

COUNTERS = {"opened": 1, "active": 0, "up": 2, "down": 3, "statuses": {"ok": 1}}
MESSAGES: list[Any] = [
    orders.Refused("report\nof two lines"),
    orders.Plan([{"kind": "stream"}], 2, 3600.0, 5.0, "/x.sock", {"output": ""}),
    orders.Sockets([[0, 0], [0, 1]]),
    orders.Fork(),
    orders.Forked(orders.CONTROL, 17),
    orders.Died(1, 18, "was killed by SIGKILL"),
    orders.ForkAgain(1),
    orders.Begin(["in"]),
    orders.AskStatus(3),
    orders.Status(3, COUNTERS),
    orders.Rotated(),
    orders.Counted(1, 2, COUNTERS),
    messages.Prepared(),
    messages.Serve(),
    messages.Serving(),
    messages.Yield(),
    messages.Handover(0, 1, [["127.0.0.1", 5], ["::1", 6, 0, 0]]),
    messages.Yielded(),
    messages.Stop(2.5),
    messages.StopNow(),
    messages.Reopen(),
    messages.AskSnapshot(),
    messages.Snapshot(1, 0, 2, 3, {"ok": 1}),
    messages.AskDebug(3, "lag", 1.5, -1),
    messages.Debugged(3, 17, {"mean": 0.5}, -1),
    messages.Traffic([["in", "ada", 1, 2, 3, 4, 5, 6]]),
    messages.Users("in", [["ada", "secret"]]),
    messages.Supplied("provider c", "pem", {"site.test": "proof"}),
    messages.RuleSetChanged("ads", "0123"),
    messages.Stopped(4),
]


def test_the_list_is_complete() -> None:
    assert {type(message).__name__ for message in MESSAGES} == set(KINDS)
    said = {name for name, kind in vars(messages).items() if is_dataclass(kind)}
    assert said <= set(KINDS)


@pytest.mark.parametrize("message", MESSAGES, ids=lambda message: type(message).__name__)
def test_it_arrives_as_it_was(message: object) -> None:
    one, other = (Post(sock, KINDS, wait_readable, wait_writable) for sock in socket.socketpair())
    one.send(message)
    assert other.receive() == (message, [])
    one.close()
    other.close()


@pytest.mark.parametrize(
    "endpoint",
    [
        Endpoint("stream", ip_address("127.0.0.1"), 80),
        Endpoint("packet", ip_address("::1"), 53, bind_interface="lo", routing_mark=7, reuse_addr=True),
        Endpoint("stream", "/run/x.sock"),
        Endpoint("stream", "\0abstract"),
        Endpoint("stream", ip_address("::"), 1, tcp_fast_open=True, keep_alive=KeepAlive(1, 2)),
    ],
    ids=str,
)
def test_an_endpoint_arrives_as_it_was(endpoint: Endpoint) -> None:
    import json

    again = endpoint_from_json(json.loads(json.dumps(endpoint_to_json(endpoint))))
    assert again == endpoint
    assert hash(again) == hash(endpoint)
