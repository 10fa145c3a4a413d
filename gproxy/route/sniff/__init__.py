"""Sniffing: what a client's first bytes tell of what it does. The sniffers are pure; the engine brings them the bytes.

Which sniffers there are, for streams and for datagrams, in the order in which they are asked.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from gproxy.base.session import Sniffed
from gproxy.route.sniff.bittorrent import sniff_handshake, sniff_tracker, sniff_utp
from gproxy.route.sniff.dns import sniff_dns_packet, sniff_dns_stream
from gproxy.route.sniff.dtls import sniff_dtls
from gproxy.route.sniff.http import sniff_http
from gproxy.route.sniff.ntp import sniff_ntp
from gproxy.route.sniff.quic import sniff_quic
from gproxy.route.sniff.rdp import sniff_rdp
from gproxy.route.sniff.run import PacketSniffing, StreamSniffing
from gproxy.route.sniff.ssh import sniff_ssh
from gproxy.route.sniff.stun import sniff_stun
from gproxy.route.sniff.tls import sniff_tls
from gproxy.wire.cursor import Decode

Sniffer = Decode[Sniffed]

STREAMS: Mapping[str, tuple[Sniffer, ...]] = {
    "tls": (sniff_tls,),
    "http": (sniff_http,),
    "dns": (sniff_dns_stream,),
    "bittorrent": (sniff_handshake,),
    "ssh": (sniff_ssh,),
    "rdp": (sniff_rdp,),
}
PACKETS: Mapping[str, tuple[Sniffer, ...]] = {
    "dns": (sniff_dns_packet,),
    "quic": (sniff_quic,),
    "stun": (sniff_stun,),
    "bittorrent": (sniff_utp, sniff_tracker),
    "dtls": (sniff_dtls,),
    "ntp": (sniff_ntp,),
}
NAMES = tuple(dict.fromkeys((*STREAMS, *PACKETS)))
"""What sniffers are called; each one's name is the protocol that it finds."""


def stream_sniffers(names: Iterable[str]) -> tuple[Sniffer, ...]:
    """Those of these names, in their order; all of them without a name."""
    return _those(STREAMS, names)


def packet_sniffers(names: Iterable[str]) -> tuple[Sniffer, ...]:
    """The same for datagrams."""
    return _those(PACKETS, names)


def _those(catalogue: Mapping[str, tuple[Sniffer, ...]], names: Iterable[str]) -> tuple[Sniffer, ...]:
    wanted = tuple(dict.fromkeys(names)) or tuple(catalogue)
    return tuple(sniffer for name in wanted for sniffer in catalogue.get(name, ()))


__all__ = ["NAMES", "PacketSniffing", "Sniffer", "StreamSniffing", "packet_sniffers", "stream_sniffers"]
