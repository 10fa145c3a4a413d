"""What rules may look at besides the session, made of a configuration: one for the rules of `route` and those of `dns`."""

from __future__ import annotations

from gproxy.config.root import Root
from gproxy.route.context import Context


def build_context(root: Root) -> Context:
    """What both routers compile their rules with. Raises ConfigError."""
    return Context()
