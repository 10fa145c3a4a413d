"""Multiplexing around the protocols: what serves links before an inbound's dispatcher, and what dials them."""

from __future__ import annotations

import logging

from gproxy.base.iface import Branch, Dispatcher, Outbound
from gproxy.schema.model import Options
from gproxy.schema.multiplex import Brutal, MultiplexDial, MultiplexListen


def dispatching(options: Options, then: Dispatcher, branch: Branch, log: logging.Logger) -> Dispatcher:
    """What an inbound hands its streams to. If its options say nothing of links, a request for one is routed on."""
    if not isinstance(options, MultiplexListen) or not options.multiplex.enabled:
        return then
    from gproxy.layers.mux.server import MuxServer

    _warn(options.multiplex.brutal, log)
    return MuxServer(then, branch, options.multiplex)


def outgoing(options: Options, outbound: Outbound, log: logging.Logger) -> Outbound:
    """The outbound, or one whose streams share links to its server."""
    if not isinstance(options, MultiplexDial) or not options.multiplex.enabled:
        return outbound
    from gproxy.layers.mux.client import MuxOutbound

    _warn(options.multiplex.brutal, log)
    return MuxOutbound(outbound, options.multiplex, log)


def _warn(brutal: Brutal, log: logging.Logger) -> None:
    """Say at the start what will not work."""
    from gproxy.layers.mux.brutal import MISSING, kernel_has_brutal

    if brutal.enabled and not kernel_has_brutal():
        log.warning("%s, so this side sends as ever, and others are refused what they ask of it", MISSING)
