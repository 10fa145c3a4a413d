"""How a connection ends at one side is how it ends at the other: in order, by halves, or with a reset."""

from __future__ import annotations

import contextlib
import socket
import threading
from collections.abc import Callable

import pytest

from tests.e2e.clients import everything, exactly, socks5, tunnel
from tests.e2e.proxy import Launcher, inbound, outbound
from tests.e2e.servers import reset, serving
from tests.support.ports import LOOPBACK
from tests.support.wait import wait_until

Open = Callable[[tuple[str, int]], socket.socket]


def http_tunnel(port: int, target: tuple[str, int]) -> socket.socket:
    sock = socket.create_connection((LOOPBACK, port), 20)
    sock.sendall(b"CONNECT %s:%d HTTP/1.1\r\nHost: x\r\n\r\n" % (target[0].encode(), target[1]))
    answer = b""
    while not answer.endswith(b"\r\n\r\n"):
        answer += sock.recv(1)
    assert answer.startswith(b"HTTP/1.1 200 "), answer
    return sock


@pytest.fixture(params=["socks", "http", "chain"])
def opened(request: pytest.FixtureRequest, launch: Launcher) -> Open:
    """Opens a stream through gproxy: socks and direct, http and direct, or through a second gproxy."""
    if request.param == "chain":
        last = launch(inbound("http"))
        first = launch(outbounds=(outbound("http", last.port),))
        return lambda target: tunnel(first.port, target)
    proxy = launch()
    if request.param == "http":
        return lambda target: http_tunnel(proxy.port, target)
    return lambda target: tunnel(proxy.port, target)


def test_a_client_that_has_said_all_still_gets_the_whole_answer(opened: Open) -> None:
    answer = b"answer" * 200_000

    def after_the_end(sock: socket.socket) -> None:
        question = everything(sock)
        sock.sendall(question + answer)

    with serving(after_the_end) as server, opened((server.host, server.port)) as sock:
        sock.sendall(b"question")
        sock.shutdown(socket.SHUT_WR)
        assert everything(sock) == b"question" + answer


def test_a_server_that_has_said_all_still_hears_the_client(opened: Open) -> None:
    heard = []

    def ends_first(sock: socket.socket) -> None:
        sock.sendall(b"bye")
        sock.shutdown(socket.SHUT_WR)
        heard.append(everything(sock))

    said = b"more" * 200_000
    with serving(ends_first) as server, opened((server.host, server.port)) as sock:
        assert everything(sock) == b"bye"
        sock.sendall(said)
        sock.shutdown(socket.SHUT_WR)
        wait_until(lambda: heard, "the server never heard the end", 10)
    assert heard == [said]


def test_a_client_s_reset_reaches_the_server(opened: Open) -> None:
    ends: list[object] = []

    def waits(sock: socket.socket) -> None:
        sock.sendall(b"x")
        try:
            ends.append(sock.recv(1))
        except ConnectionResetError as error:
            ends.append(error)

    with serving(waits) as server:
        sock = opened((server.host, server.port))
        assert sock.recv(1) == b"x"
        reset(sock)
        wait_until(lambda: ends, "the server never heard of it", 10)
    assert isinstance(ends[0], ConnectionResetError)


def test_a_server_s_reset_reaches_the_client(opened: Open) -> None:
    def breaks(sock: socket.socket) -> None:
        exactly(sock, 1)
        reset(sock)

    with serving(breaks) as server, opened((server.host, server.port)) as sock:
        sock.sendall(b"x")
        with pytest.raises(ConnectionResetError):
            sock.recv(1)


def test_the_log_tells_who_broke_off(launch: Launcher) -> None:
    proxy = launch()
    go = threading.Event()

    def breaks(sock: socket.socket) -> None:
        if exactly(sock, 1) == b"s":
            reset(sock)
        else:
            go.wait(10)

    with serving(breaks) as server:
        with tunnel(proxy.port, (server.host, server.port)) as sock:
            sock.sendall(b"s")
            assert everything(sock) == b""
        by_server = proxy.session(status="closed-reset")
        sock = tunnel(proxy.port, (server.host, server.port))
        sock.sendall(b"c")
        reset(sock)
        by_client = proxy.wait_sessions(2, status="closed-reset")[1]
        go.set()
    assert by_server["detail"] == "the target broke off"
    assert by_client["detail"] == "the client broke off"
    assert by_client["up"] == 1


def test_the_reply_tells_where_gproxy_speaks_from(launch: Launcher) -> None:
    proxy = launch()
    names: list[tuple[str, int]] = []
    with serving(lambda sock: names.append(sock.getpeername())) as server:
        sock, bound = socks5(proxy.port, (server.host, server.port))
        with sock:
            assert everything(sock) == b""
    assert names == [bound]


def test_an_answer_before_the_question_is_over_arrives_whole(opened: Open) -> None:
    """As of a server that refuses an upload: it answers, ends, and does not read the rest."""
    answer = b"too large" * 500  # which the kernel has delivered before it hears of the close

    def refuses(sock: socket.socket) -> None:
        sock.recv(1000)
        sock.sendall(answer)
        sock.shutdown(socket.SHUT_WR)
        sock.close()  # with unread bytes, so a reset follows the end

    def upload(sock: socket.socket) -> None:
        with contextlib.suppress(OSError):
            for _ in range(400):
                sock.sendall(bytes(65536))

    with serving(refuses) as server, opened((server.host, server.port)) as sock:
        uploading = threading.Thread(target=upload, args=(sock,), daemon=True)
        uploading.start()
        assert everything(sock) == answer
        uploading.join(20)
