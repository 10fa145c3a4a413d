"""The laws of sealers and openers, for the retired ciphers: each alone, and one with a head."""

from __future__ import annotations

from functools import partial

from gproxy.base.iface import Opener, Sealer
from gproxy.protocol.shadowsocks.wire.keys import key_of_password
from gproxy.protocol.shadowsocks.wire.legacy import StreamOpener, StreamSealer
from gproxy.protocol.shadowsocks.wire.methods import METHODS, Method
from tests.laws.registry import Framing

HEAD = b"\x01\x7f\0\0\1\0P"


def pair(method: Method, head: bytes) -> tuple[Sealer, Opener]:
    key = key_of_password(method, "pw1")
    return StreamSealer(method, key, head), StreamOpener(method, key)


FRAMINGS = [
    Framing(
        f"shadowsocks-{method.name}{'-request' if head else ''}",
        partial(pair, method, head),
        method.salt_size,
        before=head,
        proves=False,
    )
    for method in METHODS.values()
    if method.kind == "stream"
    for head in (b"", HEAD)
]
