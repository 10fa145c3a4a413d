"""Metrics as text: Prometheus' format 0.0.4, and OpenMetrics 1.0.

# HELP gproxy_connections_total Clients that have connected.
# TYPE gproxy_connections_total counter
gproxy_connections_total{inbound="socks-in"} 5
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from functools import lru_cache
from typing import Final

from gproxy.observe.timing import BOUNDS
from gproxy.service.metrics.families import Family

PLAIN: Final = "text/plain; version=0.0.4; charset=utf-8"
OPEN: Final = "application/openmetrics-text; version=1.0.0; charset=utf-8"

Labels = tuple[str, ...]
Value = float | Sequence[int]
"""A number, or the values of a Timing."""

_SERIES: Final = 16384  # names of series that are remembered


def wants_open(accept: str) -> bool:
    """Whether an Accept field asks for OpenMetrics rather than for the other one (RFC 9110 section 12.5.1)."""
    best: dict[str, float] = {}
    for part in accept.lower().split(","):
        kind, *parameters = (each.strip() for each in part.split(";"))
        quality = 1.0
        for each in parameters:
            if each.startswith("q="):
                try:
                    quality = float(each[2:])
                except ValueError:
                    quality = 0.0
        best[kind] = max(quality, best.get(kind, 0.0))
    wanted = best.get("application/openmetrics-text", 0.0)
    return wanted > 0 and wanted >= best.get("text/plain", 0.0)


def write(values: Iterable[tuple[Family, Mapping[Labels, Value]]], *, openmetrics: bool = False) -> bytes:
    """Families with what they are, by the values of their labels; one without any is left out."""
    lines: list[str] = []
    for family, series in values:
        if not series:
            continue
        name = family.name
        described = name.removesuffix("_total") if openmetrics and family.kind == "counter" else name
        lines.append(f"# HELP {described} {family.help}\n# TYPE {described} {family.kind}\n")
        if family.kind == "histogram":
            for labels, value in series.items():
                assert not isinstance(value, float | int), "a Timing's"
                _histogram(lines, family, labels, value)
        else:
            for labels, value in series.items():
                assert isinstance(value, float | int), "a number"
                lines.append(f"{_series(name, family.labels, labels)} {_number(value * family.scale)}\n")
    if openmetrics:
        lines.append("# EOF\n")
    return "".join(lines).encode()


def _histogram(lines: list[str], family: Family, labels: Labels, values: Sequence[int]) -> None:
    names = (*family.labels, "le")
    total = 0
    for bound, count in zip(_BOUNDS, values[:-1], strict=True):
        total += count
        lines.append(f"{_series(f'{family.name}_bucket', names, (*labels, bound))} {total}\n")
    lines.append(f"{_series(f'{family.name}_sum', family.labels, labels)} {_number(values[-1] * 1e-6)}\n")
    lines.append(f"{_series(f'{family.name}_count', family.labels, labels)} {total}\n")


@lru_cache(_SERIES)
def _series(name: str, names: Labels, labels: Labels) -> str:
    if not names:
        return name
    pairs = ",".join(f'{key}="{_escaped(value)}"' for key, value in zip(names, labels, strict=True))
    return f"{name}{{{pairs}}}"


def _escaped(text: str) -> str:
    return text.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")


def _number(value: float) -> str:
    whole = int(value)
    return str(whole) if whole == value else repr(round(value, 6))


_BOUNDS: Final = (*(repr(bound) for bound in BOUNDS), "+Inf")
