from __future__ import annotations

import pytest

from gproxy.config.load import ConfigProblems, Source, load_sources
from gproxy.config.root import Root, read_root
from gproxy.protocol.mixed.options import MixedInboundOptions
from gproxy.protocol.socks.options import SocksOutboundOptions


def root_of(text: str, **environment: str) -> Root:
    return read_root(load_sources([Source("c.toml", text, "toml")], environment))


def test_a_whole_configuration():
    root = root_of(
        """
        "$schema" = "schema.json"
        log.level = "debug"
        [[inbounds]]
        type = "mixed"
        listen_port = "${PORT}"
        users = [{ username = "u", password = "${PASSWORD}" }]
        [[outbounds]]
        type = "socks"
        server = "192.0.2.1"
        server_port = 1080
        [route]
        rules = [{ domain_suffix = "example.org", outbound = "0" }]
        """,
        PORT="1080",
        PASSWORD="hunter2",
    )
    assert root.log.level == "debug"
    inbound, outbound = root.inbounds[0], root.outbounds[0]
    assert isinstance(inbound, MixedInboundOptions)
    assert isinstance(outbound, SocksOutboundOptions)
    assert inbound.listen_port == 1080
    assert inbound.users[0].password.reveal() == "hunter2"
    assert "hunter2" not in repr(root)


def test_nothing_is_a_configuration_too():
    assert root_of("") == Root()


@pytest.mark.parametrize(
    "text", ["x = 1", "runtime.wrokers = 1", "[[inbounds]]\ntype = 'mixed'\ndetour = 'x'", "log.output = '${NOPE}'"]
)
def test_any_problem_gives_no_root_at_all(text):
    with pytest.raises(ConfigProblems) as caught:
        root_of(text)
    assert len(caught.value.problems) == 1
    assert caught.value.word == "config"
