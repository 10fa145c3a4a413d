"""The load generator's side of each protocol: when an answer is whole, and what is none."""

from __future__ import annotations

import pytest

from tests.bench.doors import Declined, Door, Kind, Step

PAYLOAD = b"q" * 16
HEAD = b"HTTP/1.1 200 OK\r\nContent-Length: 16\r\n\r\n"
ANSWERS: dict[Kind, list[bytes]] = {
    "socks5": [b"\x05\x00", b"\x05\x00\x00\x01" + bytes(6), PAYLOAD],
    "direct": [PAYLOAD],
    "connect": [b"HTTP/1.1 200 Connection established\r\n\r\n", PAYLOAD],
    "forward": [HEAD + PAYLOAD],
}
REFUSALS: dict[Kind, bytes] = {
    "socks5": b"\x05\xff",
    "connect": b"HTTP/1.1 502 Bad Gateway\r\n\r\n",
    "forward": b"HTTP/1.1 502 Bad Gateway\r\n\r\n",
}


def steps(kind: Kind) -> list[Step]:
    return Door(kind, 1080, 80).steps(PAYLOAD)


@pytest.mark.parametrize("kind", list(ANSWERS))
def test_an_answer_is_whole_with_its_last_byte(kind: Kind) -> None:
    for (_, whole), answer in zip(steps(kind), ANSWERS[kind], strict=True):
        verdicts = [whole(bytearray(answer[:size])) for size in range(1, len(answer) + 1)]
        assert verdicts == [False] * (len(answer) - 1) + [True]


@pytest.mark.parametrize("kind", list(REFUSALS))
def test_a_refusal_is_no_answer(kind: Kind) -> None:
    _, whole = steps(kind)[0]
    with pytest.raises(Declined):
        whole(bytearray(REFUSALS[kind]))


def test_requests_name_the_target() -> None:
    assert steps("connect")[0][0].startswith(b"CONNECT 127.0.0.1:80 HTTP/1.1\r\n")
    assert steps("forward")[0][0].startswith(b"GET http://127.0.0.1:80/ HTTP/1.1\r\n")
    assert steps("socks5")[1][0].endswith(b"\x7f\x00\x00\x01\x00\x50")
