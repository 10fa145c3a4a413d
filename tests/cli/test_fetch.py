from __future__ import annotations

import io

import pytest

from gproxy.app.outbounds import build_ways
from gproxy.app.plugins import Plugins
from gproxy.base.errors import DialError, ProtocolError, StreamClosed
from gproxy.cli.fetch import fetch_to
from gproxy.config.root import Root
from gproxy.rt.group import Group
from gproxy.schema.tls import Authorities
from gproxy.wire.http1.location import Location
from tests.engine.stand_ins import FakeOutbound
from tests.layers.tls.lab import AUTHORITY, NAME, server
from tests.support.origin import content, http_origin, https_origin, tcp_echo
from tests.support.pipe import pipe
from tests.support.playbook import new_session
from tests.support.tls import make_certificate


def fetch(url: str, *authorities: Authorities) -> tuple[int, bytes]:
    out = io.BytesIO()
    outbounds = build_ways(Root(), Plugins()).all()
    return fetch_to(outbounds.get(outbounds.default, "tcp"), Location.parse(url), out, *authorities), out.getvalue()


def test_http():
    with http_origin() as server:
        assert fetch(f"http://{server.authority}/bytes/70000") == (200, b"".join(content(70000)))
        assert fetch(f"http://{server.authority}/chunked/70000") == (200, b"".join(content(70000)))
        assert fetch(f"http://{server.authority}/status/404") == (404, b"")


def test_https_is_verified(tmp_path, monkeypatch):
    certificate = make_certificate(tmp_path)
    with https_origin(certificate.chain, certificate.key) as server:
        port = server.authority.rpartition(":")[2]
        with pytest.raises(DialError) as caught:
            fetch(f"https://127.0.0.1:{port}/")
        assert caught.value.word == "dial-tls-untrusted"
        told = Authorities(store="none", certificate_path=(str(certificate.authority),))
        assert fetch(f"https://127.0.0.1:{port}/bytes/70000", told) == (200, b"".join(content(70000)))
        monkeypatch.setenv("SSL_CERT_FILE", str(certificate.authority))
        assert fetch(f"https://127.0.0.1:{port}/bytes/70000") == (200, b"".join(content(70000)))


@pytest.mark.parametrize("said", [True, False])
def test_a_body_that_ends_with_the_stream_has_to_end_in_order(said):
    def answer(stream, session):
        assert stream.recv().startswith(b"GET / HTTP/1.1\r\n")
        stream.sendall(b"HTTP/1.1 200 OK\r\n\r\nall there is")
        if said:
            stream.close_write()
        far.close_write()

    near, far = pipe()
    told = Authorities(store="none", certificate=(AUTHORITY.chain,))
    out = io.BytesIO()
    with Group("test") as group:
        group.spawn(server().accepting(answer), far, new_session())
        outbound = FakeOutbound(lambda target, session: near)
        location = Location.parse(f"https://{NAME}/")
        if said:
            assert fetch_to(outbound, location, out, told) == 200
            assert out.getvalue() == b"all there is"
        else:
            with pytest.raises(StreamClosed) as caught:
                fetch_to(outbound, location, out, told)
            assert caught.value.word == "closed-truncated"


def test_what_does_not_speak_http():
    with tcp_echo() as server, pytest.raises(ProtocolError):
        fetch(f"http://{server.authority}/")
