from __future__ import annotations

from typing import Any

import pytest

from gproxy.config.providers import names_provider, shown
from gproxy.config.references import references
from gproxy.schema.problem import Problem, dotted

ACME: dict[str, Any] = {"type": "acme", "tag": "c", "domain": "site.test"}


def inbound(port: int = 443, provider: Any = "c", **more: Any) -> dict[str, Any]:
    return {"type": "http", "listen_port": port, "tls": {"enabled": True, "certificate_provider": provider}, **more}


def complaints(*inbounds: Any, **provider: Any) -> list[str]:
    problems: list[Problem] = []
    references({"certificate_providers": [{**ACME, **provider}], "inbounds": list(inbounds)}, problems)
    return [f"{dotted(each.path)}: {each.message}" for each in problems]


def test_what_is_good() -> None:
    assert complaints(inbound()) == []
    assert complaints(inbound(8443)) == [], "over HTTP"
    assert complaints(inbound(8443), disable_http_challenge=True, alternative_tls_port=8443) == []
    assert complaints(inbound(1, listen_ports=["440-450"]), disable_http_challenge=True) == []
    assert complaints(inbound(443), inbound(444)) == []
    dns = {"provider": "exec", "command": "/x"}
    assert complaints(inbound(8443), dns01_challenge=dns) == []


@pytest.mark.parametrize(
    ("inbounds", "provider", "complaint"),
    [
        ([inbound(provider="d")], {}, "inbounds[0].tls.certificate_provider: no certificate provider has the tag `d`"),
        ([inbound(8443)], {"disable_http_challenge": True},
         "certificate_providers[0]: nothing can be proved to the authority in this way"),
        ([], {"disable_http_challenge": True},
         "certificate_providers[0]: nothing can be proved to the authority in this way"),
        ([inbound(8443)], {"alternative_tls_port": 8444},
         "certificate_providers[0].alternative_tls_port: no inbound that shows this certificate listens on port 8444"),
        ([inbound(), {"type": "http", "listen": "0.0.0.0", "listen_port": 80}], {},
         "inbounds[1].listen_port: tcp 0.0.0.0:80 is bound by certificate_providers[0] already"),
        ([inbound(), {"type": "http", "listen_port": 8080}], {"alternative_http_port": 8080},
         "inbounds[1].listen_port: tcp 127.0.0.1:8080 is bound by certificate_providers[0] already"),
        ([inbound()], {"alternative_http_port": 80, "dns01_challenge": {"provider": "exec", "command": "/x"}},
         "certificate_providers[0].alternative_http_port: has no effect beside `dns01_challenge`"),
    ],
)  # fmt: skip
def test_what_is_not(inbounds: list[Any], provider: dict[str, Any], complaint: str) -> None:
    assert complaints(*inbounds, **provider) == [complaint]


def test_tags() -> None:
    problems: list[Problem] = []
    references({"certificate_providers": [ACME, ACME]}, problems)
    assert [each.message for each in problems] == ["the tag `c` is taken by certificate_providers[0]"]


def test_tables_of_inbounds_that_say_the_same_are_one() -> None:
    own = {key: value for key, value in ACME.items() if key != "tag"}
    older = {"type": "http", "listen_port": 443, "tls": {"enabled": True, "acme": {"domain": "old.test"}}}
    entries = [
        (("inbounds", index), entry)
        for index, entry in enumerate([inbound(443, own), inbound(444, own), older, inbound(445, {"type": "x"}),
                                       {**inbound(446, own), "tls": {"certificate_provider": own}}])
    ]  # fmt: skip
    found = shown({}, entries)  # type: ignore[arg-type]
    assert [dotted(each.path) for each in found] == ["inbounds[0].tls.certificate_provider", "inbounds[2].tls.acme"]
    assert found[0].ports == [(443, 443), (444, 444)]
    assert [each.first for each in found[0].listening()] == [80]


def test_what_is_wrong_in_itself_is_told_elsewhere() -> None:
    problems: list[Problem] = []
    tree = {"certificate_providers": [{"type": "x", "tag": "c"}, 5], "inbounds": [inbound(), inbound(listen="x")]}
    references(tree, problems)
    assert [each.message for each in problems] == ["expected an IP address"]


@pytest.mark.parametrize("entry", [{}, {"tls": 5}, {"tls": {}}, {"tls": {"certificate_provider": {}}}])
def test_who_names_no_provider(entry: dict[str, Any]) -> None:
    assert names_provider(entry) == ""
