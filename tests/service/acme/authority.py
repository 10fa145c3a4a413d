"""An authority in memory: it takes signed requests as a real one does, and fails when it is told to."""

from __future__ import annotations

import base64
import datetime
import hmac
import json
from collections.abc import Mapping
from typing import Any

from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa
from cryptography.hazmat.primitives.asymmetric.utils import encode_dss_signature
from cryptography.x509.oid import NameOID

from gproxy.base.clock import wall
from gproxy.service.acme.web import Response

BASE = "https://ca.test"
DAY = 86400.0
MAC = b"secret of kid-1"


def unb64(text: str) -> bytes:
    return base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))


def problem(kind: str, status: int = 400, detail: str = "as told", **fields: str) -> Response:
    body = {"type": f"urn:ietf:params:acme:error:{kind}", "detail": detail}
    return Response(status, {"content-type": "application/problem+json", **fields}, json.dumps(body).encode())


class Refused(Exception):
    """An answer that is a problem."""

    def __init__(self, response: Response) -> None:
        super().__init__(response)
        self.response = response


class Authority:
    """`ask` is its door. Knobs: `answers` by path take the place of its own, each once; `looks` before an authorization
    or an order comes to its end; `bad_nonces`; `external`; `life` of certificates in seconds.
    """

    def __init__(self, kinds: tuple[str, ...] = ("http-01", "tls-alpn-01", "dns-01")) -> None:
        self.kinds = kinds
        self.answers: dict[str, list[Response]] = {}
        self.asked: list[str] = []
        self.looks = 0
        self.bad_nonces = 0
        self.external = False
        self.profiles: dict[str, str] = {}
        self.windows: list[tuple[float, float]] | None = None  # renewal information; None: it has none
        self.life = 90 * DAY
        self.convinced = True
        self.replaced: list[str] = []
        self.triggered: list[str] = []
        self.accounts: dict[str, dict[str, Any]] = {}  # by URL: {"jwk", "payload"}
        self.orders: list[dict[str, Any]] = []
        self.authorizations: list[dict[str, Any]] = []
        self.issued: list[bytes] = []
        self._chains: dict[int, bytes] = {}
        self._nonces: set[str] = set()
        self._number = 0
        self._key = ec.generate_private_key(ec.SECP256R1())

    # -- the door ------------------------------------------------------------------------------------------------------

    def ask(self, method: str, url: str, body: bytes, fields: Mapping[str, str]) -> Response:
        assert url.startswith(BASE), url
        path = url[len(BASE) :]
        self.asked.append(f"{method} {path}")
        try:
            response = self._serve(method, path, url, body, fields)
        except Refused as error:
            response = error.response
        if path.startswith(("/dir", "/renewal")):
            return response
        return Response(response.status, {"replay-nonce": self._new_nonce(), **response.fields}, response.body)

    def _serve(self, method: str, path: str, url: str, body: bytes, fields: Mapping[str, str]) -> Response:
        if method in ("GET", "HEAD"):
            assert not body
            return self._told(path) or self._plain(path)
        assert (method, fields["Content-Type"]) == ("POST", "application/jose+json")
        account, payload = self._verify(url, body)
        if told := self._told(path):
            return told
        name, _, number = path[1:].partition("/")
        if name == "new-account":
            return self._new_account(account, payload, body)
        if account not in self.accounts:
            return problem("accountDoesNotExist")
        handle = getattr(self, f"_{name.replace('-', '_')}")
        answer: Response = handle(payload, int(number or 0))
        return answer

    def _told(self, path: str) -> Response | None:
        waiting = self.answers.get(path)
        return waiting.pop(0) if waiting else None

    def _plain(self, path: str) -> Response:
        if path == "/dir":
            table: dict[str, Any] = {name: f"{BASE}/{place}" for name, place in (
                ("newNonce", "new-nonce"), ("newAccount", "new-account"), ("newOrder", "new-order"))}  # fmt: skip
            table["meta"] = {"externalAccountRequired": self.external, "profiles": self.profiles}
            if self.windows is not None:
                table["renewalInfo"] = f"{BASE}/renewal"
            return self._json(table)
        if path == "/new-nonce":
            return Response(200, {}, b"")
        assert path.startswith("/renewal/"), path
        assert self.windows
        start, end = (datetime.datetime.fromtimestamp(each, datetime.UTC).isoformat() for each in self.windows[0])
        return self._json({"suggestedWindow": {"start": start, "end": end}}, **{"retry-after": "600"})

    # -- signatures ----------------------------------------------------------------------------------------------------

    def _new_nonce(self) -> str:
        self._number += 1
        self._nonces.add(f"nonce-{self._number}")
        return f"nonce-{self._number}"

    def _verify(self, url: str, body: bytes) -> tuple[str, Any]:
        """The account, or the key as JSON, and the payload."""
        table = json.loads(body)
        header = json.loads(unb64(table["protected"]))
        assert header["url"] == url
        assert ("kid" in header) != ("jwk" in header)
        assert header["nonce"] in self._nonces, "a nonce twice"
        self._nonces.remove(header["nonce"])
        if self.bad_nonces:
            self.bad_nonces -= 1
            raise Refused(problem("badNonce"))
        if "kid" in header and header["kid"] not in self.accounts:
            raise Refused(problem("accountDoesNotExist"))
        jwk = header.get("jwk") or self.accounts[header["kid"]]["jwk"]
        signed = f"{table['protected']}.{table['payload']}".encode()
        verify(jwk, header["alg"], unb64(table["signature"]), signed)
        payload = json.loads(unb64(table["payload"])) if table["payload"] else None
        return header.get("kid") or json.dumps(jwk), payload

    # -- what may be asked ---------------------------------------------------------------------------------------------

    def _new_account(self, jwk: str, payload: Any, body: bytes) -> Response:
        assert payload["termsOfServiceAgreed"] is True
        if self.external:
            bound = payload.get("externalAccountBinding")
            if bound is None:
                return problem("externalAccountRequired", 403)
            header = json.loads(unb64(bound["protected"]))
            assert (header["alg"], header["kid"]) == ("HS256", "kid-1")
            assert json.loads(unb64(bound["payload"])) == json.loads(jwk)
            signed = f"{bound['protected']}.{bound['payload']}".encode()
            if hmac.digest(MAC, signed, "sha256") != unb64(bound["signature"]):
                return problem("unauthorized", 403)
        known = [url for url, each in self.accounts.items() if each["jwk"] == json.loads(jwk)]
        url = known[0] if known else f"{BASE}/account/{len(self.accounts) + 1}"
        self.accounts[url] = {"jwk": json.loads(jwk), "payload": payload}
        return self._json({"status": "valid"}, 200 if known else 201, location=url)

    def _new_order(self, payload: Any, _: int) -> Response:
        self.replaced.append(payload.get("replaces", ""))
        number = len(self.orders)
        first = len(self.authorizations)
        for identifier in payload["identifiers"]:
            plain = {**identifier, "value": identifier["value"].removeprefix("*.")}
            self.authorizations.append({"status": "pending", "identifier": plain, "left": self.looks})
        places = [f"{BASE}/authz/{each}" for each in range(first, len(self.authorizations))]
        self.orders.append({
            "status": "pending", "authorizations": places, "finalize": f"{BASE}/finalize/{number}",
            "identifiers": payload["identifiers"], "left": self.looks, "profile": payload.get("profile", ""),
        })  # fmt: skip
        return self._json(self.orders[number], 201, location=f"{BASE}/order/{number}")

    def _authz(self, payload: Any, number: int) -> Response:
        assert payload is None
        one = self.authorizations[number]
        if one.get("triggered") and one["status"] == "pending":
            if one["left"]:
                one["left"] -= 1
            else:
                one["status"] = "valid" if self.convinced else "invalid"
        challenges = []
        for index, kind in enumerate(self.kinds):
            state = one["status"] if one.get("triggered") == kind else "pending"
            each: dict[str, Any] = {"type": kind, "status": state, "token": f"token-{number}-{index}",
                                    "url": f"{BASE}/challenge/{number * 10 + index}"}  # fmt: skip
            if state == "invalid":
                each["error"] = {"type": "urn:ietf:params:acme:error:connection", "detail": "nobody there"}
            challenges.append(each)
        return self._json({**one, "challenges": challenges})

    def _challenge(self, payload: Any, place: int) -> Response:
        assert payload == {}
        number, index = divmod(place, 10)
        self.authorizations[number]["triggered"] = self.kinds[index]
        self.triggered.append(self.kinds[index])
        return self._json({"status": "processing"})

    def _order(self, payload: Any, number: int) -> Response:
        assert payload is None
        order = self.orders[number]
        states = {self.authorizations[int(each.rpartition("/")[2])]["status"] for each in order["authorizations"]}
        if order["status"] == "pending" and states == {"valid"}:
            order["status"] = "ready"
        elif order["status"] == "pending" and "invalid" in states:
            order["status"] = "invalid"
        elif order["status"] == "processing":
            if order["left"]:
                order["left"] -= 1
            else:
                order["status"], order["certificate"] = "valid", f"{BASE}/certificate/{number}"
        return self._json(order, **{"retry-after": "1"} if self.looks else {})

    def _finalize(self, payload: Any, number: int) -> Response:
        order = self.orders[number]
        assert order["status"] == "ready"
        request = x509.load_der_x509_csr(unb64(payload["csr"]))
        assert request.is_signature_valid
        self._chains[number] = self._sign(request)
        order["status"] = "processing"
        return self._json(order)

    def _certificate(self, payload: Any, number: int) -> Response:
        assert payload is None
        chain = self._chains[number]
        self.issued.append(chain)
        return Response(200, {"content-type": "application/pem-certificate-chain"}, chain)

    def _sign(self, request: x509.CertificateSigningRequest) -> bytes:
        begins = datetime.datetime.fromtimestamp(wall(), datetime.UTC)
        names = request.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
        issuer = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "authority")])
        builder = x509.CertificateBuilder(issuer, issuer, request.public_key(), x509.random_serial_number())
        builder = builder.not_valid_before(begins).not_valid_after(begins + datetime.timedelta(seconds=self.life))
        identifier = x509.AuthorityKeyIdentifier.from_issuer_public_key(self._key.public_key())
        builder = builder.add_extension(names, critical=False).add_extension(identifier, critical=False)
        leaf = builder.sign(self._key, hashes.SHA256())
        return leaf.public_bytes(serialization.Encoding.PEM)

    @staticmethod
    def _json(table: Mapping[str, Any], status: int = 200, **fields: str) -> Response:
        return Response(status, fields, json.dumps(table).encode())


def verify(jwk: Mapping[str, str], algorithm: str, signature: bytes, signed: bytes) -> None:
    """Raises InvalidSignature."""

    def number(name: str) -> int:
        return int.from_bytes(unb64(jwk[name]), "big")

    if jwk["kty"] == "RSA":
        assert algorithm == "RS256"
        public = rsa.RSAPublicNumbers(number("e"), number("n")).public_key()
        public.verify(signature, signed, padding.PKCS1v15(), hashes.SHA256())
        return
    curve, hashed = {"ES256": (ec.SECP256R1(), hashes.SHA256()), "ES384": (ec.SECP384R1(), hashes.SHA384())}[algorithm]
    half = len(signature) // 2
    if half != (curve.key_size + 7) // 8:
        raise InvalidSignature
    points = ec.EllipticCurvePublicNumbers(number("x"), number("y"), curve)
    both = encode_dss_signature(int.from_bytes(signature[:half], "big"), int.from_bytes(signature[half:], "big"))
    points.public_key().verify(both, signed, ec.ECDSA(hashed))
