"""The service: metrics, and whether all is well, on HTTP.

GET /metrics        all metrics; asks for the token
GET /health         200: this process answers, so it is alive
GET /ready          200, or 503 and a line for each thing that is not well; details only for who has the token
"""

from __future__ import annotations

import hmac
from collections.abc import Collection

from gproxy.base.iface import Stream
from gproxy.observe import audit
from gproxy.observe.events import Event
from gproxy.rt.offload import offload
from gproxy.service import http
from gproxy.service.http import Answer, Request
from gproxy.service.management import NOBODY, Peer, ServiceWiring
from gproxy.service.metrics.options import MetricsOptions
from gproxy.service.metrics.readiness import Readiness
from gproxy.service.metrics.scrape import scrape
from gproxy.service.metrics.text import OPEN, PLAIN, wants_open, write


class Metrics:
    """See Service."""

    def __init__(self, options: MetricsOptions, wiring: ServiceWiring) -> None:
        assert wiring.view is not None, "the assembly gives it to services of this type"
        self._view = wiring.view
        self._tag = wiring.tag
        self._token = options.token.reveal().encode()
        self._readiness = Readiness(self._view, options.upstreams)

    def accept(self, stream: Stream, peer: Peer = NOBODY) -> None:
        """See Service."""
        http.serve(stream, self._answer, peer)

    def _answer(self, request: Request) -> Answer:
        if request.parts not in (["metrics"], ["health"], ["ready"]):
            return Answer.of_text(404, "there is nothing here: /metrics, /health, /ready")
        if request.method != "GET":
            return Answer(405, allow="GET")
        allowed = self._may(request)
        if request.parts == ["health"]:
            return Answer.of_text(200, "alive")
        if request.parts == ["ready"]:
            return self._ready(details=allowed)
        if allowed:
            return self._metrics(request)
        self._tell_refused(request)
        return Answer(401, b"a token is asked for\n", challenge="Bearer")

    def _tell_refused(self, request: Request) -> None:
        peer, shown = request.peer, request.fields.values(b"authorization")
        audit.bounded(
            Event(
                "token-refused", "refused", "api", peer.uid, peer.pid, peer.source, service=self._tag,
                detail="a wrong token" if shown else "no token",
            )
        )  # fmt: skip

    def _may(self, request: Request) -> bool:
        if not self._token:
            return True
        given = request.fields.values(b"authorization")
        if len(given) != 1:
            return False
        scheme, _, token = given[0].partition(b" ")
        return scheme.lower() == b"bearer" and hmac.compare_digest(token.strip(b" "), self._token)

    def _metrics(self, request: Request) -> Answer:
        self._view.refresh()
        ready = not any(check.problem for check in self._readiness.quick())
        facts = offload(self._view.known)
        openmetrics = wants_open(b",".join(request.fields.values(b"accept")).decode("latin-1"))
        text = write(scrape(self._view, facts, ready=ready), openmetrics=openmetrics)
        return Answer(200, text, OPEN if openmetrics else PLAIN)

    def _ready(self, *, details: bool) -> Answer:
        checks = self._readiness.checks()
        lines = [f"{check.name}: {check.problem or 'ok'}" for check in checks] if details else []
        bad = any(check.problem for check in checks)
        return Answer.of_text(503 if bad else 200, "\n".join(["not ready" if bad else "ready", *lines]))

    def load(self, inbounds: Collection[str]) -> None:
        """See Service."""

    def hold(self) -> None:
        """See Service."""
        self._readiness.serving = False

    def go_on(self) -> None:
        """See Service."""
        self._readiness.serving = True

    def save(self) -> None:
        """See Service."""
