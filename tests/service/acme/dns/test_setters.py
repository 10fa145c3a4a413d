from __future__ import annotations

import json
import logging
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from gproxy.schema.acme import AcmeDns, Cloudflare, Exec
from gproxy.schema.fields import Duration, Secret
from gproxy.service.acme.client import AcmeError
from gproxy.service.acme.dns import setters as module
from gproxy.service.acme.dns.setters import ByAcmeDns, ByCloudflare, ByProgram, setter
from gproxy.service.acme.web import Response

pytestmark = pytest.mark.usefixtures("no_leaks")

LOG = logging.getLogger("test")
RECORD, VALUE = "_acme-challenge.a.site.test", "value-of-43-characters"
ACMEDNS = AcmeDns(
    provider="acmedns", username="u", password=Secret("p"), subdomain="sub", server_url="https://auth.test/"
)


class Api:
    """Answers in order; notes what was asked."""

    def __init__(self, *answers: tuple[int, Any]) -> None:
        self._answers = list(answers)
        self.asked: list[tuple[str, str, Any, Mapping[str, str]]] = []

    def __call__(self, method: str, url: str, body: bytes, fields: Mapping[str, str]) -> Response:
        self.asked.append((method, url, json.loads(body) if body else None, fields))
        status, answer = self._answers.pop(0)
        return Response(status, {}, answer if isinstance(answer, bytes) else json.dumps(answer).encode())


def ok(result: Any) -> tuple[int, Any]:
    return 200, {"success": True, "errors": [], "result": result}


def test_acme_dns() -> None:
    api = Api((200, {"txt": VALUE}))
    found = setter(ACMEDNS, api, LOG)
    assert isinstance(found, ByAcmeDns)
    found.present(RECORD, VALUE)
    found.cleanup(RECORD, VALUE)
    [(method, url, body, fields)] = api.asked
    assert (method, url, body) == ("POST", "https://auth.test/update", {"subdomain": "sub", "txt": VALUE})
    assert (fields["X-Api-User"], fields["X-Api-Key"]) == ("u", "p")


@pytest.mark.parametrize(
    ("answer", "words"),
    [((401, {"error": "forbidden\n"}), "acme-dns: it answers 401: forbidden "), ((500, b"<html>"), "it answers 500$")],
)
def test_acme_dns_says_no(answer: tuple[int, Any], words: str) -> None:
    with pytest.raises(AcmeError, match=words):
        ByAcmeDns(ACMEDNS, Api(answer)).present(RECORD, VALUE)


def cloudflare(api: Api, **options: Any) -> ByCloudflare:
    found = setter(Cloudflare(provider="cloudflare", api_token=Secret("token"), **options), api, LOG)
    assert isinstance(found, ByCloudflare)
    return found


def test_cloudflare() -> None:
    api = Api(ok([]), ok([]), ok([{"id": "zone1"}]), ok({"id": "record1"}), ok({}))
    found = cloudflare(api, zone_token=Secret("zones"), ttl=Duration(120))
    found.present(RECORD, VALUE)
    found.cleanup(RECORD, VALUE)
    found.cleanup(RECORD, VALUE)
    base = "https://api.cloudflare.com/client/v4/zones"
    assert [(method, url) for method, url, _, _ in api.asked] == [
        ("GET", f"{base}?name=_acme-challenge.a.site.test"), ("GET", f"{base}?name=a.site.test"),
        ("GET", f"{base}?name=site.test"), ("POST", f"{base}/zone1/dns_records"),
        ("DELETE", f"{base}/zone1/dns_records/record1"),
    ]  # fmt: skip
    assert api.asked[3][2] == {"type": "TXT", "name": RECORD, "content": VALUE, "ttl": 120}
    tokens = [fields["Authorization"] for _, _, _, fields in api.asked]
    assert tokens == ["Bearer zones"] * 3 + ["Bearer token"] * 2


def test_cloudflare_by_itself() -> None:
    api = Api(ok([{"id": "z"}]), ok({"id": "r"}))
    cloudflare(api).present(RECORD, VALUE)
    assert api.asked[0][3]["Authorization"] == "Bearer token"
    assert api.asked[1][2]["ttl"] == 1


@pytest.mark.parametrize(
    ("answers", "words"),
    [
        ([(403, {"success": False, "errors": [{"code": 1, "message": "Invalid token"}]})],
         "Cloudflare: it answers 403: Invalid token"),
        ([(502, b"<html>")], "Cloudflare: it answers 502"),
        ([ok([])] * 3, f"no zone of this token has {RECORD}"),
        ([ok([{"id": "../x"}])], "something without an id"),
        ([ok([{"id": "z"}]), ok(None)], "something without an id"),
        ([(200, [])], "it answers 200"),
    ],
)  # fmt: skip
def test_cloudflare_says_no(answers: list[Any], words: str) -> None:
    with pytest.raises(AcmeError, match=words):
        cloudflare(Api(*answers)).present(RECORD, VALUE)


def program(path: Path, text: str) -> ByProgram:
    path.write_text(f"#!{sys.executable}\nimport os, sys, time\n{text}\n")
    path.chmod(0o755)
    found = setter(Exec(provider="exec", command=(str(path), "extra"), ttl=Duration(60)), Api(), LOG)
    assert isinstance(found, ByProgram)
    return found


def test_a_program(tmp_path: Path) -> None:
    out = tmp_path / "out"
    found = program(
        tmp_path / "hook", f"open({str(out)!r}, 'a').write(' '.join([*sys.argv[1:], os.environ['ACME_TTL']]) + '\\n')"
    )
    found.present(RECORD, VALUE)
    found.cleanup(RECORD, VALUE)
    assert out.read_text() == f"extra present {RECORD} {VALUE} 60\nextra cleanup {RECORD} {VALUE} 60\n"


def test_a_program_that_fails(tmp_path: Path) -> None:
    with pytest.raises(AcmeError, match=r"hook present: exit status 3 \(no such zone\)"):
        program(tmp_path / "hook", "print('no such zone'); sys.exit(3)"
                ).present(RECORD, VALUE)  # fmt: skip


def test_a_program_that_is_none(tmp_path: Path) -> None:
    found = ByProgram(Exec(provider="exec", command=(str(tmp_path / "none"),)), LOG)
    with pytest.raises(AcmeError, match="can't be started: No such file"):
        found.present(RECORD, VALUE)


def test_a_program_that_does_not_end(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_PROGRAM", 0.3)
    with pytest.raises(AcmeError, match=r"killed, since it took more than 0.3 s"):
        program(tmp_path / "hook", "time.sleep(60)").present(RECORD, VALUE)
