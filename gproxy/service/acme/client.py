"""The protocol's ground (RFC 8555 sections 6 and 7.1 to 7.3): signed requests, nonces, errors, and the account."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final, TypeVar

from gproxy.base.errors import GproxyError
from gproxy.service.acme.answers import Directory, Problem, Window, as_url
from gproxy.service.acme.jws import Key
from gproxy.service.acme.web import Ask, Response

_T = TypeVar("_T")

_JOSE: Final = {"Content-Type": "application/jose+json"}

# An authority may refuse any nonce that it has given; one that refuses so many in a row does not want us.
_NONCES: Final = 10


class AcmeError(GproxyError):
    """The authority has refused something, or what it says can't be used. `retry_after` is 0 unless it said so."""

    status = "acme"
    blame = "upstream"

    def __init__(self, message: str, *, kind: str = "", retry_after: float = 0.0) -> None:
        super().__init__(message, reason=kind)
        self.retry_after = retry_after


class Client:
    """An account at an authority. It begins without any: `register` before anything is ordered."""

    def __init__(self, ask: Ask, url: str, key: Key, account: str = "") -> None:
        """`url` is that of the authority's directory; `account` the account's, if the key has one."""
        self._ask = ask
        self._url = url
        self._known: Directory | None = None
        self._nonce = ""
        self.key = key
        self.account = account

    def directory(self) -> Directory:
        """Where things are; it is asked once. Raises GproxyError."""
        if self._known is None:
            response = self._ask("GET", self._url, b"", {})
            self._known = self._read(Directory, response, "the directory")
        return self._known

    def register(self, email: str, external: tuple[str, bytes] | None = None) -> None:
        """Open the key's account, or find the one that it has; `external` is what it is bound to, if anything.

        Raises GproxyError.
        """
        url = self.directory().new_account
        payload: dict[str, Any] = {"termsOfServiceAgreed": True}
        if email:
            payload["contact"] = [f"mailto:{email}"]
        if external is not None:
            payload["externalAccountBinding"] = self.key.bind(*external, url)
        self.account = ""
        self.account = made(self.post(url, payload), "an account")

    def post(self, url: str, payload: Mapping[str, Any] | None) -> Response:
        """Send a signed request; without a payload it only asks. Raises AcmeError for errors, and GproxyError."""
        for _ in range(_NONCES):
            nonce, self._nonce = self._nonce or self._new_nonce(), ""
            response = self._ask("POST", url, self.key.sign(url, nonce, payload, self.account), _JOSE)
            self._nonce = response.fields.get("replay-nonce", "")
            if response.status < 400:
                return response
            error = _error(response)
            if error.reason != "badNonce":
                raise error
        raise AcmeError("none of its own nonces is good enough for it")

    def fetch(self, model: type[_T], url: str) -> tuple[_T, Response]:
        """What stands at a URL, for this account. Raises GproxyError."""
        response = self.post(url, None)
        return self._read(model, response, model.__name__.lower()), response

    def window(self, renewal_id: str) -> tuple[Window, float] | None:
        """When the authority wants a certificate to be renewed, and in how many seconds to ask again; None: it does not
        say such things. Raises GproxyError.
        """
        place = self.directory().renewal_info
        if not place or not renewal_id:
            return None
        response = self._ask("GET", f"{place.rstrip('/')}/{renewal_id}", b"", {})
        return self._read(Window, response, "renewal information"), response.retry_after()

    def _new_nonce(self) -> str:
        response = self._ask("HEAD", self.directory().new_nonce, b"", {})
        nonce = response.fields.get("replay-nonce", "")
        if response.status >= 400 or not nonce:
            raise _error(response) if response.status >= 400 else AcmeError("no nonce where one should be")
        return nonce

    def _read(self, model: type[_T], response: Response, what: str) -> _T:
        if response.status >= 400:
            raise _error(response)
        return read(model, response, what)


def read(model: type[_T], response: Response, what: str) -> _T:
    """The body as a model with a `read`. Raises AcmeError."""
    try:
        found: _T = model.read(response.body)  # type: ignore[attr-defined]  # all of gproxy.service.acme.answers have it
    except ValueError as error:
        raise AcmeError(f"{what}: {error}") from error
    return found


def made(response: Response, what: str) -> str:
    """The URL of what was made. Raises AcmeError."""
    try:
        return as_url(response.fields.get("location"), "Location")
    except ValueError as error:
        raise AcmeError(f"{what} without a URL") from error


def _error(response: Response) -> AcmeError:
    problem = Problem.read(response.body)
    text = str(problem) if problem.kind or problem.detail else f"it answers {response.status}"
    return AcmeError(text, kind=problem.kind, retry_after=response.retry_after())
