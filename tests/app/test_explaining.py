from __future__ import annotations

from typing import Any

import pytest

from gproxy.app import explaining
from gproxy.app.explaining import Explainer, NotExplained, session_of
from gproxy.base.address import UNSPECIFIED, Address
from gproxy.base.session import Owner
from gproxy.rt.group import Group
from gproxy.rt.sync import sleep
from tests.app.rooms import house_of

pytestmark = pytest.mark.usefixtures("no_leaks")

PROXY = {"type": "socks", "tag": "p", "server": "192.0.2.9", "server_port": 9}
HOSTS = {"type": "hosts", "tag": "h", "predefined": {"a.test": "10.1.2.3"}}
FAKES = {
    "servers": [{"type": "fakeip", "tag": "f", "inet4_range": "198.18.0.0/15"}, {"type": "local", "tag": "l"}],
    "final": "l",
}


def explainer_of(**config: Any) -> Explainer:
    explainer = house_of(**config).explainer
    assert explainer is not None
    return explainer


def test_what_is_asked_becomes_a_session() -> None:
    session = session_of(
        {"target": "[::1]:53", "network": "udp", "source": "10.0.0.1", "inbound": "in", "user": "eve", "process": "/x"}
    )
    assert (session.target, session.source) == (Address.parse("[::1]:53"), Address.parse("10.0.0.1:0"))
    assert (session.network, session.inbound, session.user, session.owner) == ("udp", "in", "eve", Owner(path="/x"))
    plain = session_of({"target": "a.test:1", "network": "tcp", "source": "", "user": "", "process": ""})
    assert (plain.source, plain.user, plain.owner) == (UNSPECIFIED, None, None)


@pytest.mark.parametrize(
    ("asked", "why"),
    [
        ({}, "port"),
        ({"target": "a.test"}, "port"),
        ({"target": "a.test:99999"}, "port"),
        ({"target": "a.test:1", "network": "sctp"}, "the network is tcp or udp"),
        ({"target": "a.test:1", "source": "a b"}, "a b"),
        ({"target": "a.test:1", "inbound": "x"}, "no inbound has the tag `x`; there is none"),
    ],
)
def test_what_is_no_connection(asked: dict[str, str], why: str) -> None:
    explainer = explainer_of()
    with pytest.raises(ValueError, match=why):
        explainer.explain(asked)
    assert why in explainer.answer(asked)["error"]


def test_the_answer_of_a_process_is_the_same() -> None:
    explainer = explainer_of(
        outbounds=[{"type": "direct", "tag": "d"}, PROXY],
        dns={"servers": [HOSTS]},
        route={"rules": [{"action": "resolve"}, {"ip_cidr": "10.0.0.0/8", "outbound": "p"}]},
    )
    told = explainer.answer({"target": "a.test:443"})
    assert told == {"explained": explainer.explain({"target": "a.test:443"})}
    assert told["explained"]["addresses"] == ["10.1.2.3"]
    assert told["explained"]["outbounds"] == ["p (socks, server 192.0.2.9:9)"]


def test_what_the_process_knows_by_itself_counts() -> None:
    """The mode, addresses that stand for names, and outbounds that are left alone."""
    explainer = explainer_of(
        outbounds=[{"type": "direct", "tag": "d"}, {**PROXY, "breaker": {"failures": 1, "pause": "5m"}}],
        dns=FAKES,
        route={
            "default_domain_resolver": "l",
            "rules": [{"clash_mode": "global", "outbound": "p"}, {"domain": "b.test", "outbound": "p"}],
        },
    )
    assert explainer.explain({"target": "192.0.2.1:1"})["verdict"] == "d"
    (fakes,) = explainer.names.fakes()
    fake = fakes.address_for("b.test", 4)
    told = explainer.explain({"target": f"{fake}:80"})
    assert (told["asked"], told["target"], told["verdict"]) == (f"{fake}:80", "b.test:80", "p")
    explainer.context.mode.name = "global"
    explainer.breakers["p"].failed()
    told = explainer.explain({"target": "192.0.2.1:1"})
    assert told["verdict"] == "p"
    assert told["notes"] == ["p has failed too often, and is left alone for 300 s"]
    explainer.names.close()


def test_an_address_that_stands_for_nothing_has_no_way() -> None:
    explainer = explainer_of(dns=FAKES, route={"default_domain_resolver": "l"})
    assert "stands for no name" in explainer.answer({"target": "198.18.0.77:80"})["error"]
    explainer.names.close()


def test_it_takes_no_longer_than_it_may(monkeypatch: pytest.MonkeyPatch) -> None:
    explainer = explainer_of(route={"rules": [{"action": "resolve"}]})
    monkeypatch.setattr(explaining, "EXPLAIN_LIMIT", 0.05)
    monkeypatch.setattr(explainer.names, "resolve", lambda *_: sleep(10))
    with pytest.raises(NotExplained, match=r"no answer within 0.05 s"):
        explainer.explain({"target": "a.test:1"})
    assert explainer.answer({"target": "a.test:1"}) == {"error": "no answer within 0.05 s"}


def test_it_tells_no_more_than_it_may(monkeypatch: pytest.MonkeyPatch) -> None:
    rules = [{"domain": f"{number}.test", "outbound": "direct"} for number in range(20)]
    explainer = explainer_of(outbounds=[{"type": "direct", "tag": "direct"}], route={"rules": rules})
    assert len(explainer.answer({"target": "192.0.2.1:1"})["explained"]["rules"]) == 21
    monkeypatch.setattr(explaining, "_MOST", 1000)
    assert explainer.answer({"target": "192.0.2.1:1"}) == {"error": "the answer is longer than 0 MiB"}
    assert len(explainer.explain({"target": "192.0.2.1:1"})["rules"]) == 21


def test_others_have_their_turn_between_rules() -> None:
    turns: list[int] = []

    def count() -> None:
        while True:
            turns.append(1)
            sleep(0)

    rules = [{"domain": f"{number}.test", "action": "reject"} for number in range(50)]
    explainer = explainer_of(route={"rules": rules})
    with Group("beside") as beside:
        beside.spawn(count)
        explainer.explain({"target": "192.0.2.1:1"})
        beside.kill()
    assert len(turns) >= 50
