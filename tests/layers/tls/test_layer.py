"""gproxy.layers.tls.layer: both roles against each other."""

from __future__ import annotations

import hmac
import os
import struct

import pytest
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from gproxy.base.errors import AuthError, DialError, ProtocolError, StreamClosed
from gproxy.relay import relay
from gproxy.rt.group import Group
from tests.conformance.streams import tcp_pair
from tests.layers.tls.lab import AUTHORITY, NAME, Both, client, connection_of, make, server
from tests.support.pipe import pipe
from tests.support.playbook import new_session, play
from tests.wire.laws_clienthello import FULL, records

pytestmark = pytest.mark.usefixtures("no_leaks")


def read(stream, size):
    data = b""
    while len(data) < size:
        piece = stream.recv()
        assert piece, f"the end after {len(data)} bytes"
        data += piece
    return data


@pytest.mark.parametrize("version", ["1.2", "1.3"])
def test_bytes_both_ways_and_both_ends(version):
    payload = os.urandom(300_000)
    with Both(server(), client(max_version=version, min_version=version)) as both:
        with Group("test") as group:
            group.spawn(both.near.sendall, payload)
            assert read(both.far, len(payload)) == payload
            both.far.sendall(b"answer")
            assert read(both.near, 6) == b"answer"
        both.near.close_write()
        assert both.far.recv() == b""
        both.far.sendall(b"after that")
        assert read(both.near, 10) == b"after that"
        both.far.close_write()
        assert both.near.recv() == b""
        assert both.near.recv() == b""


def test_byte_by_byte():
    with Both(server(), client(), lambda: pipe(chunk=1)) as both:
        both.near.sendall(b"hello")
        assert read(both.far, 5) == b"hello"


def test_within_itself():
    with Both(server(), client()) as outer, Both(server(), client(), lambda: (outer.near, outer.far)) as inner:
        inner.near.sendall(b"hello")
        assert read(inner.far, 5) == b"hello"


def test_what_the_client_says_at_once_is_not_lost():
    with Both(server(), client()) as both:
        both.near.sendall(b"first words")
        both.near.close_write()
        assert read(both.far, 11) == b"first words"
        assert both.far.recv() == b""


def test_the_relay_takes_it_in_batches_and_ends_in_its_words():
    payload = os.urandom(2_000_000)
    with Both(server(), client()) as both, Group("test") as group:
        beyond, target = tcp_pair()
        assert both.far.record() is not None
        outcome = group.spawn(relay, both.far, beyond)
        group.spawn(lambda: (both.near.sendall(payload), both.near.close_write()))
        assert read(target, len(payload)) == payload
        assert target.recv() == b""
        group.spawn(lambda: (target.sendall(payload), target.close_write()))
        assert read(both.near, len(payload)) == payload
        assert both.near.recv() == b""
        outcome.join()
        target.close()
        beyond.close()


def test_a_client_that_half_closes_in_tls_alone():
    """Some peers say close_notify, and leave TCP as it is: that is an end all the same."""
    with Both(server(), client()) as both, Group("test") as group:
        beyond, target = tcp_pair()
        group.spawn(relay, both.far, beyond)
        both.near.sendall(b"hello")
        assert read(target, 5) == b"hello"
        both.near._inner.sendall(both.near._ending.say())
        assert target.recv() == b""
        target.sendall(b"answer")
        assert read(both.near, 6) == b"answer"
        target.close_write()
        assert both.near.recv() == b""
        target.close()
        beyond.close()


# -- what the two agree on ---------------------------------------------------------------------------------------------


def test_the_servers_preference_among_the_clients_protocols():
    with Both(server(alpn=("h2", "http/1.1")), client(alpn=("http/1.1", "h2"))) as both:
        assert both.session.alpn == "h2"


@pytest.mark.parametrize("offers", [{}, {"alpn": ("smtp",)}])
def test_no_protocol_in_common(offers):
    with Both(server(alpn=("h2",)), client(**offers)) as both:
        assert both.session.alpn == ""


def test_versions_that_do_not_meet():
    with pytest.raises(DialError) as caught:
        with Both(server(min_version="1.3"), client(max_version="1.2")):
            pass
    assert caught.value.reason == "tls"


def test_a_server_for_one_name_only():
    with Both(server(server_name=NAME), client()) as both:
        assert both.error is None
    with Both(server(server_name="other.test"), client()) as both:
        assert isinstance(both.error, AuthError)


@pytest.mark.parametrize("group", ["P256", "P384", "P521", "X25519", "X25519MLKEM768"])
def test_groups(group):
    with Both(server(curve_preferences=(group,)), client(curve_preferences=(group,))) as both:
        both.near.sendall(b"x")
        assert both.far.recv() == b"x"
    with pytest.raises(DialError):
        with Both(server(curve_preferences=("P521",)), client(curve_preferences=("P256",))):
            pass


# -- who the client is -------------------------------------------------------------------------------------------------

CLIENT = make("client", issuer=AUTHORITY, client_only=True)
STRANGER = make("stranger", client_only=True)


def showing(made):
    return {"client_certificate": (made.chain,), "client_key": (made.key,)}


@pytest.mark.parametrize(
    ("mode", "shown", "welcome"),
    [
        ("no", {}, True),
        ("request", {}, True),
        ("request", showing(STRANGER), True),
        ("require-any", {}, False),
        ("require-any", showing(STRANGER), True),
        ("verify-if-given", {}, True),
        ("verify-if-given", showing(STRANGER), False),
        ("verify-if-given", showing(CLIENT), True),
        ("require-and-verify", {}, False),
        ("require-and-verify", showing(STRANGER), False),
        ("require-and-verify", showing(CLIENT), True),
    ],
)
def test_client_authentication(mode, shown, welcome):
    authorities = () if mode == "no" else (AUTHORITY.chain,)
    strict = server(client_authentication=mode, client_certificate=authorities)
    with Both(strict, client(**shown)) as both:
        assert (both.error is None) == welcome, both.error
        if not welcome:
            assert both.error.word == "protocol-tls"
            with pytest.raises(StreamClosed):
                while both.near.recv():
                    pass
                raise StreamClosed("an end in order is as good")


# -- bad peers ---------------------------------------------------------------------------------------------------------


def hello():
    near, far = pipe()
    with Group("test") as group:
        group.spawn(lambda: _ignore(client(handshake_timeout=0.2).connecting(lambda session: near)))
        data = far.recv()
        far.close()
    return data


def _ignore(connect):
    with pytest.raises(DialError):
        connect(new_session())


def refused(talk):
    error = talk.error()
    assert isinstance(error, ProtocolError), error
    return error


def never(stream, session):
    raise AssertionError("nobody gets that far")


@pytest.mark.parametrize("words", [b"GET / HTTP/1.1\r\n\r\n", bytes(99), b"\x16\x03\x01\xff\xff", b"\x80\x2e\x01\x03"])
def test_what_is_not_tls(words):
    assert refused(play(server().accepting(never)) >> words).reason == "tls"


def test_a_hello_that_is_cut_anywhere():
    data, tls = hello(), server()
    for cut in range(len(data)):
        talk = play(tls.accepting(never))
        if cut:
            talk = talk >> data[:cut]
        talk.end()
        assert refused(talk).reason == ("truncated" if cut else "empty")


def test_a_hello_with_any_wrong_byte_is_bounded():
    data, tls = hello(), server(handshake_timeout=0.05)
    for at in range(5, len(data), 23):
        wrong = bytearray(data)
        wrong[at] ^= 0xFF
        talk = play(tls.accepting(never)) >> bytes(wrong)
        assert refused(talk).reason in ("tls", "timeout"), at


def test_a_client_that_says_nothing():
    assert refused(play(server(handshake_timeout=0.1).accepting(never))).word == "protocol-timeout"


@pytest.mark.parametrize(
    "record",
    [
        struct.pack(">BHH", 23, 0x0303, 30) + os.urandom(30),
        struct.pack(">BHH", 23, 0x0303, 0x4900),
        b"\0" * 40,
    ],
    ids=["forged", "too long", "no record"],
)
def test_a_record_that_is_not_the_peers(record):
    with Both(server(), client()) as both:
        both.near.sendall(b"x")
        assert both.far.recv() == b"x"
        both.near._inner.sendall(record)
        with pytest.raises(StreamClosed) as caught:
            both.far.recv()
        assert caught.value.reason == "corrupt"


class Forger:
    """Makes records of a client's TLS 1.2 session that no client makes."""

    def __init__(self, both):
        connection = connection_of(both.near)
        assert connection.get_cipher_name() == "ECDHE-ECDSA-AES128-GCM-SHA256"
        seed = b"key expansion" + connection.server_random() + connection.client_random()
        block = self._expand(connection.master_key(), seed, 40)
        self._aead, self._fixed = AESGCM(block[:16]), block[32:36]
        self._number = 1  # the Finished was number 0
        self._stream = both.near._inner

    @staticmethod
    def _expand(secret, seed, size):
        made, step = b"", seed
        while len(made) < size:
            step = hmac.digest(secret, step, "sha256")
            made += hmac.digest(secret, step + seed, "sha256")
        return made

    def record(self, kind, payload):
        number = struct.pack(">Q", self._number)
        self._number += 1
        head = struct.pack(">BH", kind, 0x0303)
        sealed = self._aead.encrypt(self._fixed + number, payload, number + head + struct.pack(">H", len(payload)))
        return head + struct.pack(">H", 8 + len(sealed)) + number + sealed

    def send(self, data):
        self._stream.sendall(data)


def old():
    return Both(server(), client(max_version="1.2", cipher_suites=("TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256",)))


def test_renegotiation_is_declined_and_a_flood_of_it_ends_the_session():
    message = records(FULL)[5:]
    with old() as both:
        forger = Forger(both)
        forger.send(forger.record(22, message) + forger.record(23, b"goes on"))
        assert read(both.far, 7) == b"goes on"
        with pytest.raises(StreamClosed, match="more answers"):
            for _ in range(1000):
                forger.send(forger.record(22, message) + forger.record(23, b"x"))
                assert both.far.recv() == b"x"
        waits = both.far._opener._pipes.waiting()
        assert 0 < waits < 5000


@pytest.mark.parametrize("kind", [21, 22, 23])
def test_a_flood_of_empty_records_ends_the_session(kind):
    with old() as both:
        forger = Forger(both)
        forger.send(b"".join(forger.record(kind, b"") for _ in range(16 * 1024 // 29)))
        with pytest.raises(StreamClosed) as caught:
            both.far.recv()
        assert caught.value.reason == "corrupt"


@pytest.mark.parametrize("kind", [20, 21, 22, 23])
def test_16_kib_of_empty_records_instead_of_a_hello(kind):
    talk = play(server().accepting(never)) >> struct.pack(">BHH", kind, 0x0301, 0) * 3276
    assert refused(talk).reason == "tls"


def test_warnings_without_an_end():
    with old() as both:
        forger = Forger(both)
        forger.send(b"".join(forger.record(21, b"\x01\x5a") for _ in range(100)))
        with pytest.raises(StreamClosed):
            both.far.recv()


@pytest.mark.parametrize("version", ["1.2", "1.3"])
def test_many_handshakes_in_a_row(version):
    """A thousand of them are in tests.interop.test_tls."""
    tls = server()
    for _ in range(50):
        with Both(tls, client(max_version=version)) as both:
            both.near.sendall(b"x")
            assert both.far.recv() == b"x"


def test_tickets_leave_with_the_first_payload():
    sent = []

    class Counting:
        def __init__(self, inner):
            self._inner = inner

        def __getattr__(self, name):
            return getattr(self._inner, name)

        def sendall(self, data):
            sent.append(len(data))
            self._inner.sendall(data)

    def pair():
        near, far = tcp_pair()
        return near, Counting(far)

    with Both(server(), client(max_version="1.3"), pair) as both:
        assert len(sent) == 1
        both.far.sendall(b"x")
        assert len(sent) == 2
        assert both.near.recv() == b"x"
