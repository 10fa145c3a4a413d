"""HTTP/2's frames, against h2 as the other side, against itself, and against what no peer should send."""

from __future__ import annotations

import random
import struct

import pytest
from h2.config import H2Configuration
from h2.connection import H2Connection
from h2.events import ConnectionTerminated, DataReceived, ResponseReceived, StreamEnded, StreamReset, TrailersReceived
from h2.settings import SettingCodes
from hpack import Decoder, Encoder, HPACKError
from hypothesis import given, settings
from hypothesis import strategies as st

from gproxy.base.errors import Overloaded, ProtocolError, TooLarge
from gproxy.wire.http2.frame import PREFACE
from gproxy.wire.http2.head import Request, Response
from gproxy.wire.http2.link import (
    CLIENT_WINDOWS,
    FIRST_WINDOW,
    MAX_FRAME,
    MAX_HEADERS,
    MAX_STREAMS,
    SERVER_WINDOWS,
    Http2,
)

ASKED = Request(b"POST", b"example.org", b"/x", [(b"te", b"trailers")])
BYTES = random.Random(5).randbytes(300_000)
DATA, HEADERS, PRIORITY, RESET, SETTINGS, PUSH, PING, GOAWAY, WINDOW, CONTINUATION = range(10)


def frame(kind, flags=0, number=0, payload=b""):
    return len(payload).to_bytes(3, "big") + struct.pack(">BBL", kind, flags, number) + payload


def head(lines=None, encoder=None):
    lines = lines or [(":method", "GET"), (":scheme", "https"), (":authority", "a"), (":path", "/")]
    return (encoder or Encoder()).encode(lines)


def frames(data):
    """Kind, flags, number and payload of each frame."""
    found = []
    data = data.removeprefix(PREFACE)
    while data:
        size = int.from_bytes(data[:3], "big")
        found.append((data[3], data[4], int.from_bytes(data[5:9], "big"), data[9 : 9 + size]))
        data = data[9 + size :]
    return found


def kinds(data):
    return [each[0] for each in frames(data)]


def pass_on(source, target):
    data = source.drain()
    return list(target.feed(data)) if data else []


@pytest.fixture
def pair():
    client, server = Http2(client=True), Http2(client=False)
    while client.due or server.due:
        assert pass_on(client, server) + pass_on(server, client) == []
    assert not client.due
    return client, server


@pytest.fixture
def server():
    """One whose client has said hello."""
    core = Http2(client=False)
    core.feed(PREFACE + frame(SETTINGS))
    core.drain()
    return core


@pytest.fixture
def served():
    """One with a server that has said hello."""
    core = Http2(client=True)
    core.feed(frame(SETTINGS))
    core.drain()
    return core


def opened(pair, head=ASKED):
    client, server = pair
    number = client.open(head)
    assert [each.kind for each in pass_on(client, server)] == ["opened"]
    return number


# -- one with another -------------------------------------------------------------------------------------------------


def test_a_request_and_its_answer(pair):
    client, server = pair
    number = client.open(ASKED)
    client.send(number, b"question")
    client.end(number)
    first, second, third = pass_on(client, server)
    assert first == ("opened", number, ASKED)
    assert second == ("data", number, b"question")
    assert third[:2] == ("ended", number)
    server.taken(number, 8)
    server.answer(number, Response(200, [(b"content-type", b"x")], [(b"grpc-status", b"0")]))
    server.send(number, b"answer")
    server.end(number)
    server.end(number)
    said = pass_on(server, client)
    assert said == [
        ("head", number, Response(200, [(b"content-type", b"x")])),
        ("data", number, b"answer"),
        ("ended", number, [(b"grpc-status", b"0")]),
    ]
    client.taken(number, 6)
    assert not client._streams
    assert not server._streams
    assert client._ours == server._theirs == 0


def test_without_a_head_it_is_connect(pair):
    client, server = pair
    client.open()
    (happened,) = pass_on(client, server)
    assert happened.value == Request(b"CONNECT", b"localhost", b"", [], b"")


@pytest.mark.parametrize("cut", [1, 2, 9, 10, 1000])
def test_any_cut_gives_the_same(cut):
    client, server = Http2(client=True), Http2(client=False)
    pass_on(server, client)
    number = client.open(ASKED)
    client.send(number, BYTES[:60_000])
    client.end(number)
    wire = client.drain()
    happened = [each for at in range(0, len(wire), cut) for each in server.feed(wire[at : at + cut])]
    assert happened[0] == ("opened", number, ASKED)
    assert happened[-1].kind == "ended"
    assert b"".join(each.value for each in happened[1:-1]) == BYTES[:60_000]


def test_what_comes_in_a_row_is_one_piece(pair):
    client, server = pair
    one, two = opened(pair), opened(pair)
    for _ in range(3):
        client.send(one, b"abc")
    client.send(two, b"x")
    client.send(one, b"d")
    assert pass_on(client, server) == [("data", one, b"abcabcabc"), ("data", two, b"x"), ("data", one, b"d")]


def test_frames_are_as_long_as_the_peer_takes(pair):
    client, _server = pair
    number = opened(pair)
    client.send(number, BYTES[:150_000])
    assert [len(payload) for *_, payload in frames(client.drain())] == [MAX_FRAME, MAX_FRAME, 150_000 - 2 * MAX_FRAME]
    client.feed(frame(SETTINGS, payload=struct.pack(">HL", 5, 16384)))
    client.drain()
    client.send(number, memoryview(BYTES)[:20_000])
    assert [len(payload) for *_, payload in frames(client.drain())] == [16384, 20_000 - 16384]


def test_a_long_head_leaves_in_pieces(pair):
    client, _server = pair
    client._frame = 16384
    long = [(b"x-long", BYTES[:9000].hex().encode())]
    client._put_head(1, [*long, (b"y", b"z" * 9000)], last=False)
    said = client.drain()
    assert kinds(said)[0] == HEADERS
    assert set(kinds(said)[1:]) == {CONTINUATION}


# -- windows ----------------------------------------------------------------------------------------------------------


def again(number):
    """A head as those have it who ask the same again and again."""
    return Request(b"POST", b"example.org", b"/x", ((b"te", b"trailers"), (b"x-number", b"%d" % number)))


@given(st.lists(st.integers(0, 5), max_size=40))
def test_heads_that_come_again_are_read_as_the_first_time(numbers):
    client, server = Http2(client=True), Http2(client=False)
    for each in (client, server):
        (server if each is client else client).feed(each.drain())
    for number in numbers:
        size = len(client._written)
        client.open(again(number) if number else ASKED)
        (happened,) = pass_on(client, server)
        wanted = again(number) if number else ASKED
        assert happened.value == wanted._replace(fields=list(wanted.fields))
        server.answer(happened.stream, Response(200, [(b"x-number", b"%d" % number)]))
        (answered,) = pass_on(server, client)
        assert answered.value == Response(200, [(b"x-number", b"%d" % number)])
        assert len(client._written) <= size + 1


def test_a_head_that_came_before_is_neither_coded_nor_decoded_anew(pair):
    client, server = pair
    for _ in range(2):
        opened(pair, again(1))
    client._encoder.encode = server._decoder.decode = None
    opened(pair, again(1))


@given(st.lists(st.sampled_from(["index", "not", "never", "other", "size"]), max_size=60), st.data())
def test_heads_in_any_coding_are_read_as_by_a_fresh_look(kinds, data):
    core = Http2(client=False)
    core.feed(PREFACE + frame(SETTINGS))
    twin = Decoder()
    base = bytes.fromhex("8287") + b"\x41\x01a" + b"\x04\x02/x"  # GET, https, :authority: a (indexed), :path
    for number, kind in enumerate(kinds):
        name = b"n%d" % data.draw(st.integers(0, 3))
        first = {"index": 0x40, "not": 0, "never": 0x10}.get(kind)
        block = bytes.fromhex("8287") + b"\x01\x01a" + b"\x04\x02/x"
        if first is not None:
            block += bytes([first, len(name)]) + name + b"\x01v"
        elif kind == "other":
            block = base
        else:
            block = b"\x3f\x01" + block if number % 2 else b"\x20" + block  # the table gets another size
        wanted = [(bytes(key), bytes(value)) for key, value in twin.decode(block, raw=True)]
        assert core._decode(block) == wanted
        pointer = b"\x82\x87\x01\x01a\x04\x02/x\xbe"  # and the newest entry, if there is one
        try:
            wanted = [(bytes(key), bytes(value)) for key, value in twin.decode(pointer, raw=True)]
        except HPACKError:
            return
        assert core._decode(pointer) == wanted
        assert len(core._read) <= 64


@pytest.mark.parametrize("block", [b"\x80", b"\xff\x80\x80", b"\xbe"])
def test_pointers_to_nowhere_are_no_heads(block, server):
    assert refused(server, frame(HEADERS, 0x5, 1, block))[1] == 9
    assert not server._read


def test_another_size_of_the_table_counts_at_once(pair):
    client, server = pair
    for _ in range(3):
        opened(pair, again(1))
    client.feed(frame(SETTINGS, 0, 0, struct.pack(">HL", 1, 0)))
    server._decoder.max_allowed_table_size = 4096
    assert not client._written
    assert opened(pair, again(1))


def test_room_is_what_the_peer_has_granted(pair):
    client, server = pair
    number = opened(pair)
    assert client.room(number) == FIRST_WINDOW
    client.send(number, bytes(FIRST_WINDOW))
    assert client.room(number) == 0
    (_happened,) = pass_on(client, server)
    server.taken(number, 100)
    assert pass_on(server, client) == []
    server.taken(number, FIRST_WINDOW - 100)
    assert pass_on(server, client) == [("room", number, b"")]
    assert client.room(number) == FIRST_WINDOW


def test_a_window_grows_while_its_reader_waits_for_more(pair):
    client, server = pair
    number = opened(pair)
    for _ in range(200):
        size = min(client.room(number), 32 * 1024)
        client.send(number, bytes(size))
        pass_on(client, server)
        server.taken(number, size)
        pass_on(server, client)
    assert server._streams[number].window == SERVER_WINDOWS[1]
    assert client.room(number) > FIRST_WINDOW


def test_the_window_of_the_link_holds_for_all_streams(pair):
    client, server = pair
    left = SERVER_WINDOWS[0]
    while left:
        number = opened(pair)
        client.send(number, bytes(min(client.room(number), left)))
        left -= FIRST_WINDOW
        pass_on(client, server)
    last = opened(pair)
    assert client.room(last) == 0
    server.taken(1, FIRST_WINDOW)
    for number in range(3, 19, 2):
        server.taken(number, FIRST_WINDOW)
    assert ("room", 0, b"") in pass_on(server, client)
    assert client.room(last) == FIRST_WINDOW


def test_what_a_stream_that_was_given_up_held_is_granted_again(pair):
    client, server = pair
    for _ in range(2 * SERVER_WINDOWS[0] // FIRST_WINDOW):
        number = opened(pair)
        client.send(number, bytes(FIRST_WINDOW))
        pass_on(client, server)
        server.reset(number)
        server.taken(number, FIRST_WINDOW)  # too late, and so nothing
        pass_on(server, client)
    assert server._grants + server._owed == SERVER_WINDOWS[0]


def test_a_smaller_first_window_takes_room_away(pair):
    client, _server = pair
    number = opened(pair)
    client.send(number, bytes(1000))
    client.feed(frame(SETTINGS, payload=struct.pack(">HL", 4, 500)))
    assert client.room(number) == 0
    assert client.feed(frame(SETTINGS, payload=struct.pack(">HL", 4, 2000))) == [("room", 0, b"")]
    assert client.room(number) == 1000


@pytest.mark.parametrize("windows", [CLIENT_WINDOWS, SERVER_WINDOWS])
def test_windows_fit_into_each_other(windows):
    assert FIRST_WINDOW <= windows[1] <= windows[0]


# -- ends -------------------------------------------------------------------------------------------------------------


def test_an_end_leaves_the_other_way_open(pair):
    client, server = pair
    number = opened(pair)
    server.answer(number, Response(200))
    server.end(number)
    pass_on(server, client)
    client.send(number, b"still here")
    assert pass_on(client, server) == [("data", number, b"still here")]


def test_a_reset_ends_both_ways(pair):
    client, server = pair
    number = opened(pair)
    client.reset(number)
    client.reset(number)
    assert pass_on(client, server) == [("reset", number, "INTERNAL_ERROR")]
    server.answer(number, Response(200))
    server.send(number, b"x")
    server.end(number)
    assert not server.due
    assert server.room(number) == 0


@pytest.mark.parametrize(("code", "name"), [(0, "NO_ERROR"), (8, "CANCEL")])
def test_a_stream_that_is_cancelled_has_ended(code, name, server):
    server.feed(frame(HEADERS, 4, 1, head()) + frame(DATA, 0, 1, b"x"))
    happened = server.feed(frame(RESET, 0, 1, bytes([0, 0, 0, code])))
    assert happened == [("ended", 1, ()), ("reset", 1, name)]
    server.taken(1, 1)
    assert not server._streams
    assert server._theirs == 0


def test_a_stream_that_was_ended_is_cancelled(pair):
    client, server = pair
    number = opened(pair)
    client.end(number)
    client.reset(number)
    assert pass_on(client, server) == [("ended", number, ()), ("reset", number, "CANCEL")]


def test_a_closed_stream_refuses_what_still_comes(pair):
    client, server = pair
    number = opened(pair)
    server.answer(number, Response(200))
    server.close(number)
    server.close(number)
    assert [each.kind for each in pass_on(server, client)] == ["head", "ended"]
    client.send(number, b"more")
    assert pass_on(client, server) == []
    assert pass_on(server, client) == [("reset", number, "NO_ERROR")]
    assert not server._streams
    assert server._grants + server._owed == SERVER_WINDOWS[0]


def test_a_closed_stream_is_forgotten_when_the_peer_has_ended_too(pair):
    client, server = pair
    number = opened(pair)
    client.close(number)
    pass_on(client, server)
    server.answer(number, Response(200))
    server.end(number)
    assert [each.kind for each in pass_on(server, client)] == ["head"]
    assert not client._streams
    assert client._ours == 0


def test_goodbye_refuses_new_streams_and_serves_old_ones(pair):
    client, server = pair
    number = opened(pair)
    late = client.open(ASKED)
    server.goodbye()
    server.goodbye()
    happened = pass_on(server, client)
    assert happened == [("reset", late, "REFUSED_STREAM"), ("closing", number, "NO_ERROR")]
    with pytest.raises(Overloaded):
        client.open(ASKED)
    assert pass_on(client, server) == []
    client.send(number, b"x")
    assert pass_on(client, server) == [("data", number, b"x")]


def test_no_more_streams_than_the_peer_takes(pair):
    client, server = pair
    numbers = [client.open(ASKED) for _ in range(MAX_STREAMS)]
    with pytest.raises(Overloaded):
        client.open(ASKED)
    client.reset(numbers[0])
    client.open(ASKED)
    pass_on(client, server)
    client._most += 1
    refused = client.open(ASKED)
    pass_on(client, server)
    assert pass_on(server, client) == [("reset", refused, "REFUSED_STREAM")]


# -- time -------------------------------------------------------------------------------------------------------------


def test_a_silent_server_is_asked_and_given_up():
    client = Http2(client=True, idle_timeout=10, ping_timeout=5)
    assert client.tick(100) == 110
    client.feed(frame(SETTINGS))
    client.drain()
    assert client.tick(110) == 120
    assert not client.due
    assert client.tick(120) == 125
    assert kinds(client.drain()) == [PING]
    client.feed(frame(PING, 1, payload=bytes(8)))
    assert client.tick(125) == 130
    client.tick(135)
    assert kinds(client.drain()) == [PING]
    with pytest.raises(ProtocolError) as failed:
        client.tick(140)
    assert failed.value.word == "protocol-timeout"


def test_a_link_without_streams_is_asked_only_if_wanted():
    client = Http2(client=True, idle_timeout=10, always=False)
    client.feed(frame(SETTINGS))
    client.drain()
    client.tick(100)
    client.tick(120)
    assert not client.due
    client.open(ASKED)
    client.drain()
    client.tick(130)
    assert kinds(client.drain()) == [PING]


def test_a_server_gives_up_a_link_without_streams(server):
    server._idle = 10
    server.tick(100)
    server.feed(frame(HEADERS, 4, 1, head()))
    server.tick(115)
    server.reset(1)
    server.feed(frame(PING, payload=bytes(8)))
    assert server.tick(120) == 125
    with pytest.raises(ProtocolError, match="no stream for too long") as failed:
        server.tick(125)
    assert failed.value.reason == "idle"
    assert kinds(server.drain())[-1] == GOAWAY


def test_a_server_waits_for_the_first_request_less_long():
    server = Http2(client=False, first_timeout=15, idle_timeout=100)
    assert server.tick(100) == 115
    server.feed(PREFACE + frame(SETTINGS))
    assert server.tick(110) == 115
    with pytest.raises(ProtocolError, match="no request in time") as failed:
        server.tick(115)
    assert failed.value.reason == "timeout"
    server = Http2(client=False, first_timeout=15)
    server.tick(100)
    server.feed(PREFACE + frame(SETTINGS) + frame(HEADERS, 4, 1, head()))
    assert server.tick(1000) == 1030


def test_nothing_is_due_without_timeouts(server):
    assert server.tick(5) == 35
    assert not server.due


# -- h2 at the other end ----------------------------------------------------------------------------------------------


def test_h2_as_server():
    client, peer = Http2(client=True), H2Connection(H2Configuration(client_side=False))
    peer.initiate_connection()
    peer.receive_data(client.drain())
    client.feed(peer.data_to_send())
    number = client.open(ASKED)
    peer.receive_data(client.drain())
    client.feed(peer.data_to_send())
    asked, sent = b"", 0
    peer.send_headers(number, [(":status", "103")])
    peer.send_headers(number, [(":status", "200"), ("server", "h2")])
    heard = list(client.feed(peer.data_to_send()))
    while sent < len(BYTES) or len(asked) < len(BYTES):
        room = min(client.room(number), len(BYTES) - sent)
        client.send(number, BYTES[sent : sent + room])
        sent += room
        if sent == len(BYTES):
            client.end(number)
        for event in peer.receive_data(client.drain()):
            if isinstance(event, DataReceived):
                asked += event.data
                peer.acknowledge_received_data(event.flow_controlled_length, number)
        client.feed(peer.data_to_send())
    assert asked == BYTES
    peer.send_data(number, b"padded", pad_length=9)
    peer.send_headers(number, [("grpc-status", "0")], end_stream=True)
    heard += client.feed(peer.data_to_send())
    assert heard == [
        ("head", number, Response(200, [(b"server", b"h2")])),
        ("data", number, b"padded"),
        ("ended", number, [(b"grpc-status", b"0")]),
    ]


def test_h2_as_client():
    server, peer = Http2(client=False), H2Connection(H2Configuration(client_side=True))
    peer.initiate_connection()
    peer.send_headers(1, [(":method", "PUT"), (":scheme", "http"), (":authority", "b"), (":path", "/p?q"), ("x", "y")])
    peer.send_data(1, b"abc", pad_length=3)
    happened = list(server.feed(peer.data_to_send()))
    assert happened == [
        ("opened", 1, Request(b"PUT", b"b", b"/p?q", [(b"x", b"y")], b"http")),
        ("data", 1, b"abc"),
    ]
    peer.receive_data(server.drain())
    assert peer.remote_settings[SettingCodes.MAX_CONCURRENT_STREAMS] == MAX_STREAMS
    server.feed(peer.data_to_send())
    server.answer(1, Response(200, [(b"a", b"b")], [(b"grpc-status", b"0")]))
    server.send(1, b"xyz")
    server.end(1)
    events = peer.receive_data(server.drain())
    assert [type(each) for each in events if not hasattr(each, "changed_settings")] == [
        ResponseReceived, DataReceived, TrailersReceived, StreamEnded,
    ]  # fmt: skip
    server.reset(1)
    (event,) = peer.receive_data(server.drain())
    assert isinstance(event, StreamReset)
    assert event.error_code == 0
    server.goodbye()
    (event,) = peer.receive_data(server.drain())
    assert isinstance(event, ConnectionTerminated)


# -- what no peer should send -----------------------------------------------------------------------------------------


def refused(core, *said):
    """The error, after the peer has been told."""
    with pytest.raises(ProtocolError) as failed:
        for each in said:
            core.feed(each)
            core.drain()
    *_, (kind, _, _, payload) = frames(core.drain())
    assert kind == GOAWAY
    return failed.value, int.from_bytes(payload[4:8], "big")


WRONG = {
    "ping-of-a-stream": (frame(PING, 0, 1, bytes(8)), 6),
    "short-ping": (frame(PING, payload=bytes(7)), 6),
    "settings-of-a-stream": (frame(SETTINGS, 0, 1), 6),
    "settings-in-halves": (frame(SETTINGS, payload=bytes(5)), 6),
    "settings-that-acknowledge": (frame(SETTINGS, 1, payload=bytes(6)), 6),
    "push-setting": (frame(SETTINGS, payload=struct.pack(">HL", 2, 2)), 1),
    "window-setting": (frame(SETTINGS, payload=struct.pack(">HL", 4, 1 << 31)), 3),
    "frame-setting": (frame(SETTINGS, payload=struct.pack(">HL", 5, 100)), 1),
    "push": (frame(PUSH, 4, 1, bytes(4)), 1),
    "data-of-nothing": (frame(DATA, 0, 1, b"x"), 1),
    "data-of-the-link": (frame(DATA, 0, 0, b"x"), 1),
    "data-before-its-head": (frame(DATA, 8, 1, b"\0x"), 1),
    "reset-of-nothing": (frame(RESET, 0, 1, bytes(4)), 1),
    "short-reset": (frame(RESET, 0, 1, bytes(3)), 6),
    "window-of-nothing": (frame(WINDOW, 0, 1, b"\0\0\0\1"), 1),
    "window-by-nothing": (frame(WINDOW, 0, 0, bytes(4)), 1),
    "short-window": (frame(WINDOW, 0, 0, bytes(3)), 6),
    "window-too-large": (frame(WINDOW, 0, 0, b"\x7f\xff\xff\xff"), 3),
    "lone-continuation": (frame(CONTINUATION, 4, 1, b""), 1),
    "head-of-the-link": (frame(HEADERS, 4, 0, head()), 1),
    "even-stream": (frame(HEADERS, 4, 2, head()), 1),
    "interrupted-head": (frame(HEADERS, 0, 1, head()) + frame(PING, payload=bytes(8)), 1),
    "head-of-another": (frame(HEADERS, 0, 1, head()) + frame(CONTINUATION, 4, 3), 1),
    "padding-too-long": (frame(HEADERS, 12, 1, b"\x05abc"), 1),
    "no-padding": (frame(HEADERS, 12, 1), 1),
    "priority-cut": (frame(HEADERS, 0x24, 1, b"abc"), 6),
    "short-priority": (frame(PRIORITY, 0, 1, b"abc"), 6),
    "short-goodbye": (frame(GOAWAY, payload=bytes(7)), 6),
    "long-frame": (b"\xff\xff\xff" + frame(DATA)[3:], 6),
    "long-head": (frame(HEADERS, 4, 1, bytes(MAX_HEADERS + 1)), 11),
    "unreadable-head": (frame(HEADERS, 4, 1, b"\xff\xff\xff\xff\xff\xff\xff"), 9),
    "no-such-entry": (frame(HEADERS, 4, 1, b"\xfe"), 9),
    "second-head": (frame(HEADERS, 4, 1, head()) + frame(HEADERS, 4, 1, head()), 1),
    "data-behind-the-end": (frame(HEADERS, 5, 1, head()) + frame(DATA, 0, 1, b"x"), 5),
    "more-than-the-window": (frame(HEADERS, 4, 1, head()) + 5 * frame(DATA, 0, 1, bytes(MAX_FRAME)), 3),
}


@pytest.mark.parametrize("case", WRONG)
def test_what_breaks_the_rules_ends_the_link(case, server):
    said, code = WRONG[case]
    assert refused(server, said)[1] == code


@pytest.mark.parametrize("case", WRONG)
def test_it_is_the_same_byte_by_byte(case, server):
    said, code = WRONG[case]
    assert refused(server, *[bytes([octet]) for octet in said[:200]], said[200:])[1] == code


@pytest.mark.parametrize("said", [b"GET / HTTP/1.1\r\n\r\n", b"\0", PREFACE[:20] + b"xxxx", b"PRJ"])
def test_not_the_preface(said):
    core = Http2(client=False)
    assert refused(core, said)[1] == 1


@pytest.mark.parametrize(
    "first", [frame(PING, payload=bytes(8)), frame(SETTINGS, 1), frame(DATA, 0, 1, b"x"), frame(77)]
)
@pytest.mark.parametrize("client", [False, True])
def test_settings_come_first(client, first):
    core = Http2(client=client)
    core.drain()
    refused(core, (b"" if client else PREFACE) + first)


def test_a_server_that_opens_streams_or_answers_nothing(served):
    refused(served, frame(HEADERS, 4, 2, head([(":status", "200")])))


def test_payload_before_the_head_of_the_answer(served):
    number = served.open(ASKED)
    refused(served, frame(DATA, 0, number, b"x"))


@pytest.mark.parametrize(
    "lines",
    [
        [(":status", "2x0")],
        [(":status", "099")],
        [("a", "b")],
        [(":status", "200"), (":status", "200")],
        [("a", "b"), (":status", "200")],
        [(":status", "200"), (":path", "/")],
    ],
)
def test_answers_that_break_the_rules(lines, served):
    number = served.open(ASKED)
    served.drain()
    (happened,) = served.feed(frame(HEADERS, 4, number, head(lines)))
    assert happened[:2] == ("reset", number)
    assert kinds(served.drain()) == [RESET]


GOOD = [(":method", "GET"), (":scheme", "https"), (":authority", "a"), (":path", "/")]


@pytest.mark.parametrize(
    "lines",
    [
        GOOD[1:],
        GOOD[:3],
        [GOOD[0], *GOOD[2:]],
        [*GOOD, (":path", "/")],
        [*GOOD, (":other", "/")],
        [*GOOD[:3], (":path", "nowhere")],
        [("x", "y"), *GOOD],
        [*GOOD, ("Upper", "y")],
        [*GOOD, ("", "y")],
        [*GOOD, ("connection", "close")],
        [*GOOD, ("x", "a\r\nb: c")],
        [(":method", "CONNECT"), *GOOD[1:]],
        [(":method", "CONNECT")],
    ],
)
def test_requests_that_break_the_rules(lines, server):
    encoder = Encoder()
    assert list(server.feed(frame(HEADERS, 4, 1, head(lines, encoder)))) == []
    assert frames(server.drain()) == [(RESET, 0, 1, b"\0\0\0\1")]
    (happened,) = server.feed(frame(HEADERS, 4, 3, head(GOOD, encoder)))
    assert happened.kind == "opened"


def test_the_host_stands_in_for_the_authority(server):
    (happened,) = server.feed(frame(HEADERS, 4, 1, head([*GOOD[:2], GOOD[3], ("host", "h")])))
    assert happened.value.authority == b"h"


def test_extensions_are_passed_over(server):
    assert list(server.feed(frame(77, 5, 9, b"what") + frame(SETTINGS, payload=struct.pack(">HL", 77, 1)))) == []
    assert kinds(server.drain()) == [SETTINGS]


# -- floods -----------------------------------------------------------------------------------------------------------

FLOODS = {
    "ping": frame(PING, payload=bytes(8)),
    "ping-answers": frame(PING, 1, payload=bytes(8)),
    "settings": frame(SETTINGS),
    "settings-answers": frame(SETTINGS, 1),
    "priority": frame(PRIORITY, 0, 1, bytes(5)),
    "unknown": frame(99),
    "empty-data": frame(DATA, 0, 1),
    "padding": frame(DATA, 8, 1, b"\0"),
    "goodbye": frame(GOAWAY, payload=bytes(8)),
}


@pytest.mark.parametrize("kind", FLOODS)
def test_floods_end_the_link(kind, server):
    server.feed(frame(HEADERS, 4, 1, head()))
    error, code = refused(server, *[FLOODS[kind] * 10] * 500)
    assert (error.word, code) == ("protocol-flood", 11)


@pytest.mark.parametrize("kind", ["ping", "settings"])
def test_what_is_not_read_is_bounded(kind, server):
    server._allowance = 1 << 30
    with pytest.raises(ProtocolError, match="does not read"):
        for _ in range(5000):
            server.feed(FLOODS[kind])
    assert len(server.drain()) < 64 * 1024


def test_rapid_resets_end_the_link(server):
    encoder = Encoder()
    said = [frame(HEADERS, 4, n, head(GOOD, encoder)) + frame(RESET, 0, n, bytes(4)) for n in range(1, 6001, 2)]
    error, code = refused(server, *said)
    assert (error.word, code) == ("protocol-flood", 11)


def test_resets_of_streams_that_were_good_for_something_are_no_flood(server):
    encoder = Encoder()
    for number in range(1, 6001, 2):
        server.feed(frame(HEADERS, 4, number, head(GOOD, encoder)))
        server.answer(number, Response(200))
        server.send(number, b"")
        server.feed(frame(RESET, 0, number, bytes(4)))
        server.drain()


def test_time_and_payload_make_up_for_pings(server):
    for turn in range(40):
        for _ in range(900):
            server.feed(FLOODS["ping"])
            server.drain()
        server.tick(1000 + 30 * turn)
    server.feed(frame(HEADERS, 4, 1, head()))
    for _ in range(3000):
        server.feed(FLOODS["ping"] + frame(DATA, 0, 1, b"x"))
        server.drain()


def test_streams_that_are_refused_are_a_flood(server):
    encoder = Encoder()
    said = [frame(HEADERS, 4, n, head(GOOD, encoder)) for n in range(1, 6001, 2)]
    assert refused(server, *said)[0].reason == "flood"
    assert len(server._streams) == MAX_STREAMS


def test_heads_without_an_end(server):
    assert refused(server, frame(HEADERS, 0, 1), *[frame(CONTINUATION, 0, 1)] * 100)[1] == 11


def test_heads_that_grow(server):
    error, _ = refused(server, frame(HEADERS, 0, 1), *[frame(CONTINUATION, 0, 1, bytes(8000))] * 3)
    assert isinstance(error, TooLarge)


def test_heads_that_unfold(server):
    """HPACK bomb: one long field, and then a reference to it in each octet."""
    encoder = Encoder()
    long = encoder.encode([("x", "y" * 3900)], huffman=False)
    error, code = refused(server, frame(HEADERS, 4, 1, head(GOOD, Encoder()) + long + b"\xbe" * 8000))
    assert isinstance(error, TooLarge)
    assert code == 11


@settings(max_examples=300)
@given(
    data=st.lists(
        st.tuples(
            st.integers(0, 11), st.integers(0, 63), st.sampled_from([0, 1, 1, 2, 3, 5, 1 << 31]), st.binary(max_size=40)
        ),
        max_size=12,
    ),
    client=st.booleans(),
)
def test_any_frames_have_a_verdict(data, client):
    core = Http2(client=client)
    said = [PREFACE] * (not client) + [frame(SETTINGS)]
    if client:
        core.open(ASKED)
    else:
        said.append(frame(HEADERS, 4, 1, head()))
    said += [frame(kind, flags, number % (1 << 32), payload) for kind, flags, number, payload in data]
    whole = Http2(client=client)
    if client:
        whole.open(ASKED)
    verdicts = []
    for each, pieces in ((core, said), (whole, [b"".join(said)])):
        happened = []
        try:
            for piece in pieces:
                happened += each.feed(piece)
            verdicts.append([(kind, number) for kind, number, _ in happened if kind != "data"])
        except ProtocolError as error:
            verdicts.append(error.word)
            assert kinds(each.drain())[-1] == GOAWAY
        assert each._grants + each._owed + sum(its.unread for its in each._streams.values()) <= each._link_window
    assert verdicts[0] == verdicts[1]
