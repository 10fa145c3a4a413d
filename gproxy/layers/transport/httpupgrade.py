"""The V2Ray transport `httpupgrade`: a request to upgrade to a WebSocket, and then bytes as they are.

sing-box takes no real WebSocket request, Xray's client sends nothing else: this server takes both.
"""

from __future__ import annotations

from gproxy.base.iface import Stream
from gproxy.layers.transport.upgrade import NotHere, UpgradeClient, UpgradeServer, ask
from gproxy.net.buffered import Buffered
from gproxy.wire.http1.head import RequestHead
from gproxy.wire.websocket import check_switch, encode_switch, encode_upgrade, is_upgrade, key_of


class HttpUpgradeServer(UpgradeServer):
    """Agrees to every upgrade to a WebSocket."""

    def _open(self, client: Buffered, head: RequestHead) -> Stream:
        if self._beyond_path(head):
            raise NotHere("an HTTP request for another path", reason="path")
        if not is_upgrade(head):
            raise NotHere("an HTTP request that asks for no upgrade", reason="upgrade")
        key = key_of(head) if head.fields.values(b"sec-websocket-key") else b""
        client.sendall(encode_switch(self._fields, key))
        return client


class HttpUpgradeClient(UpgradeClient):
    """Asks for an upgrade without a key, which every server takes."""

    def _open(self, stream: Stream) -> Stream:
        head, ahead = ask(stream, encode_upgrade(self._host, self._target, self._fields))
        check_switch(head)
        return Buffered(stream, ahead)
