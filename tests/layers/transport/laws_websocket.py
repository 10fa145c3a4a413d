"""The laws of sealers and openers, for the frames of both roles. WebSockets prove nothing: TLS is for that."""

from __future__ import annotations

from gproxy.base.iface import Opener, Sealer
from gproxy.layers.transport.websocket import FrameOpener, FrameSealer, Masks, Talk, no_mask
from gproxy.wire.websocket import MAX_CONTROL, MAX_HEAD
from tests.laws.registry import Framing


def of_client() -> tuple[Sealer, Opener]:
    mask = Masks()
    return FrameSealer(Talk(mask), mask), FrameOpener(Talk(no_mask), masked=True)


def of_server() -> tuple[Sealer, Opener]:
    return FrameSealer(Talk(no_mask), no_mask), FrameOpener(Talk(Masks()), masked=False)


FRAMINGS = [
    Framing("websocket-client", of_client, MAX_HEAD + MAX_CONTROL, proves=False, refuses=True),
    Framing("websocket-server", of_server, MAX_HEAD + MAX_CONTROL, proves=False, refuses=True),
]
