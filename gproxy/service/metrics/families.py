"""Every metric: its name, what it is, what it tells, and which of the shared counters it is made of.

docs/metrics.md says the same for people; a test holds the two together.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, Literal

Kind = Literal["counter", "gauge", "histogram"]


@dataclass(frozen=True, slots=True)
class Family:
    """A metric. Its values are stored in units of `scale`."""

    name: str
    kind: Kind
    help: str
    labels: tuple[str, ...] = ()
    scale: float = 1


@dataclass(frozen=True, slots=True)
class Part:
    """One of the values of a shared counter, and the labels that it has beyond those of the counter."""

    family: Family
    more: tuple[str, ...] = ()


def _counter(name: str, text: str, *labels: str, scale: float = 1) -> Family:
    return Family(f"gproxy_{name}", "counter", text, labels, scale)


def _gauge(name: str, text: str, *labels: str) -> Family:
    return Family(f"gproxy_{name}", "gauge", text, labels)


def _histogram(name: str, text: str, *labels: str) -> Family:
    return Family(f"gproxy_{name}", "histogram", text, labels)


_USER_SESSIONS = _counter("user_sessions_total", "Sessions that a user has begun.", "user", "network")
_LOOKUPS = _counter("dns_cache_lookups_total", "Questions to the DNS cache, by what came of them.", "result")

COUNTERS: Final[dict[str, tuple[Part, ...]]] = {
    "connection": (
        Part(_counter("connections_total", "Clients that have connected, or sent a first datagram.", "inbound")),
    ),
    "session": (
        Part(_counter("sessions_total", "Sessions that have ended, by how.", "inbound", "outbound", "status")),
    ),
    "rule": (Part(_counter("rule_sessions_total", "Sessions that a rule has decided about.", "rule")),),
    "moved": (
        Part(_counter("up_bytes_total", "Payload from clients.", "inbound", "outbound")),
        Part(_counter("down_bytes_total", "Payload to clients.", "inbound", "outbound")),
    ),
    "user": (
        Part(_counter("user_up_bytes_total", "Payload from a user.", "user")),
        Part(_counter("user_down_bytes_total", "Payload to a user.", "user")),
        Part(_USER_SESSIONS, ("tcp",)),
        Part(_USER_SESSIONS, ("udp",)),
    ),
    "limited": (Part(_counter("limit_refusals_total", "Sessions that a limit has refused.", "limit", "reason")),),
    "opened": (Part(_counter("breaker_openings_total", "How often the circuit breaker has opened.", "outbound")),),
    "query": (Part(_counter("dns_queries_total", "Questions of clients about names.")),),
    "lookup": (Part(_LOOKUPS, ("hit",)), Part(_LOOKUPS, ("miss",))),
    "dropped": (
        Part(_counter("dns_dropped_total", "Questions that were dropped since there were too many.", "inbound")),
    ),
    "failure": (Part(_counter("dns_exchange_failures_total", "Questions that got no answer.", "server")),),
    "cpu": (
        Part(_counter("process_cpu_seconds_total", "Processor time, of all its lives.", "process", scale=1e-6)),
    ),
    "start": (Part(_counter("process_starts_total", "How often the process was started.", "process")),),
}  # fmt: skip
"""By the family of the shared counter (see totals), a part for each of its values."""

HISTOGRAMS: Final[dict[str, Family]] = {
    "handshake": _histogram("handshake_seconds", "From the connection to what the client wants.", "inbound"),
    "dial": _histogram("dial_seconds", "Reaching the target, where that succeeded.", "outbound"),
    "first": _histogram("first_byte_seconds", "From there to the target's first byte, told at the end.", "outbound"),
    "exchange": _histogram("dns_exchange_seconds", "Answers of DNS servers, where one came.", "server"),
}
"""By the family of the shared counter, whose values are those of a Timing."""

LOST: Final = _counter("metrics_lost_total", "What could not be counted, since there was no room for more series.")

SUMMED: Final[dict[str, Family]] = {
    "open": _gauge("connections_open", "Clients that are being served.", "inbound"),
    "breaker": _gauge("breaker_processes", "Processes whose circuit breaker is in this state.", "outbound", "state"),
    "entries": _gauge("dns_cache_entries", "Answers that are remembered, in all workers."),
    "cached": _gauge("dns_cache_bytes", "Memory of remembered answers, in all workers."),
}
"""By the family on the board: what all processes show is added up."""

_EACH = ("process", "generation")

EACH: Final[dict[str, Family]] = {
    "resident": _gauge("process_resident_memory_bytes", "Memory of the process.", *_EACH),
    "descriptors": _gauge("process_open_fds", "Open descriptors of the process.", *_EACH),
    "greenlets": _gauge("process_greenlets", "Greenlets of the process.", *_EACH),
    "lag": _gauge("process_lag_seconds", "How late the process came to what it does each second.", *_EACH),
    "paused": _gauge("process_paused", "Whether the process accepts nobody, since memory is short.", *_EACH),
}
"""By the family on the board: each process has its own."""

FACTS: Final[dict[str, Family]] = {
    "build": _gauge("build_info", "Always 1; the label tells the version.", "version"),
    "generation": _gauge("generation", "Number of the configuration that is served: each reload adds 1."),
    "started": _gauge("generation_start_timestamp_seconds", "When the served generation began."),
    "draining": _gauge("draining_generations", "Earlier generations that still serve sessions."),
    "workers": _gauge("workers", "Workers of the served generation, by state.", "state"),
    "ready": _gauge("ready", "Whether /ready says yes."),
    "certificate": _gauge(
        "certificate_expiry_timestamp_seconds", "When a certificate ends that an inbound shows.", "inbound", "file"
    ),
    "bans": _counter("bans_total", "Bans so far, those that are over included."),
    "banned": _gauge("bans", "Addresses and prefixes that are banned."),
    "rule_set": _gauge(
        "rule_set_updated_timestamp_seconds", "When a rule set was last known to be up to date.", "rule_set"
    ),
}
"""What the process knows that answers."""


def families() -> list[Family]:
    """All of them, each once, by name."""
    found = {part.family.name: part.family for parts in COUNTERS.values() for part in parts}
    for table in (HISTOGRAMS, SUMMED, EACH, FACTS):
        found.update({family.name: family for family in table.values()})
    found[LOST.name] = LOST
    return [found[name] for name in sorted(found)]
