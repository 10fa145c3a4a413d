from __future__ import annotations

from ipaddress import ip_address

import pytest

from gproxy.base.address import Address
from gproxy.base.session import Owner
from gproxy.route.facts import Facts, Needs
from tests.route.kit import session


class Stand:
    """In the place of each of those who find something out; remembers who was asked for what."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, mac: str = "02:00:00:00:00:07") -> None:
        self.asked: list[str] = []
        self.facts = Facts()

        def put(name: str, result: object) -> None:
            def answer(self_: object, *_: object, **more: object) -> object:
                self.asked.append(name + ("+wifi" if more.get("wifi") else ""))
                return result

            monkeypatch.setattr(f"gproxy.route.{name}", answer)

        put("owner.Owners.find", Owner("/usr/bin/curl", 1000))
        put("neighbour.Neighbours.mac", mac)
        put("leases.Leases.refresh", None)
        put("leases.Leases.mac", "02:00:00:00:00:08")
        put("leases.Leases.hostname", "laptop")
        put("surroundings.Watch.refresh", None)


def test_without_needs_there_is_nothing_to_do() -> None:
    assert not Needs().some


@pytest.mark.parametrize("name", ["owner", "mac", "hostname", "surroundings", "wifi"])
def test_a_need_is_something_to_do(name: str) -> None:
    needs = Needs()
    needs.ask(name)
    assert needs.some
    assert getattr(needs, name)


def test_code_points_are_collected_elsewhere() -> None:
    needs = Needs()
    needs.ask("dscp")
    assert needs.dscp
    assert not needs.some


@pytest.mark.parametrize(
    ("needs", "asked"),
    [
        ((), []),
        (("owner",), ["owner.Owners.find"]),
        (("mac",), ["leases.Leases.refresh", "neighbour.Neighbours.mac"]),
        (("hostname",), ["leases.Leases.refresh", "neighbour.Neighbours.mac", "leases.Leases.hostname"]),
        (("surroundings",), ["surroundings.Watch.refresh"]),
        (("wifi",), ["surroundings.Watch.refresh+wifi"]),
    ],
)
def test_only_what_is_needed_is_found_out(monkeypatch: pytest.MonkeyPatch, needs: tuple, asked: list[str]) -> None:
    stand = Stand(monkeypatch)
    stand.facts.needs.ask(*needs)
    stand.facts.collect(session())
    assert stand.asked == asked


def test_what_was_found_out_is_written_down_and_not_asked_again(monkeypatch: pytest.MonkeyPatch) -> None:
    stand = Stand(monkeypatch)
    stand.facts.needs.ask("owner", "mac", "hostname")
    one = session()
    stand.facts.collect(one)
    assert one.owner == Owner("/usr/bin/curl", 1000)
    assert (one.source_mac, one.source_hostname) == ("02:00:00:00:00:07", "laptop")
    stand.asked.clear()
    stand.facts.collect(one)
    assert stand.asked == ["leases.Leases.refresh"]


def test_a_lease_tells_the_mac_address_of_a_client_that_is_no_neighbour(monkeypatch: pytest.MonkeyPatch) -> None:
    stand = Stand(monkeypatch, mac="")
    stand.facts.needs.ask("mac")
    one = session()
    stand.facts.collect(one)
    assert one.source_mac == "02:00:00:00:00:08"


def test_a_client_without_an_address_has_no_neighbour(monkeypatch: pytest.MonkeyPatch) -> None:
    stand = Stand(monkeypatch)
    stand.facts.needs.ask("mac", "hostname")
    one = session()
    one.source = Address("", 0)
    stand.facts.collect(one)
    assert (one.source_mac, stand.asked) == ("", [])


def test_the_kernel_is_asked_and_given_back() -> None:
    facts = Facts()
    facts.needs.ask("owner", "mac", "hostname", "surroundings", "wifi")
    one = session(source="203.0.113.9")
    one.local = Address(ip_address("127.0.0.1"), 1080)
    facts.collect(one)
    assert one.owner is None
    assert "lo" in facts.watch.now.addresses
    facts.close()
    facts.close()
