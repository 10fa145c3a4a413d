"""gproxy.service.nftables: what nft is told, by what it is called with."""

from __future__ import annotations

import os
from collections.abc import Sequence
from ipaddress import ip_network
from pathlib import Path

import pytest

from gproxy.limit.bans import Ban
from gproxy.schema.bans import NftablesOptions
from gproxy.service.nftables import Nftables, run_program
from tests.support.clock import HeldClock

pytestmark = pytest.mark.usefixtures("no_leaks")

OPTIONS = NftablesOptions(table="filter", set_ipv4="b4", set_ipv6="b6")


def ban(text: str, left: float = 60.0) -> Ban:
    return Ban(ip_network(text), left, left, 1, "auth")


class Nft:
    """Stands for the program."""

    def __init__(self) -> None:
        self.called: list[str] = []
        self.problem = ""
        self.problems: list[str] = []  # of the next calls

    def __call__(self, argv: Sequence[str]) -> str:
        program, text = argv
        assert program == "nft"
        self.called.append(text)
        return self.problems.pop() if self.problems else self.problem

    def told(self) -> list[str]:
        [text] = self.called
        self.called = []
        return text.split("; ")


@pytest.fixture
def nft() -> Nft:
    return Nft()


def test_the_sets_begin_empty_and_follow(nft: Nft, held_clock: HeldClock) -> None:
    sets = Nftables(OPTIONS, nft)
    sets.show([ban("192.0.2.1/32"), ban("2001:db8::/64", 3.2)])
    assert nft.told() == [
        "flush set inet filter b4",
        "flush set inet filter b6",
        "add element inet filter b4 { 192.0.2.1 timeout 60s }",
        "add element inet filter b6 { 2001:db8::/64 timeout 3s }",
    ]
    held_clock.advance(1)
    sets.show([ban("192.0.2.1/32", 59.0), ban("2001:db8::/64", 2.2), ban("192.0.2.2/32", 0.1)])
    assert nft.told() == ["add element inet filter b4 { 192.0.2.2 timeout 1s }"]
    sets.show([ban("192.0.2.1/32", 240.0), ban("2001:db8::/64", 2.2), ban("192.0.2.2/32", 0.1)])
    assert nft.told() == [
        "delete element inet filter b4 { 192.0.2.1 }",
        "add element inet filter b4 { 192.0.2.1 timeout 240s }",
    ]
    held_clock.advance(10)
    sets.show([])  # one was removed, the others have ended by themselves
    assert nft.told() == ["delete element inet filter b4 { 192.0.2.1 }"]
    sets.show([])
    assert nft.called == []


def test_what_takes_the_place_of_others_comes_after_them(nft: Nft) -> None:
    sets = Nftables(OPTIONS, nft)
    sets.show([ban("192.0.2.1/32")])
    nft.called = []
    sets.show([ban("192.0.2.1/32"), ban("192.0.2.0/24")])
    assert nft.told() == [
        "delete element inet filter b4 { 192.0.2.1 }",
        "add element inet filter b4 { 192.0.2.0/24 timeout 60s }",
    ]


def test_sets_that_others_have_changed_are_filled_anew(nft: Nft, caplog: pytest.LogCaptureFixture) -> None:
    sets = Nftables(OPTIONS, nft)
    sets.show([ban("192.0.2.1/32"), ban("192.0.2.2/32")])
    nft.called, nft.problems = [], ["Error: element does not exist"]
    sets.show([ban("192.0.2.2/32")])
    assert nft.called == [
        "delete element inet filter b4 { 192.0.2.1 }",
        "flush set inet filter b4; flush set inet filter b6; add element inet filter b4 { 192.0.2.2 timeout 60s }",
    ]
    assert caplog.records == []


def test_anew_means_all_of_it(nft: Nft) -> None:
    sets = Nftables(OPTIONS, nft)
    assert sets.show([ban("192.0.2.1/32")])
    nft.called = []
    assert sets.show([ban("192.0.2.1/32")])
    assert nft.called == []
    assert sets.show([ban("192.0.2.1/32")], anew=True)
    assert nft.told()[2:] == ["add element inet filter b4 { 192.0.2.1 timeout 60s }"]


def test_intervals_do_not_overlap(nft: Nft) -> None:
    Nftables(OPTIONS, nft).show([ban("192.0.2.1/32"), ban("192.0.2.0/24"), ban("192.0.3.1/32"), ban("c000::/4")])
    assert [each.split("{ ")[1].split(" ")[0] for each in nft.told()[2:]] == ["192.0.2.0/24", "192.0.3.1", "c000::/4"]


def test_a_family_without_a_set_is_left_out(nft: Nft) -> None:
    Nftables(NftablesOptions(table="t", family="ip", set_ipv4="b"), nft).show([ban("2001:db8::/64"), ban("10.0.0.1")])
    assert nft.told() == ["flush set ip t b", "add element ip t b { 10.0.0.1 timeout 60s }"]


def test_many_are_told_in_parts(nft: Nft) -> None:
    Nftables(OPTIONS, nft).show([ban(f"10.0.{number >> 8}.{number & 255}/32") for number in range(1200)])
    assert [len(each.split("; ")) for each in nft.called] == [500, 500, 202]
    assert all(len(each) < 100_000 for each in nft.called)


def test_what_goes_wrong_is_told_once_and_all_is_done_anew(nft: Nft, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("INFO")
    sets = Nftables(OPTIONS, nft)
    nft.problem = "Error: No such file or directory\nflush set inet filter b4"
    assert not any(sets.show([ban("192.0.2.1/32")]) for _ in range(3))
    nft.problem, nft.called = "", []
    assert sets.show([ban("192.0.2.1/32")])
    assert nft.told()[0] == "flush set inet filter b4"
    assert [record.getMessage() for record in caplog.records] == [
        "the kernel is not told about bans: Error: No such file or directory flush set inet filter b4",
        "the kernel is told about bans again",
    ]


def script(folder: Path, text: str) -> list[str]:
    path = folder / "program"
    path.write_text(f"#!/bin/sh\n{text}\n")
    path.chmod(0o755)
    return [str(path), "a b; c"]


def test_real_programs(tmp_path: Path) -> None:
    assert run_program(script(tmp_path, f'printf "%s" "$1" > {tmp_path}/got')) == ""
    assert (tmp_path / "got").read_text() == "a b; c"
    assert run_program(script(tmp_path, "echo what is that >&2; exit 1")) == "what is that"
    assert run_program(script(tmp_path, "exit 3")) == "exit status 3"
    with pytest.raises(FileNotFoundError):
        run_program([str(tmp_path / "nothing")])


def test_without_the_program(caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(os.environ, "PATH", "/nonexistent")
    monkeypatch.setattr("gproxy.service.nftables._FURTHER", "/nonexistent")
    Nftables(OPTIONS).show([ban("192.0.2.1/32")])
    assert "the kernel is not told about bans: nft: No such file or directory" in caplog.text
