"""One order (RFC 8555 section 7.4 to 7.5): asked for, proved, finalized, fetched."""

from __future__ import annotations

import ipaddress
from collections.abc import Callable, Container, Sequence
from typing import Any, Final, Protocol, TypeVar

from gproxy.base.clock import now
from gproxy.rt.sync import sleep
from gproxy.schema.acme import normal
from gproxy.service.acme.answers import Authorization, Challenge, Order
from gproxy.service.acme.client import AcmeError, Client, made, read
from gproxy.service.acme.jws import b64
from gproxy.service.acme.web import Response

_T = TypeVar("_T")

# An authority that is at work is asked again after this, then ever later up to the ceiling, unless it says when; and no
# longer than that. In seconds.
FIRST_LOOK: Final = 0.5
LATEST_LOOK: Final = 5.0
LONGEST_PAUSE: Final = 60.0
PATIENCE: Final = 600.0


class Prover(Protocol):
    """Answers challenges of one kind."""

    kind: str

    def show(self, name: str, token: str, answer: str) -> None:
        """Show the answer for this name. Raises GproxyError."""

    def wait(self) -> None:
        """Return when all that is shown can be seen by everybody. Raises GproxyError."""

    def hide(self, *, hurry: bool = False) -> None:
        """Take back all that was shown, at once if there is a `hurry`. Never raises: what can't be is logged."""


class Unproved(AcmeError):
    """The authority does not believe, in this way, that the names are ours."""


def place(client: Client, names: Sequence[str], profile: str, replaces: str) -> tuple[str, Order]:
    """Ask for a certificate: the order's URL, and what is to be done for it. Raises GproxyError.

    `replaces`: the renewal id of the one that it is to follow, if any.
    """
    directory = client.directory()
    if profile and profile not in directory.profiles:
        known = ", ".join(directory.profiles) or "none"
        raise AcmeError(f"it has no profile {profile}: it has {known}")
    payload: dict[str, Any] = {"identifiers": [_identifier(name) for name in names]}
    if profile:
        payload["profile"] = profile
    if replaces and directory.renewal_info:
        try:
            return _place(client, {**payload, "replaces": replaces})
        except AcmeError as error:
            if error.reason in {"rateLimited", "accountDoesNotExist"}:
                raise  # else it is not one that can be replaced: it was, or it is somebody else's
    return _place(client, payload)


def _place(client: Client, payload: dict[str, Any]) -> tuple[str, Order]:
    response = client.post(client.directory().new_order, payload)
    return made(response, "an order"), read(Order, response, "an order")


def _identifier(name: str) -> dict[str, str]:
    try:
        ipaddress.ip_address(name)
    except ValueError:
        return {"type": "dns", "value": name}
    return {"type": "ip", "value": name}


def fulfil(client: Client, url: str, order: Order, prover: Prover, names: Sequence[str], request: bytes) -> bytes:
    """Prove what is asked of these names, hand in the certificate request (DER), and fetch the chain (PEM).

    Raises Unproved when the prover's way is closed, or does not convince; and GproxyError.
    """
    end = now() + PATIENCE
    if order.status == "pending":
        _prove(client, order, prover, {name.removeprefix("*.") for name in names}, end)
        order = _until(client, Order, url, lambda each: each.status != "pending", end)
    if order.status == "ready":
        client.post(order.finalize, {"csr": b64(request)})
        order = _until(client, Order, url, lambda each: each.status not in {"ready", "processing"}, end)
    if order.status != "valid" or not order.certificate:
        raise AcmeError(f"the order is {order.status}: {order.problem}", kind=order.problem.kind)
    return client.post(order.certificate, None).body


def _prove(client: Client, order: Order, prover: Prover, ours: Container[str], end: float) -> None:
    asked: list[tuple[str, Authorization, Challenge]] = []
    for url in order.authorizations:
        authorization = client.fetch(Authorization, url)[0]
        if authorization.status == "valid":
            continue
        if normal(authorization.name) not in ours:
            raise AcmeError("it wants something else to be proved than was asked for")
        challenge = authorization.challenges.get(prover.kind)
        if challenge is None:
            raise Unproved(f"it does not take {prover.kind} for {authorization.name}")
        asked.append((url, authorization, challenge))
    try:
        for _, authorization, challenge in asked:
            prover.show(authorization.name, challenge.token, f"{challenge.token}.{client.key.thumbprint()}")
        if asked:
            prover.wait()
        for _, _, challenge in asked:
            client.post(challenge.url, {})
        for url, _, _ in asked:
            _check(_until(client, Authorization, url, lambda each: each.status != "pending", end), prover.kind)
    except BaseException as error:
        prover.hide(hurry=not isinstance(error, Exception))  # whoever ends this process waits
        raise
    prover.hide()


def _check(authorization: Authorization, kind: str) -> None:
    if authorization.status != "valid":
        why = authorization.problem()
        raise Unproved(f"{kind} for {authorization.name} is {authorization.status}: {why}", kind=why.kind)


def _until(client: Client, model: type[_T], url: str, done: Callable[[_T], bool], end: float) -> _T:
    """Ask until it is done."""
    step = FIRST_LOOK
    while True:
        found: tuple[_T, Response] = client.fetch(model, url)
        value, response = found
        if done(value):
            return value
        pause = min(response.retry_after() or step, LONGEST_PAUSE)
        if now() + pause > end:
            raise AcmeError("it does not come to an end")
        sleep(pause)
        step = min(2 * step, LATEST_LOOK)
