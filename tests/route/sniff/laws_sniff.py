"""The laws of a Decode, for the sniffers. Each of them is a fuzz target too."""

from __future__ import annotations

from gproxy.base.defaults import MAX_DATAGRAM
from gproxy.base.session import Sniffed
from gproxy.route.sniff.bittorrent import sniff_handshake, sniff_tracker, sniff_utp
from gproxy.route.sniff.dns import sniff_dns_packet, sniff_dns_stream
from gproxy.route.sniff.dtls import sniff_dtls
from gproxy.route.sniff.found import MOST
from gproxy.route.sniff.http import sniff_http
from gproxy.route.sniff.ntp import sniff_ntp
from gproxy.route.sniff.quic import sniff_quic
from gproxy.route.sniff.rdp import sniff_rdp
from gproxy.route.sniff.ssh import sniff_ssh
from gproxy.route.sniff.stun import sniff_stun
from gproxy.route.sniff.tls import sniff_tls
from gproxy.wire.clienthello import MAX_CLIENT_HELLO
from tests.laws.registry import Law
from tests.route.sniff import first
from tests.wire.laws_clienthello import host, message, records


def behind_length(query: bytes) -> bytes:
    return len(query).to_bytes(2, "big") + query


def sure(example: bytes, found: Sniffed, size: int = 0) -> tuple[bytes, Sniffed]:
    """As much of the example as tells it."""
    return example[: size or len(example)], found


STREAMS = [
    Law(
        "sniff-tls",
        sniff_tls,
        [
            (first.TLS, Sniffed("tls", "site.test")),
            (records(message(host(b"192.0.2.1"))), Sniffed("tls")),
            (records(message()), Sniffed("tls")),
        ],
        MAX_CLIENT_HELLO,
        wrong=[b"GET / HTTP/1.1\r\n", b"\x80\x2e\x01"],
    ),
    Law(
        "sniff-http",
        sniff_http,
        [
            (first.HTTP, Sniffed("http", "site.test")),
            (b"GET / HTTP/1.1\nhost:\tA_b.example \n\n", Sniffed("http", "a_b.example")),
            (b"GET / HTTP/1.1\r\nHost: 192.0.2.1:80\r\n\r\n", Sniffed("http")),
            (b"GET / HTTP/1.1\r\nHost: [::1]:80\r\n\r\n", Sniffed("http")),
            (b"GET / HTTP/1.1\r\nHost: a b\r\n\r\n", Sniffed("http")),
            (b"GET / HTTP/1.0\r\n\r\n", Sniffed("http")),
            (b"PRI * HTTP/2.0\r\n\r\n", Sniffed("http")),
            (b"GET http://u:p@Site.test:8/?q HTTP/1.1\r\nHost: other.test\r\n\r\n", Sniffed("http", "site.test")),
            (b"CONNECT site.test:443 HTTP/1.1\r\nHost: other.test\r\n\r\n", Sniffed("http", "site.test")),
            (b"GET / HTTP/1.1\r\nHost: b\xc3\xbccher.test\r\n\r\n", Sniffed("http")),
            (b"X-OWN /a HTTP/1.1\r\nA: b\r\n c: d\r\nHost: site.test\r\n\r\n", Sniffed("http", "site.test")),
        ],
        MOST,
        wrong=[
            b"\x16\x03\x01",
            b"SSH-2.0-x y\r\n",
            b"GET / HTTP/1.1 x\r\n",
            b"GET  / HTTP/1.1\r\n",
            b"GET path HTTP/1.1\r\n",
            b"GET / HTTP/11\r\n",
            b"GET / FTP/1.1\n",
            b"\r\nGET / HTTP/1.1\r\n",
            b"GET /\0",
            b"GET / HTTP/1.1\r\nA: b\x01\r\n\r\n",
            b"GET / HTTP/1.1\r\nA: b\r\n c\rd\r\n\r\n",
            b"GET / HTTP/1.1\r\n c: d\x7f\r\n\r\n",
            b"CONNECT site.test:44x HTTP/1.1\r\n",
            b"GET http://[site.test/ HTTP/1.1\r\n",
            b"GET / HTTP/1.1\r\nno field\r\n\r\n",
            b"GET / HTTP/1.1\r\nHost: a.test\r\nHOST: b.test\r\n\r\n",
            b"A" * MOST,
            b"GET / HTTP/1.1\r\nA: " + b"b" * MOST,
        ],
    ),
    Law(
        "sniff-dns-stream",
        sniff_dns_stream,
        [(behind_length(first.DNS), Sniffed("dns")), (behind_length(first.DNS_EDNS), Sniffed("dns"))],
        2 + MOST,
        wrong=[
            b"\0\x0c",  # a head alone
            b"\xff\xff",
            b"\0\x40\0\0\x81",  # an answer
            b"\0\x40\0\0\1\0\0\0",  # no question
            b"\0\x40\0\0\1\0\0\1\0\1",  # what answers none
            b"\0\x40\0\0\1\0\0\1\0\0\1",
        ],
    ),
    Law(
        "sniff-bittorrent",
        sniff_handshake,
        [sure(first.BITTORRENT, Sniffed("bittorrent"), 20)],
        20,
        wrong=[b"\x13bit", b"\x14", b"\x13BitTorrent Protocol"],
    ),
    Law(
        "sniff-ssh",
        sniff_ssh,
        [
            (first.SSH, Sniffed("ssh", client="OpenSSH_9.2p1 Debian-2")),
            (b"SSH-2.0-Go\n", Sniffed("ssh", client="Go")),
            (b"SSH-2.0-\xff\x1b[m\r\n", Sniffed("ssh")),
            (b"SSH-2.0-" + b"a" * 245 + b"\r\n", Sniffed("ssh", client="a" * 245)),
        ],
        255,
        wrong=[b"SSH-1.5-x", b"ssh", b"SSH-2.0-" + b"a" * 247],
    ),
    Law(
        "sniff-rdp",
        sniff_rdp,
        [sure(first.RDP, Sniffed("rdp"), 14)],
        14,
        wrong=[b"\x03\0\0\x14", b"\x03\0\0\x13\x0e\xe0abcde\2", b"\x03\0\0\x13\x0e\xe0abcde\1\0\7"],
    ),
]
PACKETS = [
    Law(
        "sniff-dns-packet",
        sniff_dns_packet,
        [(first.DNS, Sniffed("dns")), (first.DNS_EDNS, Sniffed("dns")), (first.DNS + b"more", Sniffed("dns"))],
        MAX_DATAGRAM,
        wrong=[b"\0\0\x81\0\0\1\0\0\0\0\0\0\0\0\1\0\1", b"\0\0\1\0\0\0\0\0\0\0\0\0\0", first.NTP],
        closed_by_end=True,
    ),
    Law(
        "sniff-quic",
        sniff_quic,
        [
            (first.QUIC, Sniffed("quic", "quic.test", "unknown")),
            (first.QUIC_BARE, Sniffed("quic", "quic.test", "firefox")),
            (first.QUIC_LAST, Sniffed("quic", "quic.test", "quic-go")),
            (first.QUIC_PIECES, Sniffed("quic", "quic.test", "chromium")),
            (first.QUIC_APPLE, Sniffed("quic", "apple.test", "safari")),
        ],
        MAX_DATAGRAM + 1,
        wrong=[first.DNS, b"\xc0\0\0\0\x01\0"],
        closed_by_end=True,
    ),
    Law("sniff-stun", sniff_stun, [(first.STUN, Sniffed("stun"))], MAX_DATAGRAM, wrong=[first.DNS], closed_by_end=True),
    Law(
        "sniff-utp",
        sniff_utp,
        [(first.UTP, Sniffed("bittorrent")), (first.UTP_EXTENDED, Sniffed("bittorrent"))],
        MAX_DATAGRAM,
        wrong=[b"\x42" + bytes(30), b"\x51" + bytes(30), b"\x01\1connectionnumbers!\5"],
        closed_by_end=True,
    ),
    Law(
        "sniff-tracker",
        sniff_tracker,
        [(first.TRACKER, Sniffed("bittorrent"))],
        MAX_DATAGRAM,
        wrong=[b"\0\0\4\x17\x27\x10\x19\x80\0\0\0\1abcd"],
        closed_by_end=True,
    ),
    Law("sniff-dtls", sniff_dtls, [(first.DTLS, Sniffed("dtls"))], MAX_DATAGRAM, wrong=[b"\x16\xfe\xfe" + bytes(20)],
        closed_by_end=True),
    Law("sniff-ntp", sniff_ntp, [(first.NTP, Sniffed("ntp")), (b"\x1b" + bytes(47), Sniffed("ntp"))], MAX_DATAGRAM,
        wrong=[b"\x24" + bytes(47), b"\x13" + bytes(47), b"\x23\0\0\0\0\x10\0\1" + bytes(40)], closed_by_end=True),
]  # fmt: skip
DECODES = [*STREAMS, *PACKETS]
