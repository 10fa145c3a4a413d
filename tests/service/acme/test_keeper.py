from __future__ import annotations

import logging
from pathlib import Path
from typing import Any

import pytest

from gproxy.base.errors import DialError
from gproxy.rt.group import Group
from gproxy.rt.sync import Lock
from gproxy.schema.acme import AcmeProvider, ExternalAccount
from gproxy.schema.fields import Secret
from gproxy.service.acme import keeper as module
from gproxy.service.acme import order as order_module
from gproxy.service.acme.certificates import Issued
from gproxy.service.acme.jws import Key, b64
from gproxy.service.acme.keeper import Keeper
from gproxy.service.acme.proofs import OnPort80, Pages
from gproxy.service.acme.store import Failures, Store
from gproxy.service.acme.web import Response
from tests.service.acme.authority import BASE, DAY, MAC, Authority, problem
from tests.support.clock import HeldClock, held_clock
from tests.support.wait import wait_until

__all__ = ["held_clock"]

LOG = logging.getLogger("gproxy.acme.test")


class InVain(OnPort80):
    """In a way that the authority does not take."""

    kind = "dns-01"


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(order_module, "sleep", lambda seconds: None)


class Kept:
    """A keeper before an authority. `passing` lets the clock pass while it sleeps."""

    def __init__(self, folder: Path, clock: HeldClock, **options: Any) -> None:
        self.authority = Authority()
        self.clock = clock
        self.options = AcmeProvider(
            type="acme",
            **{"domain": ("site.test",), "data_directory": str(folder), "provider": f"{BASE}/dir", **options},
        )
        self.told: list[Issued] = []
        self.pages = Pages()
        self.keeper = self.again()

    def again(self, *provers: type[OnPort80]) -> Keeper:
        """As after a restart."""
        made = [lambda each=each: each(self.pages) for each in provers or (OnPort80,)]
        self.keeper = Keeper(self.options, made, self.authority.ask, self.told.append, LOG)
        self.keeper._failed = self.keeper._store.failures()
        self.keeper._take(self.keeper._kept())
        return self.keeper

    @property
    def store(self) -> Store:
        return Store(self.options)

    def orders(self) -> int:
        return self.authority.asked.count("POST /new-order")


@pytest.fixture
def kept(tmp_path: Path, held_clock: HeldClock) -> Kept:
    return Kept(tmp_path, held_clock)


def test_the_first_certificate(kept: Kept, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    assert kept.keeper.pause() <= 0
    kept.keeper.attempt()
    [issued] = kept.told
    assert kept.store.certificate() == issued
    assert "a certificate for site.test, good for 90 days" in caplog.messages
    assert 57 * DAY < kept.keeper.pause() < 60 * DAY
    assert kept.pages.answers == {}


def test_after_a_restart_nothing_is_ordered(kept: Kept) -> None:
    kept.keeper.attempt()
    kept.again()
    assert kept.told[0].chain == kept.told[1].chain, "it is told at once"
    assert kept.keeper.pause() > 50 * DAY
    assert kept.orders() == 1
    assert kept.authority.asked.count("POST /new-account") == 1


def test_renewal(kept: Kept) -> None:
    kept.keeper.attempt()
    kept.clock.advance(kept.keeper.pause())
    assert kept.keeper.pause() <= 0
    kept.keeper.attempt()
    assert len(kept.told) == 2
    assert kept.told[0].chain != kept.told[1].chain
    assert kept.told[0].key != kept.told[1].key
    assert kept.keeper.pause() > 50 * DAY
    assert kept.authority.asked.count("POST /new-account") == 1
    assert kept.authority.replaced == ["", ""], "this authority knows nothing of that"


def test_the_authority_says_when(kept: Kept, caplog: pytest.LogCaptureFixture) -> None:
    start = kept.clock.wall()
    kept.authority.windows = [(start + 10 * DAY, start + 12 * DAY)]
    kept.keeper.attempt()
    first = kept.keeper.pause()
    assert 10 * DAY <= first <= 12 * DAY
    asked = len(kept.authority.asked)
    assert kept.keeper.pause() == first
    assert len(kept.authority.asked) == asked, "not asked all the time"
    kept.clock.advance(601)
    assert kept.keeper.pause() == pytest.approx(first - 601), "the same window keeps its moment"
    assert len(kept.authority.asked) == asked + 1
    kept.authority.windows = [(start - 5, start - 1)]  # it was revoked
    kept.clock.advance(601)
    assert kept.keeper.pause() <= 0
    kept.keeper.attempt()
    assert kept.authority.replaced == ["", kept.told[0].renewal_id]


def test_renewal_information_that_can_t_be_had(kept: Kept) -> None:
    kept.authority.windows = [(1.0, 2.0)]
    kept.keeper.attempt()
    name = f"/renewal/{kept.told[0].renewal_id}"
    kept.authority.answers[name] = [Response(200, {}, b"garbage"), Response(500, {}, b"")]
    assert 57 * DAY < kept.keeper.pause() < 60 * DAY
    kept.clock.advance(6 * 3600)
    assert kept.keeper.pause() > 50 * DAY
    kept.clock.advance(6 * 3600)
    assert kept.keeper.pause() <= 0, "now it has said so"


def test_failures_and_ever_longer_waits(kept: Kept, caplog: pytest.LogCaptureFixture) -> None:
    kept.authority.convinced = False
    waits = []
    for _ in range(12):
        kept.keeper.attempt()
        waits.append(kept.keeper.pause())
        kept.clock.advance(waits[-1] + 1)
        assert kept.keeper.pause() <= 0
    for number, wait in enumerate(waits):
        assert 0.8 <= wait / min(60 * 2**number, 6 * 3600) <= 1.2, number
    assert (
        "no certificate for site.test: http-01 for site.test is invalid: connection: nobody there; the next try"
        in (caplog.messages[-1])
    )
    kept.authority.convinced = True
    kept.keeper.attempt()
    assert len(kept.told) == 1
    assert kept.store.failures() == Failures()


def test_failures_are_remembered(kept: Kept) -> None:
    kept.authority.convinced = False
    kept.keeper.attempt()
    left = kept.keeper.pause()
    kept.clock.advance(10)
    kept.again()
    assert kept.keeper.pause() == pytest.approx(left - 10)


def test_a_clock_that_was_ahead_delays_nothing(kept: Kept) -> None:
    kept.store.note(Failures(3, kept.clock.wall() + 1000, 60.0))
    assert kept.again().pause() <= 0


def test_limits_are_kept(kept: Kept) -> None:
    kept.authority.answers["/new-order"] = [problem("rateLimited", 429, **{"retry-after": "7200"})]
    kept.keeper.attempt()
    assert kept.keeper.pause() == 7200
    kept.authority.answers["/new-order"] = [problem("rateLimited", 429, **{"retry-after": "999999999"})]
    kept.keeper.attempt()
    assert kept.keeper.pause() == 7 * DAY, "not for ever"


def test_the_old_one_goes_on_while_renewal_fails(kept: Kept, caplog: pytest.LogCaptureFixture) -> None:
    kept.keeper.attempt()
    kept.clock.advance(60 * DAY)
    kept.authority.convinced = False
    kept.keeper.attempt()
    assert len(kept.told) == 1
    assert caplog.messages[-1].endswith("the old one is good for 30 days")
    kept.clock.advance(31 * DAY)
    kept.keeper.attempt()
    assert caplog.messages[-1].endswith("the old one has expired")


def test_another_way_of_proving(kept: Kept, caplog: pytest.LogCaptureFixture) -> None:
    kept.authority.kinds = ("http-01",)
    kept.again(InVain, OnPort80).attempt()
    assert len(kept.told) == 1
    assert "it does not take dns-01 for site.test" in caplog.messages
    assert kept.authority.triggered == ["http-01"]


def test_an_account_that_the_authority_has_forgotten(kept: Kept) -> None:
    kept.keeper.attempt()
    kept.authority.accounts.clear()
    kept.clock.advance(60 * DAY)
    kept.keeper.attempt()
    assert len(kept.told) == 2
    kept.authority.answers["/new-account"] = [problem("externalAccountRequired", 403)]
    kept.authority.accounts.clear()
    kept.clock.advance(60 * DAY)
    kept.keeper.attempt()
    assert kept.keeper.pause() > 0


def test_an_account_that_can_t_be_read_is_replaced(kept: Kept, caplog: pytest.LogCaptureFixture) -> None:
    kept.keeper.attempt()
    [path] = Path(kept.options.data_directory).rglob("account-*")
    path.write_text("nonsense")
    kept.clock.advance(60 * DAY)
    kept.again().attempt()
    assert len(kept.authority.accounts) == 2
    assert any("a new one is opened" in each for each in caplog.messages)


def test_an_authority_that_wants_a_renewal_too_late(kept: Kept) -> None:
    ends = kept.clock.wall() + 90 * DAY
    kept.authority.windows = [(ends + DAY, ends + 2 * DAY)]
    kept.keeper.attempt()
    assert 85 * DAY < kept.keeper.pause() < 89 * DAY


def test_what_can_t_be_kept_is_not_ordered(kept: Kept, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    (tmp_path / "ca.test").write_text("a file where a folder should be")
    kept.keeper.attempt()
    assert kept.orders() == 0
    assert "POST /new-account" not in kept.authority.asked
    assert kept.keeper.pause() > 40
    assert any("no certificate for site.test" in each for each in caplog.messages)


def test_files_that_can_t_be_used_are_replaced(kept: Kept, caplog: pytest.LogCaptureFixture) -> None:
    kept.keeper.attempt()
    Path(str(kept.store)).write_text("nonsense")
    kept.again()
    assert any("can't be used" in each for each in caplog.messages)
    kept.keeper.attempt()
    assert kept.store.certificate() == kept.told[-1]


def test_who_comes_second_takes_what_the_first_has_got(kept: Kept) -> None:
    other = Kept(Path(kept.options.data_directory), kept.clock)
    kept.keeper.attempt()
    other.keeper.attempt()
    assert other.orders() == 0
    assert other.told == kept.told


def test_chains_that_are_of_no_use(kept: Kept, caplog: pytest.LogCaptureFixture) -> None:
    kept.authority.answers["/certificate/0"] = [Response(200, {}, b"garbage")]
    kept.keeper.attempt()
    assert "it has issued not a chain of certificates with a key" in caplog.messages[-1]
    assert kept.told == []
    kept.authority.life = 0.0
    kept.keeper.attempt()
    assert "a certificate that has expired" in caplog.messages[-1]


def test_a_given_account_key(tmp_path: Path, held_clock: HeldClock) -> None:
    key = Key.new()
    kept = Kept(tmp_path, held_clock, account_key=Secret(key.pem().decode()))
    kept.keeper.attempt()
    [account] = kept.authority.accounts.values()
    assert account["jwk"] == key.jwk()


def test_an_external_account(tmp_path: Path, held_clock: HeldClock, caplog: pytest.LogCaptureFixture) -> None:
    kept = Kept(tmp_path, held_clock)
    kept.authority.external = True
    kept.keeper.attempt()
    assert "it asks for an external account: `external_account`" in caplog.messages[-1]
    bound = ExternalAccount(key_id="kid-1", mac_key=Secret(b64(MAC)))
    other = Kept(tmp_path, held_clock, external_account=bound)
    other.authority.external = True
    other.keeper.attempt()
    assert len(other.told) == 1


@pytest.mark.parametrize("good", [True, False])
def test_zerossl_gives_an_external_account(
    tmp_path: Path, held_clock: HeldClock, caplog: pytest.LogCaptureFixture, *, good: bool
) -> None:
    kept = Kept(tmp_path, held_clock, provider="zerossl", email="admin@site.test")
    kept.authority.external = True
    asked: list[tuple[str, bytes]] = []

    def ask(method: str, url: str, body: bytes, fields: Any) -> Response:
        if url.startswith(BASE):
            return kept.authority.ask(method, url, body, fields)
        if url == "https://acme.zerossl.com/v2/DV90":
            return kept.authority.ask(method, f"{BASE}/dir", body, fields)
        asked.append((url, body))
        answer = b'{"eab_kid": "kid-1", "eab_hmac_key": "%s"}' % b64(MAC).encode()
        return Response(200, {}, answer if good else b'{"success": false}')

    keeper = Keeper(kept.options, [lambda: OnPort80(kept.pages)], ask, kept.told.append, LOG)
    keeper.attempt()
    assert asked == [("https://api.zerossl.com/acme/eab-credentials-email", b"email=admin%40site.test")]
    assert len(kept.told) == good
    assert good or "ZeroSSL gives no external account" in caplog.messages[-1]


def test_it_runs_by_itself(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A certificate of three seconds is renewed before they are over, one order after the other."""
    kept = Kept(tmp_path, HeldClock())
    kept.authority.life = 3.0
    with Group("keeper") as group:
        group.spawn(kept.keeper.run, Lock())
        wait_until(lambda: len(kept.told) >= 2, "it is not renewed", 10)


def test_nobody_there(tmp_path: Path, held_clock: HeldClock, caplog: pytest.LogCaptureFixture) -> None:
    kept = Kept(tmp_path, held_clock)

    def ask(*_: Any) -> Response:
        raise DialError("ca.test: refused", reason="refused")

    keeper = Keeper(kept.options, [], ask, kept.told.append, LOG)
    keeper.attempt()
    assert "no certificate for site.test: ca.test: refused; the next try is in" in caplog.messages[-1]


@pytest.mark.parametrize(
    ("seconds", "text"), [(0, "0 s"), (-5, "0 s"), (119, "119 s"), (120, "2 minutes"), (7200, "2 hours"),
                          (172800, "2 days")],
)  # fmt: skip
def test_periods(seconds: float, text: str) -> None:
    assert module._period(seconds) == text
