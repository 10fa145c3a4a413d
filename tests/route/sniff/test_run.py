from __future__ import annotations

import pytest

from gproxy.base.session import Sniffed
from gproxy.route.sniff import NAMES, PacketSniffing, StreamSniffing, packet_sniffers, stream_sniffers
from gproxy.route.sniff.found import MOST
from gproxy.route.sniff.quic import BARE
from tests.route.sniff import first


@pytest.mark.parametrize(
    ("said", "found"),
    [
        (first.TLS, Sniffed("tls", "site.test")),
        (first.HTTP, Sniffed("http", "site.test")),
        (first.SSH, Sniffed("ssh", client="OpenSSH_9.2p1 Debian-2")),
        (first.RDP, Sniffed("rdp")),
        (first.BITTORRENT, Sniffed("bittorrent")),
        (len(first.DNS).to_bytes(2, "big") + first.DNS, Sniffed("dns")),
    ],
)
def test_streams_in_one_piece_and_in_many(said: bytes, found: Sniffed) -> None:
    assert StreamSniffing(stream_sniffers(())).feed(said) == found
    sniffing = StreamSniffing(stream_sniffers(()))
    ends = [*range(1, min(len(said), 50)), len(said)]
    answers = [sniffing.feed(said[:end]) for end in ends]
    assert next(answer for answer in answers if answer is not None) == found


def test_what_is_nothing_is_not_waited_for() -> None:
    sniffing = StreamSniffing(stream_sniffers(()))
    assert sniffing.feed(b"\xff\xff\xff") is None
    assert not sniffing.more


def test_the_work_for_one_stream_is_bounded() -> None:
    sniffing = StreamSniffing(stream_sniffers(["http"]))
    for end in range(1, 65):
        assert sniffing.more
        assert sniffing.feed(b"A" * end) is None
    assert not sniffing.more
    sniffing = StreamSniffing(stream_sniffers(["tls"]))
    assert sniffing.feed(b"\x16\3\1\x40\0\1\0\x3f\xfc" + bytes(MOST - 9)) is None
    assert not sniffing.more


@pytest.mark.parametrize(
    ("datagram", "found"),
    [
        (first.DNS, Sniffed("dns")),
        (first.QUIC, Sniffed("quic", "quic.test", "unknown")),
        (first.STUN, Sniffed("stun")),
        (first.UTP, Sniffed("bittorrent")),
        (first.TRACKER, Sniffed("bittorrent")),
        (first.DTLS, Sniffed("dtls")),
        (first.NTP, Sniffed("ntp")),
        (first.WIREGUARD, None),
        (b"hello", None),
        (b"", None),
    ],
)
def test_one_datagram(datagram: bytes, found: Sniffed | None) -> None:
    sniffing = PacketSniffing(packet_sniffers(()))
    assert sniffing.feed(datagram) == found
    assert not sniffing.more


def test_quic_in_two_datagrams() -> None:
    for one, other in ((first.QUIC_FIRST, first.QUIC_SECOND), (first.QUIC_SECOND, first.QUIC_FIRST)):
        sniffing = PacketSniffing(packet_sniffers(()))
        assert sniffing.feed(one) == BARE
        assert sniffing.more
        found = sniffing.feed(other)
        assert found is not None
        assert (found.domain, sniffing.more) == ("quic.test", False)


def test_a_stranger_ends_the_waiting_for_quic() -> None:
    sniffing = PacketSniffing(packet_sniffers(()))
    sniffing.feed(first.QUIC_FIRST)
    assert sniffing.feed(first.DNS) == BARE
    assert not sniffing.more


def test_sniffers_by_name() -> None:
    assert len(stream_sniffers(())) == 6
    assert stream_sniffers(["ssh", "tls", "ssh"]) == (*stream_sniffers(["ssh"]), *stream_sniffers(["tls"]))
    assert stream_sniffers(["quic"]) == ()
    assert packet_sniffers(["http"]) == ()
    assert len(packet_sniffers(["bittorrent"])) == 2
    assert set(NAMES) == {"tls", "http", "dns", "bittorrent", "ssh", "rdp", "quic", "stun", "dtls", "ntp"}
