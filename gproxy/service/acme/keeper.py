"""When a certificate is ordered, what happens when that fails, and who is told of a new one."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from random import Random
from typing import Final
from urllib.parse import urlencode

from gproxy.base.clock import wall
from gproxy.base.errors import GproxyError
from gproxy.rt.offload import offload
from gproxy.rt.sync import Lock, sleep
from gproxy.schema.acme import Acme, AcmeProvider, ExternalAccount
from gproxy.schema.fields import Secret
from gproxy.service.acme.answers import table_of
from gproxy.service.acme.certificates import Issued, key_pem, new_key, request
from gproxy.service.acme.client import AcmeError, Client
from gproxy.service.acme.jws import Key
from gproxy.service.acme.order import Prover, Unproved, fulfil, place
from gproxy.service.acme.store import Failures, Store
from gproxy.service.acme.web import Ask

_ZEROSSL: Final = "https://api.zerossl.com/acme/eab-credentials-email"

# After a failure the next try comes after this, then twice as long each time, up to the ceiling; each a little sooner
# or later than that. In seconds.
BACKOFF: Final = 60.0
BACKOFF_CEILING: Final = 6 * 3600.0
_JITTER: Final = 0.2

# What an authority may ask for in this way, in seconds: nobody waits longer than that for another try.
_LONGEST_WAIT: Final = 7 * 24 * 3600.0

# How often the authority is asked when it wants a renewal, unless it says so itself, and the least and most of that.
_ASK_AGAIN: Final = 6 * 3600.0
_ASK_SOONEST: Final = 300.0
_ASK_LATEST: Final = 24 * 3600.0

# The wall clock may be set, and a machine may sleep: nobody waits for longer than this without looking at it.
_NAP: Final = 600.0

Tell = Callable[[Issued], None]


class Keeper:
    """Keeps one certificate: ordered when there is none, renewed before it ends."""

    def __init__(
        self,
        options: Acme,
        provers: Sequence[Callable[[], Prover]],
        ask: Ask,
        tell: Tell,
        log: logging.Logger,
    ) -> None:
        """`provers` make those who prove the names, in the order in which they are tried. `tell` hands it out."""
        own = options if isinstance(options, AcmeProvider) else None
        self._options = options
        self._names = options.names()
        self._key_type = own.key_type if own else "p256"
        self._profile = own.profile if own else ""
        self._given = own.account_key.reveal() if own else ""
        self._provers = provers
        self._ask = ask
        self._tell = tell
        self._log = log
        self._store = Store(options)
        self._dice = Random()  # noqa: S311 - only to spread the work
        self._issued: Issued | None = None
        self._due = 0.0  # when it is to be renewed
        self._window: tuple[float, float] | None = None  # what the authority wants that to be in
        self._ask_at = 0.0  # when the authority is asked for that
        self._client: Client | None = None
        self._failed = Failures()

    def run(self, turn: Lock) -> None:
        """Until killed. Orders are placed one at a time, by whose turn it is."""
        self._failed = self._store.failures()
        self._take(self._kept())
        while True:
            while (pause := self.pause()) > 0:
                sleep(min(pause, _NAP))
            with turn:
                self.attempt()

    def _kept(self) -> Issued | None:
        """What is in the files, if it can be used."""
        try:
            return self._store.certificate()
        except (OSError, ValueError) as error:
            self._log.error("%s can't be used: %s", self._store, error)
            return None

    def _take(self, issued: Issued | None) -> None:
        """From now on this is the certificate."""
        if issued is not None and (self._issued is None or issued.chain != self._issued.chain):
            self._issued = issued
            self._due = issued.renewal(self._dice)
            self._window, self._ask_at = None, 0.0
            self._tell(issued)

    def pause(self) -> float:
        """In how many seconds there is something to do; 0 or less: now."""
        at = wall()
        if self._failed.failures:
            return min(self._failed.tried + self._failed.wait - at, self._failed.wait)
        if self._issued is None:
            return 0.0
        if at >= self._ask_at:
            self._ask_when()
        return self._due - wall()

    def _ask_when(self) -> None:
        """When the authority wants the certificate to be renewed, if it says such things (RFC 9773)."""
        assert self._issued is not None, "there is one"
        again = _ASK_AGAIN
        try:
            said = self._reach().window(self._issued.renewal_id)
        except (GproxyError, OSError, ValueError) as error:
            self._log.debug("no renewal information: %s", error)
        else:
            if said is not None:
                window, again = said
                again = min(max(again, _ASK_SOONEST), _ASK_LATEST) if again else _ASK_AGAIN
                if self._window != (window.start, window.end):
                    self._window = (window.start, window.end)
                    self._due = min(self._dice.uniform(window.start, window.end), self._issued.latest_renewal())
        self._ask_at = wall() + again

    def attempt(self) -> None:
        """Get a certificate, unless somebody else has. What goes wrong is logged, and tried again later."""
        kept = self._kept()
        if kept is not None and (self._issued is None or kept.ends > self._issued.ends):
            self._take(kept)
            if self._due > wall():
                return
        names = ", ".join(self._names)
        self._log.info("ordering a certificate for %s", names)
        try:
            issued = self._obtain()
        except (GproxyError, OSError, ValueError) as error:
            self._fail(names, error)
            return
        try:
            self._store.keep(issued)
        except OSError as error:
            self._log.error("the certificate can't be kept in %s: %s", self._store, error.strerror)
        self._note(Failures())
        self._log.info("a certificate for %s, good for %s", names, _period(issued.ends - wall()))
        self._take(issued)

    def _fail(self, names: str, error: Exception) -> None:
        count = self._failed.failures + 1
        wait = min(BACKOFF * 2 ** min(count - 1, 20), BACKOFF_CEILING) * (1 + _JITTER * self._dice.uniform(-1, 1))
        if isinstance(error, AcmeError):
            wait = min(max(wait, error.retry_after), _LONGEST_WAIT)
        still = ""
        if self._issued is not None:
            left = self._issued.ends - wall()
            still = f"; the old one is good for {_period(left)}" if left > 0 else "; the old one has expired"
        self._log.error("no certificate for %s: %s; the next try is in %s%s", names, error, _period(wait), still)
        self._client = None  # what was learnt of the authority may be what is wrong
        self._note(Failures(count, wall(), wait))

    def _note(self, failures: Failures) -> None:
        self._failed = failures
        try:
            self._store.note(failures)
        except OSError as error:
            self._log.error("can't write beside %s: %s", self._store, error.strerror)

    # -- the authority -------------------------------------------------------------------------------------------------

    def _reach(self) -> Client:
        """With the account's key, if there is one."""
        if self._client is None:
            kept = self._account()
            key = Key.read(self._given.encode()) if self._given else kept[0] if kept else Key.new()
            self._client = Client(self._ask, self._options.directory(), key, kept[1] if kept else "")
        return self._client

    def _account(self) -> tuple[Key, str] | None:
        """The one that was kept. Raises OSError."""
        try:
            return self._store.account()
        except ValueError as error:
            self._log.error("the account beside %s can't be used, a new one is opened: %s", self._store, error)
            return None

    def _obtain(self) -> Issued:
        client = self._reach()
        if not client.account:
            self._register(client)
        try:
            return self._order(client)
        except AcmeError as error:
            if error.reason != "accountDoesNotExist":
                raise
            self._register(client)
            return self._order(client)

    def _register(self, client: Client) -> None:
        """Open an account. It is kept first, so that what can't be kept is not opened again and again."""
        self._store.keep_account(client.key, "")
        client.register(self._options.email, self._external(client))
        self._store.keep_account(client.key, client.account)

    def _external(self, client: Client) -> tuple[str, bytes] | None:
        external = self._options.external_account
        if external is not None:
            return external.key_id, external.mac()
        if self._options.provider == "zerossl" and self._options.email and not self._given:
            return self._ask_zerossl()
        if client.directory().external:
            raise AcmeError("it asks for an external account: `external_account`")
        return None

    def _ask_zerossl(self) -> tuple[str, bytes]:
        """ZeroSSL gives an external account to whoever has an address."""
        form = urlencode({"email": self._options.email}).encode()
        response = self._ask("POST", _ZEROSSL, form, {"Content-Type": "application/x-www-form-urlencoded"})
        try:
            table = table_of(response.body)
            secret = Secret(str(table.get("eab_hmac_key", "")))
            found = ExternalAccount(key_id=str(table.get("eab_kid", "")), mac_key=secret)
        except ValueError as error:
            raise AcmeError("ZeroSSL gives no external account") from error
        if not found.key_id or not found.mac():
            raise AcmeError("ZeroSSL gives no external account")
        return found.key_id, found.mac()

    def _order(self, client: Client) -> Issued:
        """In one way of proving after the other, until one convinces."""
        refused: Unproved | None = None
        for make in self._provers:
            try:
                return self._order_by(client, make())
            except Unproved as error:
                self._log.warning("%s", error)
                refused = error
        raise refused or AcmeError("there is no way to prove anything")

    def _order_by(self, client: Client, prover: Prover) -> Issued:
        private = offload(new_key, self._key_type)
        replaces = self._issued.renewal_id if self._issued is not None else ""
        url, order = place(client, self._names, self._profile, replaces)
        chain = fulfil(client, url, order, prover, self._names, request(private, self._names))
        try:
            issued = Issued.read(key_pem(private), chain, self._names)
        except ValueError as error:
            raise AcmeError(f"it has issued {error}") from error
        if issued.expired():
            raise AcmeError("it has issued a certificate that has expired, by this machine's clock")
        return issued


def _period(seconds: float) -> str:
    """For people."""
    for unit, size in (("days", 86400), ("hours", 3600), ("minutes", 60)):
        if seconds >= 2 * size:
            return f"{seconds / size:.0f} {unit}"
    return f"{max(0.0, seconds):.0f} s"
