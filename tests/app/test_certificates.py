from __future__ import annotations

from ipaddress import IPv6Address
from pathlib import Path
from typing import Any

import pytest

from gproxy.app.certificates import Certificates, build_certificates
from gproxy.app.names import Names
from gproxy.base.errors import ConfigError
from gproxy.config.root import Root
from gproxy.net.direct import SystemDialer
from gproxy.schema.acme import AcmeProvider
from gproxy.service.acme.store import Store
from tests.app.rooms import house_of, root_of
from tests.service.acme.test_certificates import issued


def inbound(port: int, **tls: Any) -> dict[str, Any]:
    return {"type": "http", "tag": f"in-{port}", "listen_port": port, "tls": {"enabled": True, **tls}}


def of(root: Root) -> Certificates:
    return build_certificates(root, Names(root))


def built(folder: Path, *inbounds: Any, **provider: Any) -> Certificates:
    acme = {"type": "acme", "tag": "c", "domain": "site.test", "data_directory": str(folder), **provider}
    return of(root_of(certificate_providers=[acme], inbounds=list(inbounds)))


def test_without_providers_there_is_nothing() -> None:
    found = of(root_of(inbounds=[{"type": "http", "listen_port": 1}]))
    assert (found.supplies, found.manager, found.endpoints, found.of(0)) == ({}, None, [], None)
    found.take("provider c", "x", {})


def test_who_shows_what(tmp_path: Path) -> None:
    own = {"type": "acme", "domain": "own.test", "data_directory": str(tmp_path)}
    older = {"domain": "old.test", "data_directory": str(tmp_path), "alternative_http_port": 8080}
    found = built(
        tmp_path, inbound(443, certificate_provider="c"), {"type": "http", "listen_port": 1},
        inbound(444, certificate_provider=own), inbound(445, certificate_provider=own), inbound(446, acme=older),
    )  # fmt: skip
    assert list(found.supplies) == ["provider c", "inbound in-444", "inbound in-446"]
    assert found.shown == {0: "provider c", 2: "inbound in-444", 3: "inbound in-444", 4: "inbound in-446"}
    assert found.of(1) is None
    assert found.of(3) is found.supplies["inbound in-444"]
    assert [(each.host, each.port) for each in found.endpoints] == [(IPv6Address("::"), 80), (IPv6Address("::"), 8080)]
    assert found.manager is not None
    wanted = {each.provider: each.in_handshakes for each in found.manager._wanted}
    assert wanted == {"provider c": True, "inbound in-444": False, "inbound in-446": False}


def test_where_nobody_asks_over_http(tmp_path: Path) -> None:
    dns = {"provider": "exec", "command": "/x"}
    assert built(tmp_path, dns01_challenge=dns).endpoints == []
    assert built(tmp_path, inbound(443, certificate_provider="c"), disable_http_challenge=True).endpoints == []


def test_what_was_kept_is_there_at_once(tmp_path: Path) -> None:
    made = issued("site.test")
    Store(AcmeProvider(type="acme", domain=("site.test",), data_directory=str(tmp_path))).keep(made)
    supply = built(tmp_path, inbound(443, certificate_provider="c")).of(0)
    assert supply is not None
    assert (supply.number, supply.chain, supply.key) == (1, made.chain, made.key)


def test_what_is_told_goes_to_its_inbounds(tmp_path: Path) -> None:
    found = built(tmp_path, inbound(443, certificate_provider="c"))
    made = issued("site.test")
    found.take("provider c", (made.key + made.chain).decode(), {})
    found.take("provider of another generation", "x", {})
    assert found.supplies["provider c"].chain == made.chain


def test_a_key_that_can_t_be_used(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="account_key"):
        built(tmp_path, account_key="nonsense")


def test_its_doors_are_among_those_of_services(tmp_path: Path) -> None:
    acme = {"type": "acme", "domain": "site.test", "data_directory": str(tmp_path), "alternative_http_port": 8080}
    house = house_of(certificate_providers=[acme], inbounds=[{"type": "http", "listen_port": 1}])
    assert [(each.port) for each in house.endpoints()] == [1, 8080]
    assert house.services.doors[0].service is house.certificates.manager


def test_orders_go_out_as_the_route_says(tmp_path: Path) -> None:
    acme = {"type": "acme", "tag": "c", "domain": "site.test", "data_directory": str(tmp_path)}
    root = root_of(certificate_providers=[acme], inbounds=[], route={"default_mark": 7})
    found = of(root)
    assert found.manager is not None
    dialer = found.manager._dialer
    assert isinstance(dialer, SystemDialer)
    assert dialer.sockets.routing_mark == 7
