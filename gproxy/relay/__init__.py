"""The only place where payload moves. Counting, idle time and half-close live here and nowhere else."""

from gproxy.relay.pick import relay
from gproxy.relay.terms import Outcome, Terms

__all__ = ["Outcome", "Terms", "relay"]
