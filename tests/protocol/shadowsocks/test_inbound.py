"""gproxy.protocol.shadowsocks.inbound."""

from __future__ import annotations

import os

import pytest

from gproxy.base.errors import AuthError, DialError, ProtocolError, ReplayError, StreamClosed, Unsupported
from gproxy.base.iface import Managed
from gproxy.protocol.shadowsocks import inbound as module
from gproxy.protocol.shadowsocks.wire.chunks import ChunkSealer
from gproxy.protocol.shadowsocks.wire.keys import key_of_password, session_key_aead
from gproxy.protocol.shadowsocks.wire.methods import METHODS
from tests.protocol.shadowsocks.lab import METHODS_NOW, NAME, RETIRED, V4, door, first_words, make_inbound, secret
from tests.support.dispatch import RecordingDispatcher
from tests.support.pipe import pipe
from tests.support.playbook import Watched, new_session, play
from tests.support.replays import no_replays
from tests.support.wait import wait_until

pytestmark = pytest.mark.usefixtures("no_leaks")

AEAD, MODERN = "aes-128-gcm", "2022-blake3-aes-128-gcm"
QUIET = RecordingDispatcher


@pytest.fixture(autouse=True)
def short_patience(monkeypatch):
    monkeypatch.setattr(module, "HANDSHAKE_TIMEOUT", 0.3)


def accepting(replays=None, dispatcher=None, **tree):
    return door(make_inbound(dispatcher or RecordingDispatcher(echo=False), replays, **tree))


def single(method):
    return {"method": method, "password": secret(method)}


def refused(talk):
    """Nothing was said to the client, and it was closed; what the log is told."""
    error = talk.error()
    talk.ended()
    return error


@pytest.mark.parametrize("method", METHODS_NOW)
def test_a_wrong_key(method):
    words = first_words(method=method, password=secret(method, 2))
    assert isinstance(refused(play(accepting(**single(method))) >> words), AuthError)


@pytest.mark.parametrize("method", METHODS_NOW)
def test_garbage(method):
    assert isinstance(refused(play(accepting(**single(method))) >> os.urandom(500)), AuthError)


@pytest.mark.parametrize("method", [*METHODS_NOW, *RETIRED])
def test_a_replayed_beginning(method):
    dispatcher, replays = RecordingDispatcher(echo=False), no_replays()
    accept = accepting(replays, dispatcher, **single(method))
    words = first_words(**single(method))
    talk = play(accept) >> words
    talk.end()
    talk.ended()
    assert bytes(dispatcher.received) == b"hello"
    assert isinstance(refused(play(accept) >> words), ReplayError)
    assert len(dispatcher.sessions) == 1


@pytest.mark.parametrize("method", METHODS_NOW)
def test_a_beginning_without_its_end(method):
    words = first_words(**single(method))
    for cut in (1, 15, 16, 20, len(words) - 1):
        error = refused(play(accepting(**single(method))) >> words[:cut])
        assert isinstance(error, ProtocolError | StreamClosed), (cut, error)
        assert error.word == "protocol-timeout", (cut, error.word)


@pytest.mark.parametrize("method", [AEAD, MODERN])
def test_a_client_that_leaves_inside_its_beginning(method):
    words = first_words(**single(method))
    talk = play(accepting(**single(method))) >> words[:20]
    talk.end()
    assert talk.error().word == "protocol-truncated"
    talk = play(accepting(**single(method)))
    talk.end()
    assert talk.error().word == "protocol-empty"


def test_a_retired_cipher_is_told_at_the_start(caplog):
    make_inbound(method="rc4-md5", password="pw")
    assert "rc4-md5 is retired" in caplog.text


def test_a_client_that_fails_is_closed_when_a_silent_one_would_be(monkeypatch):
    from gproxy.base.clock import now

    seconds = []
    for words in (b"", os.urandom(20), os.urandom(34), os.urandom(5000)):
        began = now()
        talk = play(accepting(**single(AEAD)))
        if words:
            talk = talk >> words
        refused(talk)
        seconds.append(now() - began)
    assert all(0.29 < each < 2 for each in seconds), seconds


def test_a_wrong_bit_after_the_beginning():
    words = bytearray(first_words(payload=os.urandom(20_000), **single(AEAD)))
    words[-1] ^= 1
    dispatcher = RecordingDispatcher(echo=False)
    talk = play(accepting(None, dispatcher, **single(AEAD))) >> bytes(words[:-100])
    wait_until(lambda: dispatcher.received, "the first record was not opened")
    talk = talk >> bytes(words[-100:])
    talk.closed()
    assert 0 < len(dispatcher.received) < 20_000  # what was genuine, and nothing after it


@pytest.mark.parametrize("address", [b"\x05\x01\x02\x03\x04\0\x50", b"\0" * 7, b"\xff" * 30])
def test_address_types_that_do_not_exist(address):
    method = METHODS[AEAD]
    salt = os.urandom(16)
    sealer = ChunkSealer(method.cipher(session_key_aead(key_of_password(method, "pw"), salt)), salt, address)
    target = memoryview(bytearray(200))
    words = target[: sealer.seal_into(b"x", target)].tobytes()
    assert isinstance(refused(play(accepting(method=AEAD, password="pw")) >> words), Unsupported)


def test_an_address_may_come_in_pieces():
    method = METHODS[AEAD]
    salt = os.urandom(16)
    sealer = ChunkSealer(method.cipher(session_key_aead(key_of_password(method, "pw"), salt)), salt)
    dispatcher = RecordingDispatcher(echo=False)
    talk = play(accepting(None, dispatcher, method=AEAD, password="pw"))
    for piece in (b"\x03\x0bexa", b"mple.com", b"\x01", b"\xbbhello"):
        target = memoryview(bytearray(200))
        talk = talk >> target[: sealer.seal_into(piece, target)].tobytes()
    talk.end()
    talk.ended()
    assert dispatcher.session.target == NAME
    assert bytes(dispatcher.received) == b"hello"


# -- several users -----------------------------------------------------------------------------------------------------


def several(method):
    users = [{"name": f"user{seed}", "password": secret(method, seed)} for seed in (2, 3, 4)]
    return {"method": method, "users": users} | ({"password": secret(method)} if method == MODERN else {})


def as_user(method, seed):
    password = secret(method, seed)
    return {"method": method, "password": f"{secret(method)}:{password}" if method == MODERN else password}


@pytest.mark.parametrize("method", [AEAD, MODERN])
def test_users_are_told_apart(method):
    dispatcher = RecordingDispatcher(echo=False)
    accept = accepting(None, dispatcher, **several(method))
    for seed in (3, 2, 4, 3):
        talk = play(accept) >> first_words(**as_user(method, seed))
        talk.end()
        talk.ended()
        assert dispatcher.sessions[-1].user == f"user{seed}"
    assert isinstance(refused(play(accept) >> first_words(**as_user(method, 9))), AuthError)


def test_the_servers_own_key_is_no_users():
    accept = accepting(**several(MODERN))
    assert isinstance(refused(play(accept) >> first_words(method=MODERN, password=secret(MODERN))), AuthError)


@pytest.mark.parametrize("method", [AEAD, MODERN])
def test_users_that_a_service_rules(method):
    dispatcher = RecordingDispatcher(echo=False)
    tree = {"method": method, "managed": True} | ({"password": secret(method)} if method == MODERN else {})
    inbound = make_inbound(dispatcher, **tree)
    assert isinstance(inbound, Managed)
    assert isinstance(refused(play(door(inbound)) >> first_words(**as_user(method, 3))), AuthError)
    inbound.manage([("user3", secret(method, 3))])
    talk = play(door(inbound)) >> first_words(**as_user(method, 3))
    talk.end()
    talk.ended()
    assert dispatcher.session.user == "user3"
    inbound.manage([("user2", secret(method, 2))])
    assert isinstance(refused(play(door(inbound)) >> first_words(**as_user(method, 3))), AuthError)


# -- relay -------------------------------------------------------------------------------------------------------------


def test_a_relay_takes_its_header_off_and_passes_on():
    dispatcher = RecordingDispatcher(echo=False)
    server = {"name": "far", "server": "192.0.2.77", "server_port": 8388, "password": secret(MODERN, 5)}
    relay = accepting(None, dispatcher, method=MODERN, password=secret(MODERN), destinations=[server])
    words = first_words(method=MODERN, password=f"{secret(MODERN)}:{secret(MODERN, 5)}")
    talk = play(relay) >> words
    talk.end()
    talk.ended()
    session = dispatcher.session
    assert (str(session.target), session.user) == ("192.0.2.77:8388", "far")
    assert bytes(dispatcher.received) == words[:16] + words[32:]
    # ... which is what the far server expects from a client of its own.
    far = RecordingDispatcher(echo=False)
    talk = play(accepting(None, far, method=MODERN, password=secret(MODERN, 5))) >> bytes(dispatcher.received)
    talk.end()
    talk.ended()
    assert far.session.target == V4
    assert bytes(far.received) == b"hello"


# -- what the client is told -------------------------------------------------------------------------------------------


def test_a_target_that_is_not_to_be_had_is_a_reset():
    near, far = pipe()
    far.sendall(first_words(**single(AEAD)))
    accepting(None, RecordingDispatcher(error=DialError(reason="refused")), **single(AEAD))(near, new_session())
    with pytest.raises(StreamClosed):
        while far.recv():
            pass


def test_no_door_for_streams():
    assert make_inbound(method=AEAD, password="pw", network="tcp").entrances()
    assert not [
        each for each in make_inbound(method=AEAD, password="pw", network="udp").entrances() if each.kind == "stream"
    ]


def test_that_it_has_failed_is_told_while_it_is_swallowed():
    """Who guesses could go on meanwhile."""
    watched = Watched()
    talk = play(accepting(**single(AEAD)), watched.session) >> os.urandom(500)
    wait_until(lambda: watched.failures, "not told")
    assert talk._error is None, "it is over"
    talk.end()
    assert [talk.error()] == watched.failures
    assert isinstance(watched.failures[0], AuthError)
