"""Metrics for Prometheus, and whether all is well."""

from __future__ import annotations

from gproxy.schema.registry import Row
from gproxy.service.metrics.options import MetricsOptions
from gproxy.service.metrics.service import Metrics

SERVICE = Row(MetricsOptions, Metrics)
