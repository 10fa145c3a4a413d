"""All certificates that this gproxy keeps, in the one process that orders them."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Protocol

from gproxy.base.errors import ConfigError
from gproxy.base.iface import Dialer, Stream
from gproxy.layers.tls.trust import Trust
from gproxy.rt.group import Group
from gproxy.rt.sync import Lock
from gproxy.schema.acme import Acme, AcmeProvider
from gproxy.service import http
from gproxy.service.acme.certificates import Issued
from gproxy.service.acme.dns.prover import InDns, looker
from gproxy.service.acme.dns.setters import setter
from gproxy.service.acme.jws import Key
from gproxy.service.acme.keeper import Keeper
from gproxy.service.acme.order import Prover
from gproxy.service.acme.proofs import InHandshakes, OnPort80, Pages
from gproxy.service.acme.store import Store
from gproxy.service.acme.web import Web
from gproxy.service.management import NOBODY, Peer


class Outlet(Protocol):
    """Where certificates go."""

    def tell_certificates(self, provider: str, certificate: str, challenges: Mapping[str, str]) -> None:
        """What inbounds of this provider show from now on: a key with its chain in PEM, empty if there is none yet.

        `challenges` are such pairs, too, by the name that an authority asks for.
        """


@dataclass(frozen=True, slots=True)
class Wanted:
    """A certificate that somebody shows. `provider` is how it is called in messages and in the log."""

    provider: str
    options: Acme
    in_handshakes: bool  # whether an inbound that shows it is where an authority would look

    def check(self) -> None:
        """Raises ConfigError for an account's key that can't be used."""
        if isinstance(self.options, AcmeProvider) and self.options.account_key:
            try:
                Key.read(self.options.account_key.reveal().encode())
            except ValueError as error:
                raise ConfigError(f"{self.provider}: account_key: not a PEM key of RSA, P-256 or P-384") from error

    def kept(self) -> str:
        """What was kept by whoever ran before, in PEM; empty if nothing was that can be used."""
        try:
            issued = Store(self.options).certificate()
        except (OSError, ValueError):  # whoever orders says so
            return ""
        return "" if issued is None else _pem(issued)


class Manager:
    """Orders what is wanted, while it is started; answers authorities that ask over HTTP."""

    def __init__(self, wanted: Sequence[Wanted], dialer: Dialer, trust: Trust) -> None:
        """Authorities and others are reached by `dialer`; who they are is proved to `trust`."""
        self._wanted = wanted
        self._dialer = dialer
        self._trust = trust
        self._pages = Pages()
        self._outlet: Outlet | None = None
        self._keepers: Group | None = None  # made where it runs: not in the process that others are forked from
        self._certificates: dict[str, str] = {}
        self._challenges: dict[str, Mapping[str, str]] = {}

    def attach(self, outlet: Outlet) -> None:
        """From now on certificates go there."""
        self._outlet = outlet

    def start(self) -> None:
        """Begin to order, or begin again."""
        if self._keepers is None:
            self._keepers = Group("certificates")
            turn, web = Lock(), Web(self._dialer, self._trust)
            for each in self._wanted:
                self._keepers.spawn(self._keep, each, turn, web)

    def _keep(self, wanted: Wanted, turn: Lock, web: Web) -> None:
        log = logging.getLogger(f"gproxy.acme.{wanted.provider}")
        if not isinstance(wanted.options, AcmeProvider):
            log.warning("`tls.acme` is deprecated in sing-box 1.14: `certificate_provider` is what comes after it")
        provers = self._provers(wanted, web, log)
        Keeper(wanted.options, provers, web.ask, partial(self._issued, wanted.provider), log).run(turn)

    def stop(self) -> None:
        """Another process orders from now on, or none does: what is under way is given up."""
        if self._keepers is not None:
            self._keepers.kill()
            self._keepers = None

    def accept(self, stream: Stream, peer: Peer = NOBODY) -> None:
        """Answer an authority, or anybody else. The caller closes the stream. Raises GproxyError."""
        http.serve(stream, self._pages.answer, peer)

    def _provers(self, wanted: Wanted, web: Web, log: logging.Logger) -> list[Callable[[], Prover]]:
        options = wanted.options
        dns = options.dns01_challenge
        if dns is not None:
            return [lambda: InDns(dns, setter(dns, web.ask, log), looker(self._dialer), log)]
        provers: list[Callable[[], Prover]] = []
        if wanted.in_handshakes and not options.disable_tls_alpn_challenge:
            provers.append(lambda: InHandshakes(partial(self._challenge, wanted.provider)))
        if not options.disable_http_challenge:
            provers.append(lambda: OnPort80(self._pages))
        return provers

    def _issued(self, provider: str, issued: Issued) -> None:
        self._certificates[provider] = _pem(issued)
        self._tell(provider)

    def _challenge(self, provider: str, challenges: Mapping[str, str]) -> None:
        self._challenges[provider] = challenges
        self._tell(provider)

    def _tell(self, provider: str) -> None:
        if self._outlet is not None:
            certificate = self._certificates.get(provider, "")
            self._outlet.tell_certificates(provider, certificate, self._challenges.get(provider, {}))


def _pem(issued: Issued) -> str:
    return (issued.key + issued.chain).decode("ascii", "replace")
