"""Proofs by DNS records: set, seen by name servers, taken back."""

from __future__ import annotations

import logging
import secrets
from collections.abc import Callable, Sequence
from hashlib import sha256
from pathlib import Path
from typing import Final

from gproxy.base.address import IP, UNSPECIFIED, Address, parse_ip
from gproxy.base.clock import now
from gproxy.base.errors import DialError, GproxyError, ProtocolError
from gproxy.base.iface import Dialer
from gproxy.base.session import Session
from gproxy.rt.deadline import deadline
from gproxy.rt.sync import sleep
from gproxy.schema.acme import DnsChallenge, server_of
from gproxy.service.acme.client import AcmeError
from gproxy.service.acme.dns.setters import Setter
from gproxy.service.acme.dns.txt import encode_question, texts_in
from gproxy.service.acme.jws import b64

_RESOLV_CONF: Final = Path("/etc/resolv.conf")

# How long a name server may take for an answer, and how often it is asked; how long taking back a record may last, and
# taking back all of them when a process that is to make room for another one waits for that. In seconds.
_ANSWER: Final = 3.0
_STEP: Final = 2.0
_CLEANUP: Final = 30.0
_HURRY: Final = 2.0

Look = Callable[[Address, str], Sequence[bytes]]
"""Ask the name server at this address for the texts of a domain. Raises GproxyError."""


def looker(dialer: Dialer) -> Look:
    """Asks with sockets of a dialer."""

    def look(server: Address, name: str) -> Sequence[bytes]:
        number = secrets.randbits(16)
        question = encode_question(name, number)
        conn = dialer.dial_packet(server, Session(0, "udp", "acme", UNSPECIFIED, server))
        try:
            with deadline(_ANSWER, DialError(f"{server}: no answer in time", reason="timeout")):
                conn.send_to(question, server)
                while True:
                    data, source = conn.recv_from()
                    if source != server:
                        continue
                    try:
                        return texts_in(bytes(data), number)
                    except ProtocolError:
                        continue  # somebody else's guess
        finally:
            conn.close()

    return look


class InDns:
    """Shows answers as TXT records (see Prover)."""

    kind = "dns-01"

    def __init__(self, options: DnsChallenge, setter: Setter, look: Look, log: logging.Logger) -> None:
        self._options = options
        self._setter = setter
        self._look = look
        self._log = log
        self._mine: list[tuple[str, str]] = []

    def show(self, name: str, token: str, answer: str) -> None:
        """See Prover."""
        record = self._options.override_domain.rstrip(".") or f"_acme-challenge.{name}"
        value = b64(sha256(answer.encode()).digest())
        self._mine.append((record, value))
        self._setter.present(record, value)

    def wait(self) -> None:
        """See Prover: everybody is those name servers that are to be asked."""
        sleep(self._options.propagation_delay)
        if not self._options.propagation_timeout:
            return
        end = now() + self._options.propagation_timeout
        while (missing := self._missing()) is not None:
            if now() + _STEP > end:
                raise AcmeError(f"the record {missing} can't be seen after {self._options.propagation_timeout:g} s")
            sleep(_STEP)

    def _missing(self) -> str | None:
        """A record that can't be seen yet."""
        named = [Address(*found) for each in self._options.resolvers if (found := server_of(each)) is not None]
        for record, value in self._mine:
            seen = [self._sees(server, record, value) for server in named or _of_the_system()]
            if not (all(seen) if named else any(seen)):
                return record
        return None

    def _sees(self, server: Address, record: str, value: str) -> bool:
        try:
            return value.encode() in self._look(server, record)
        except GproxyError as error:
            self._log.debug("%s does not say what %s is: %s", server, record, error)
            return False

    def hide(self, *, hurry: bool = False) -> None:
        """See Prover."""
        end = now() + _HURRY
        while self._mine:
            record, value = self._mine.pop()
            patience = max(0.001, end - now()) if hurry else _CLEANUP
            try:
                with deadline(patience, DialError("no answer in time", reason="timeout")):
                    self._setter.cleanup(record, value)
            except GproxyError as error:
                self._log.warning("the record %s can't be taken back: %s", record, error)


def _of_the_system() -> list[Address]:
    """The name servers that this machine asks."""
    found: list[IP] = []
    try:
        lines = _RESOLV_CONF.read_text("utf-8", "replace").splitlines()
    except OSError:
        lines = []
    for line in lines:
        words = line.split()
        if len(words) > 1 and words[0] == "nameserver":
            try:
                found.append(parse_ip(words[1]))
            except ValueError:
                continue
    return [Address(each, 53) for each in found]
