"""What clients of many protocols say first. The same bytes are asked of sing-box by tests/interop/test_sniff.py."""

from __future__ import annotations

from tests.wire.laws_clienthello import extension, host, message, records, sized
from tests.wire.laws_quicinitial import crypto, sealed

TLS = records(message(host(b"Site.test")))
HTTP = b"GET /x HTTP/1.1\r\nUser-Agent: test\r\nHost: Site.test:8080\r\n\r\n"
SSH = b"SSH-2.0-OpenSSH_9.2p1 Debian-2\r\n"
RDP = bytes.fromhex("030000130ee00000000000010008000b000000")
BITTORRENT = b"\x13BitTorrent protocol" + bytes(8) + b"h" * 20 + b"-XX0001-" + b"p" * 12
QUESTION = b"\4site\4test\0\0\1\0\1"
DNS = b"\x12\x34\1\0\0\1\0\0\0\0\0\0" + QUESTION
DNS_EDNS = b"\x12\x34\1\0\0\1\0\0\0\0\0\1" + QUESTION + b"\0\0\x29\4\xd0\0\0\0\0\0\0"
STUN = b"\0\1\0\0\x21\x12\xa4\x42" + b"transaction1"
DTLS = b"\x16\xfe\xff\0\0\0\0\0\0\0\0\0\1x"
NTP = b"\x23\0\6\xec\0\0\1\0\0\0\2\0" + bytes(36)
UTP = b"\x41\0connectionnumbers!"
UTP_EXTENDED = b"\x01\1connectionnumbers!\1\2ab\0\0"
TRACKER = b"\0\0\4\x17\x27\x10\x19\x80\0\0\0\0abcd"
WIREGUARD = b"\x01\0\0\0" + bytes(range(100, 244))

HELLO = message(
    host(b"quic.test"),
    extension(10, sized(b"\0\x1d\0\x17")),
    extension(13, sized(b"\4\3")),
    extension(43, sized(b"\3\4", 1)),
)
QUIC = sealed(crypto(0, HELLO) + bytes(1162 - len(HELLO)))
QUIC_BARE = sealed(crypto(0, HELLO))
QUIC_LAST = sealed(bytes(900) + crypto(0, HELLO))
QUIC_PIECES = sealed(crypto(20, HELLO[20:]) + b"\0\1" + crypto(0, HELLO[:20]) + bytes(900))
QUIC_FIRST = sealed(crypto(0, HELLO[:100]) + bytes(1000), number=0)
QUIC_SECOND = sealed(crypto(100, HELLO[100:]) + b"\1" + bytes(900), number=1)
APPLE = message(
    host(b"apple.test"),
    extension(10, sized(b"\x5a\x5a\0\x1d\0\x17\0\x18\0\x19")),
    extension(43, sized(b"\x7a\x7a\3\4", 1)),
)
QUIC_APPLE = sealed(crypto(0, APPLE) + bytes(900))
