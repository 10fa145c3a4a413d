from __future__ import annotations

import pytest

from gproxy.config.listening import check_listen, listening
from gproxy.protocol.direct.options import DirectInboundOptions
from gproxy.protocol.mixed.options import MixedInboundOptions
from gproxy.schema.fields import Port, PortRange


def test_where_an_inbound_listens():
    mixed = MixedInboundOptions(type="mixed", listen="::1", listen_port=Port(80), listen_ports=(PortRange(90, 99),))
    assert [each.text() for each in listening(mixed)] == ["tcp [::1]:80", "tcp [::1]:90-99"]
    direct = DirectInboundOptions(type="direct", listen_port=Port(53))
    assert [each.what for each in listening(direct)] == ["tcp", "udp"]
    assert [each.text() for each in listening(MixedInboundOptions(type="mixed", listen="unix:@x"))] == ["unix:@x"]
    assert list(listening(MixedInboundOptions(type="mixed"))) == []


@pytest.mark.parametrize("listen", ["localhost", "1.2.3", "unix:", "unix:@", "unix:/" + "x" * 107])
def test_what_is_no_address(listen):
    (problem,) = check_listen(MixedInboundOptions(type="mixed", listen=listen), ("inbounds", 0))
    assert problem.path == ("inbounds", 0, "listen")


def test_a_unix_socket_has_no_port():
    options = MixedInboundOptions(type="mixed", listen="unix:/x", listen_port=Port(1))
    assert "no port" in next(check_listen(options, ())).message


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("bind_interface", "lo"), ("routing_mark", 1), ("reuse_addr", True), ("tcp_fast_open", True),
        ("tcp_multi_path", True), ("network", ("udp",)),
    ],
)  # fmt: skip
def test_what_a_unix_socket_would_ignore(key, value):
    options = DirectInboundOptions(type="direct", listen="unix:/x", **{key: value})
    (problem,) = check_listen(options, ())
    assert problem.path == (key,)
    assert list(check_listen(DirectInboundOptions(type="direct", listen_port=Port(1), **{key: value}), ())) == []
