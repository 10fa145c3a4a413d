from __future__ import annotations

import pytest

from gproxy.app.outbounds import IMPLICIT_OUTBOUND, build_ways
from gproxy.app.plugins import Plugins
from gproxy.base.address import Address
from gproxy.base.errors import ConfigError, DialError, Rejected
from gproxy.config.root import Root
from gproxy.engine.outbounds import Outbounds
from tests.app.rooms import root_of
from tests.support.playbook import new_session

pytestmark = pytest.mark.usefixtures("no_leaks")


def build_outbounds(root: Root) -> Outbounds:
    return build_ways(root, Plugins()).all()


def test_without_outbounds_there_is_a_direct_one() -> None:
    outbounds = build_outbounds(root_of())
    assert outbounds.default == IMPLICIT_OUTBOUND
    outbounds.get(IMPLICIT_OUTBOUND, "tcp")


def test_the_first_outbound_is_the_default() -> None:
    outbounds = build_outbounds(root_of(outbounds=[{"type": "block", "tag": "b"}, {"type": "direct", "tag": "d"}]))
    assert outbounds.default == "b"
    with pytest.raises(Rejected):
        outbounds.get("b", "tcp").dial(Address("x.test", 1), new_session())


def test_one_without_a_tag_is_known_by_its_place() -> None:
    outbounds = build_outbounds(root_of(outbounds=[{"type": "block"}, {"type": "direct"}]))
    assert outbounds.default == "0"
    outbounds.get("1", "udp")


def test_a_detour_may_lead_to_a_later_one() -> None:
    outbounds = build_outbounds(
        root_of(outbounds=[{"type": "direct", "tag": "a", "detour": "b"}, {"type": "block", "tag": "b"}])
    )
    with pytest.raises(Rejected):
        outbounds.get("a", "tcp").dial(Address("x.test", 1), new_session())


def test_who_believes_anybody_is_warned(caplog: pytest.LogCaptureFixture) -> None:
    server = {"type": "http", "tag": "out", "server": "a.test", "server_port": 443}
    build_outbounds(root_of(outbounds=[{**server, "tls": {"enabled": True}}]))
    build_outbounds(root_of(outbounds=[{**server, "tls": {"enabled": False, "insecure": True}}]))
    assert "insecure" not in caplog.text
    build_outbounds(root_of(outbounds=[{**server, "tls": {"enabled": True, "insecure": True}}]))
    [record] = caplog.records
    assert (record.name, record.levelname) == ("gproxy.outbound.out", "WARNING")
    assert "`tls.insecure`" in record.message


def test_the_table_says_whom_outbounds_believe() -> None:
    server = {"type": "http", "server": "a.test", "server_port": 443, "tls": {"enabled": True}}
    with pytest.raises(ConfigError, match="not PEM certificates"):
        build_outbounds(root_of(outbounds=[server], certificate={"certificate": "no PEM"}))


def test_one_with_a_breaker_has_it() -> None:
    proxy = {"type": "socks", "tag": "p", "server": "127.0.0.1", "server_port": 1, "breaker": {"failures": 1}}
    ways = build_ways(root_of(outbounds=[proxy, {**proxy, "tag": "q", "breaker": None}]), Plugins())
    assert list(ways.breakers) == ["p"]
    for reason in ("refused", "breaker"):
        with pytest.raises(DialError) as caught:
            ways.by_tag["p"].dial(Address("x.test", 1), new_session())
        assert caught.value.reason == reason
