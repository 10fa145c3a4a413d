"""The whole configuration: the model of its top level, and how a document becomes one."""

from __future__ import annotations

from typing import Annotated, ClassVar

from gproxy.config.bytype import DNS_SERVER, INBOUND, OUTBOUND, SERVICE
from gproxy.config.experimental import ExperimentalOptions
from gproxy.config.load import Loaded
from gproxy.config.logs import LogOptions
from gproxy.config.runtime import RuntimeOptions
from gproxy.dns.options import DnsOptions
from gproxy.route.options import RouteOptions
from gproxy.schema.acme import CertificateProvider
from gproxy.schema.bans import BanOptions
from gproxy.schema.groups import Bind, Item, Listen
from gproxy.schema.limits import LimitOptions
from gproxy.schema.model import Options, doc, read
from gproxy.schema.problem import Problem
from gproxy.schema.tls import Authorities


class DnsTable(DnsOptions):
    """Names: whom to ask, what to remember, and what to tell whom."""

    servers: Annotated[
        tuple[Annotated[Item, DNS_SERVER], ...],
        doc("Whom to ask; `type` says how. Without any there is one, `local`: this machine's own way."),
    ] = ()


class Root(Options):
    """The top level of a configuration."""

    not_yet: ClassVar[tuple[str, ...]] = (
        "ntp", "endpoints", "http_clients",
        "network_namespaces",
    )  # fmt: skip

    log: Annotated[LogOptions, doc("The log.")] = LogOptions()
    dns: Annotated[
        DnsTable | None, doc("Names: how they are looked up. Without this table, by the system's resolver.")
    ] = None
    inbounds: Annotated[
        tuple[Annotated[Listen, INBOUND], ...], doc("Where clients come in; `type` says by which protocol.")
    ] = ()
    outbounds: Annotated[
        tuple[Annotated[Item, OUTBOUND], ...],
        doc("Where connections go out; `type` says by which protocol. Without any there is one, `direct`."),
    ] = ()
    services: Annotated[
        tuple[Annotated[Bind, SERVICE], ...], doc("What else gproxy offers to clients; `type` says what.")
    ] = ()
    certificate: Annotated[Authorities, doc("Whom outbounds believe when servers prove by TLS who they are.")] = (
        Authorities()
    )
    certificate_providers: Annotated[
        tuple[CertificateProvider, ...], doc("Who has the certificates of inbounds that name them; `type` says how.")
    ] = ()
    limits: Annotated[
        tuple[LimitOptions, ...], doc("How much of gproxy one user, one address or one way may take. Not in sing-box.")
    ] = ()
    bans: Annotated[
        BanOptions | None,
        doc("Who guesses passwords is shut out for a while. Without this table nobody is. Not in sing-box."),
    ] = None
    route: Annotated[RouteOptions, doc("Which connection goes where.")] = RouteOptions()
    experimental: Annotated[ExperimentalOptions, doc("What outlives gproxy.")] = ExperimentalOptions()
    runtime: Annotated[RuntimeOptions, doc("How gproxy uses the machine. Not in sing-box.")] = RuntimeOptions()


def read_root(loaded: Loaded) -> Root:
    """The checked configuration. Raises ConfigProblems with the report of everything that is wrong with it."""
    from gproxy.config.references import references

    problems: list[Problem] = []
    tree = {key: value for key, value in loaded.tree.items() if key != "$schema"}
    root = read(Root, tree, (), problems)
    references(loaded.tree, problems)
    # A value that lacks its variable is wrong in that one way only.
    unset = {problem.path for problem in loaded.problems}
    problems = [*loaded.problems, *(problem for problem in problems if problem.path not in unset)]
    if problems or root is None:
        from gproxy.config.report import report

        raise report(loaded, problems)
    return root
