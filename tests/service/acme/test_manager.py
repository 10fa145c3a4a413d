from __future__ import annotations

import dataclasses
import logging
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from gproxy.base.address import Address
from gproxy.base.errors import ConfigError, DialError
from gproxy.base.iface import PacketConn, Stream
from gproxy.base.session import Session
from gproxy.layers.tls.trust import Trust
from gproxy.rt.group import Group
from gproxy.schema.acme import Acme, AcmeProvider, Exec
from gproxy.schema.fields import Secret
from gproxy.service.acme import order, proofs
from gproxy.service.acme.certificates import Issued
from gproxy.service.acme.dns.prover import InDns
from gproxy.service.acme.manager import Manager, Wanted
from gproxy.service.acme.proofs import InHandshakes, OnPort80
from gproxy.service.acme.store import Store
from gproxy.service.acme.web import Web
from tests.service.acme.authority import BASE, Authority
from tests.service.acme.test_certificates import issued
from tests.support.pipe import pipe
from tests.support.wait import wait_until

pytestmark = pytest.mark.usefixtures("no_leaks")


class Nobody:
    """A dialer that reaches nobody."""

    def dial(self, target: Address, session: Session) -> Stream:
        raise DialError("nobody there", reason="refused")

    def dial_packet(self, target: Address, session: Session) -> PacketConn:
        raise DialError("nobody there", reason="refused")


class Told:
    """What workers would hear."""

    def __init__(self) -> None:
        self.heard: list[tuple[str, str, dict[str, str]]] = []

    def tell_certificates(self, provider: str, certificate: str, challenges: Mapping[str, str]) -> None:
        self.heard.append((provider, certificate, dict(challenges)))


def options(folder: Path, *domain: str, **more: Any) -> AcmeProvider:
    return AcmeProvider(type="acme", domain=domain or ("site.test",), data_directory=str(folder),
                        provider=f"{BASE}/dir", **more)  # fmt: skip


def manager_of(*wanted: Wanted) -> tuple[Manager, Told]:
    manager, told = Manager(wanted, Nobody(), Trust()), Told()
    manager.attach(told)
    return manager, told


@pytest.fixture
def authority(monkeypatch: pytest.MonkeyPatch) -> Authority:
    authority = Authority()
    monkeypatch.setattr(Web, "ask", lambda self, *asked: authority.ask(*asked))
    monkeypatch.setattr(order, "sleep", lambda seconds: None)
    monkeypatch.setattr(proofs, "SETTLE", 0.0)
    return authority


def test_a_proof_in_handshakes_and_the_certificate_are_told(authority: Authority, tmp_path: Path) -> None:
    manager, told = manager_of(Wanted("provider a", options(tmp_path), True))
    manager.start()
    manager.start()
    wait_until(lambda: len(told.heard) == 3, lambda: str(told.heard))
    manager.stop()
    manager.stop()
    (_, first, proof), (_, second, none), (name, pem, after) = told.heard
    assert (first, second, none, after) == ("", "", {}, {})
    assert list(proof) == ["site.test"]
    assert name == "provider a"
    kept = Store(options(tmp_path)).certificate()
    assert kept is not None
    assert pem.encode() == kept.key + kept.chain
    assert authority.triggered == ["tls-alpn-01"]


def test_it_begins_again_without_ordering(authority: Authority, tmp_path: Path) -> None:
    made = issued("site.test")
    Store(options(tmp_path)).keep(made)
    manager, told = manager_of(Wanted("provider a", options(tmp_path), True))
    for count in (1, 2):
        manager.start()
        wait_until(lambda count=count: len(told.heard) == count, "it is not told")
        manager.stop()
    assert set(authority.asked) == {"GET /dir"}, "it is looked whether there is renewal information"
    assert told.heard[0] == ("provider a", (made.key + made.chain).decode(), {})


def test_a_failure_of_one_is_no_failure_of_another(
    authority: Authority, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    bad = options(tmp_path, "bad.test", disable_http_challenge=True, disable_tls_alpn_challenge=False)
    manager, told = manager_of(Wanted("provider bad", bad, False), Wanted("provider good", options(tmp_path), True))
    manager.start()
    wait_until(lambda: told.heard and told.heard[-1][1], "there is no certificate")
    manager.stop()
    assert {provider for provider, _, _ in told.heard} == {"provider good"}
    assert any("no certificate for bad.test: there is no way to prove anything" in each for each in caplog.messages)


@pytest.mark.parametrize(
    ("more", "in_handshakes", "kinds"),
    [
        ({}, True, [InHandshakes, OnPort80]), ({}, False, [OnPort80]),
        ({"disable_http_challenge": True}, True, [InHandshakes]),
        ({"disable_tls_alpn_challenge": True}, True, [OnPort80]),
        ({"dns01_challenge": Exec(provider="exec", command=("/x",))}, True, [InDns]),
    ],
)  # fmt: skip
def test_how_names_are_proved(tmp_path: Path, more: Any, in_handshakes: bool, kinds: list[type]) -> None:
    wanted = Wanted("x", options(tmp_path, **more), in_handshakes)
    manager, _ = manager_of(wanted)
    provers = manager._provers(wanted, Web(Nobody(), Trust()), logging.getLogger("x"))
    assert [type(make()) for make in provers] == kinds


def test_authorities_that_ask_over_http() -> None:
    manager, _ = manager_of()
    manager._pages.answers["token"] = "token.print"
    near, far = pipe()
    with Group("far") as group:
        group.spawn(manager.accept, far)
        near.sendall(b"GET /.well-known/acme-challenge/token HTTP/1.1\r\nHost: site.test\r\nAccept: */*\r\n\r\n")
        heard = b""
        while not heard.endswith(b"token.print"):
            heard += near.recv()
        near.close()
        group.join(30)
    assert heard.startswith(b"HTTP/1.1 200 OK\r\n")


def test_the_older_table_is_deprecated(authority: Authority, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    older = Acme(domain=("site.test",), data_directory=str(tmp_path), provider=f"{BASE}/dir")
    manager, told = manager_of(Wanted("inbound in", older, True))
    manager.start()
    wait_until(lambda: told.heard and told.heard[-1][1], "there is no certificate")
    manager.stop()
    assert "`tls.acme` is deprecated in sing-box 1.14: `certificate_provider` is what comes after it" in caplog.messages


def test_what_was_kept(tmp_path: Path) -> None:
    wanted = Wanted("x", options(tmp_path), True)
    assert wanted.kept() == ""
    made: Issued = issued("site.test")
    Store(wanted.options).keep(made)
    assert wanted.kept() == (made.key + made.chain).decode()
    Path(str(Store(wanted.options))).write_text("nonsense")
    assert wanted.kept() == ""


def test_an_account_key_that_is_none(tmp_path: Path) -> None:
    wanted = Wanted("provider a", options(tmp_path), True)
    wanted.check()
    broken = dataclasses.replace(wanted, options=options(tmp_path, account_key=Secret("nonsense")))
    with pytest.raises(ConfigError, match="provider a: account_key: not a PEM key"):
        broken.check()
