"""gproxy.layers.tls.choice: whom a hello is for, and what is said to those for whom nobody is."""

from __future__ import annotations

import pytest

from gproxy.base.errors import AuthError, ProtocolError
from gproxy.layers.tls.choice import Choice, Member
from gproxy.layers.tls.hello import NO_APPLICATION_PROTOCOL, UNRECOGNIZED_NAME
from gproxy.layers.tls.supply import Supply
from gproxy.schema.tls import TlsInbound
from tests.layers.tls.lab import NAME, Both, client, make, server
from tests.support.playbook import play
from tests.wire.laws_clienthello import alpn, host, message, records, versions

pytestmark = pytest.mark.usefixtures("no_leaks")


def hello(name="", *protocols):
    extensions = [host(name.encode())] if name else []
    extensions += [alpn(*protocols)] if protocols else []
    return records(message(*extensions, versions(0x0304)))


def choosing(members, timeout=5.0):
    """A choice between these, and who was chosen with what was read by then."""
    met = []

    def serve(tag):
        return lambda stream, session: met.append((tag, session.inbound, session.udp_timeout, stream.recv()))

    choice = Choice(timeout)
    for tag, (name, protocols, supply) in members.items():
        options = TlsInbound(enabled=True, server_name=name, alpn=protocols)
        choice.add(Member.of(tag, 7.0, serve(tag), options, supply))
    return choice, met


MEMBERS = {
    "one": ("One.test", ("h2", "http/1.1"), None),
    "one-smtp": ("one.test", ("smtp",), None),
    "two": ("two.test", ("h2",), None),
    "h3": ("", ("h3",), None),
    "all": ("", (), None),
    "after": ("", ("h2",), None),
}


@pytest.mark.parametrize(
    ("words", "tag"),
    [
        (hello("one.test", b"h2"), "one"),
        (hello("ONE.test", b"x", b"http/1.1"), "one"),
        (hello("one.test", b"smtp"), "one-smtp"),
        (hello("one.test", b"smtp", b"h2"), "one"),  # the first that fits
        (hello("one.test", b"h3"), "h3"),  # of the name nobody speaks it
        (hello("one.test"), "all"),
        (hello("two.test", b"h2"), "two"),
        (hello("two.test", b"smtp"), "two"),  # the name is enough where it is one's alone
        (hello("two.test"), "two"),
        (hello("other.test", b"h3"), "h3"),
        (hello("other.test", b"h2"), "after"),
        (hello("other.test"), "all"),
        (hello(), "all"),
        (b"GET / HTTP/1.1\r\n\r\n", "all"),
    ],
)
def test_whom_it_is_for(words, tag):
    choice, met = choosing(MEMBERS)
    (play(choice.accept) >> words).error()
    assert met == [(tag, tag, 7.0, words)]


def test_cut_anywhere_it_is_still_understood():
    choice, met = choosing(MEMBERS)
    (play(choice.accept, chunk=1) >> hello("two.test", b"h2")).error()
    assert met == [("two", "two", 7.0, hello("two.test", b"h2"))]


def refused(choice, words):
    talk = play(choice.accept) >> words
    return talk, talk.error()


def test_nobody_is_for_that_name():
    choice, met = choosing({key: MEMBERS[key] for key in ("one", "two")})
    for words in (hello("three.test", b"h2"), hello()):
        talk = play(choice.accept) >> words << UNRECOGNIZED_NAME
        assert isinstance(talk.error(), AuthError)
    assert not met


def test_nobody_speaks_that():
    for keys, name in ((("one", "one-smtp"), "one.test"), (("h3", "after"), "")):
        choice, met = choosing({key: MEMBERS[key] for key in keys})
        talk = play(choice.accept) >> hello(name, b"ftp") << NO_APPLICATION_PROTOCOL
        assert talk.error().word == "protocol-alpn"
        assert not met


def test_what_is_no_hello_goes_to_the_first_without_one_for_all():
    choice, met = choosing({key: MEMBERS[key] for key in ("two", "one")})
    (play(choice.accept) >> b"SSH-2.0-x\r\n").error()
    assert met == [("two", "two", 7.0, b"SSH-2.0-x\r\n")]


def test_an_authority_finds_whoever_proves_the_name():
    made = make("asked.test")
    supply = Supply()
    supply.take("", {"asked.test": made.key + made.chain})
    choice, met = choosing({"all": ("", (), None), "proves": ("x.test", (), supply)})
    (play(choice.accept) >> hello("asked.test", b"acme-tls/1")).error()
    (play(choice.accept) >> hello("else.test", b"acme-tls/1")).error()
    assert [tag for tag, *_ in met] == ["proves", "all"]


def test_a_client_that_says_nothing():
    choice, _met = choosing(MEMBERS, timeout=0.05)
    talk = play(choice.accept)
    assert isinstance(talk.error(), ProtocolError)
    assert talk.error().word == "protocol-timeout"


@pytest.mark.parametrize(("protocols", "agreed"), [(("h2",), "h2"), (("http/1.1",), "http/1.1"), ((), "")])
def test_a_handshake_goes_on_where_it_was_looked_at(protocols, agreed):
    class Layer:
        """Two inbounds with TLS, as a layer."""

        def accepting(self, then):
            choice = Choice(5.0)
            for tag, names in (("web", ("http/1.1",)), ("grpc", ("h2",)), ("rest", ())):
                options = TlsInbound(alpn=names)
                choice.add(Member.of(tag, 1.0, server(alpn=names).accepting(then), options, None))
            return choice.accept

    with Both(Layer(), client(NAME, alpn=protocols)) as both:
        assert both.session.alpn == agreed
        both.near.sendall(b"x")
        assert both.far.recv() == b"x"
        assert both.far.record() is not None  # nothing stays between the session and its descriptor
