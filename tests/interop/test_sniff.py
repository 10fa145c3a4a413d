"""The same first bytes, shown to sing-box and to our sniffers: both must find the same protocol, domain and client.

sing-box tells what it has found in its log. Each rule of sniffers has an inbound of its own there; a session is known
by its client's port.
"""

from __future__ import annotations

import json
import random
import re
import socket
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack

import pytest

from gproxy.base.session import Sniffed
from gproxy.route.sniff import PacketSniffing, StreamSniffing, packet_sniffers, stream_sniffers
from gproxy.route.sniff.found import domain_in
from gproxy.wire.quicinitial import DRAFT_29, VERSION_2
from tests.interop.lab import program
from tests.route.sniff import first
from tests.route.sniff.first import APPLE, HELLO
from tests.support.ports import LOOPBACK, free_ports
from tests.support.procs import Process, Processes
from tests.support.wait import wait_until
from tests.wire.laws_clienthello import extension, host, message, records, sized
from tests.wire.laws_quicinitial import crypto, sealed

_COLOUR = re.compile(r"\x1b\[[0-9;]*m")
_BEGIN = re.compile(r"\[(\d+) [^\]]*\] inbound/direct\[(\w+)\]: inbound (packet )?connection from 127\.0\.0\.1:(\d+)")
_FOUND = re.compile(
    r"\[(\d+) [^\]]*\] router: sniffed (?:packet )?protocol: (\w*)(?:, domain: ([^,\s]+))?(?:, client: (.+))?"
)
_OVER = re.compile(r"\[(\d+) [^\]]*\] router: match\[\d+\] ((?:protocol|client)=[^>]* )?=> reject")

CLIENT = "OpenSSH_9.2p1 Debian-2"
ENGLISH = b"hello there, this is nothing in particular\r\n"
NAMED = message(host(b"Site.test"), extension(43, sized(b"\3\4", 1)))

STREAMS: list[Sequence[bytes]] = [
    (records(NAMED),),
    (records(NAMED, 40),),
    (records(NAMED)[:30], records(NAMED)[30:]),
    (records(message(extension(43, sized(b"\3\4", 1)))),),
    (records(message(host(b"192.0.2.1"))),),
    (first.HTTP,),
    (b"POST /x?y HTTP/1.0\nhost: A_b.example\n\nbody",),
    (b"GET / HTTP/1.1\r\nHost: 192.0.2.1:80\r\n\r\n",),
    (b"GET / HTTP/1.1\r\nHost: [2001:db8::1]:80\r\n\r\n",),
    (b"GET / HTTP/1.1\r\nHost: a.test\r\nHost: b.test\r\n\r\n",),
    (b"GET http://abs.test/ HTTP/1.1\r\nHost: other.test\r\n\r\n",),
    (b"CONNECT tunnel.test:443 HTTP/1.1\r\nHost: other.test\r\n\r\n",),
    (b"GET path HTTP/1.1\r\nHost: a.test\r\n\r\n",),
    (b"GET / HTTP/1.1\r\nX: y\r\n z\r\nHost: a.test\r\n\r\n",),
    (b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",),
    (b"\r\nGET / HTTP/1.1\r\nHost: a.test\r\n\r\n",),
    (first.SSH,),
    (b"SSH-2.0-Go\n",),
    (b"SSH-1.99-old\r\n",),
    (first.RDP,),
    (first.RDP[:7], first.RDP[7:]),
    (b"\x03\0\0\x14" + first.RDP[4:] + b"x",),
    (first.BITTORRENT,),
    (first.BITTORRENT[:5], first.BITTORRENT[5:]),
    (len(first.DNS).to_bytes(2, "big") + first.DNS,),
    (len(first.DNS_EDNS).to_bytes(2, "big") + first.DNS_EDNS,),
    (b"\0\x1d" + first.DNS[:2] + b"\x81\x80" + first.DNS[4:],),
    (ENGLISH,),
    (b"\xff" * 40,),
    (b"220 ready\r\n",),
]
PACKETS: list[Sequence[bytes]] = [
    (first.DNS,),
    (first.DNS_EDNS,),
    (first.DNS + b"more",),
    (first.DNS[:-1],),
    (first.QUIC,),
    (first.QUIC_BARE,),
    (first.QUIC_LAST,),
    (first.QUIC_PIECES,),
    (first.QUIC_APPLE,),
    (first.QUIC_FIRST, first.QUIC_SECOND),
    (first.QUIC_SECOND, first.QUIC_FIRST),
    (first.QUIC_FIRST, ENGLISH),
    (sealed(crypto(0, HELLO) + bytes(900), VERSION_2),),
    (sealed(crypto(0, HELLO) + bytes(900), DRAFT_29),),
    (sealed(b"\2\5\0\1\2\3\4" + crypto(0, APPLE)),),
    (sealed(b"\1" + crypto(0, message(host(b"go.test"), extension(10, sized(b"\x11\xec")))) + bytes(900)),),
    (first.QUIC + b"\x40rest",),
    (first.QUIC[:-1] + b"x",),
    (first.STUN,),
    (first.STUN[:3] + b"\4" + first.STUN[4:] + b"abcd",),
    (first.STUN[:3] + b"\4" + first.STUN[4:],),
    (first.UTP,),
    (first.UTP_EXTENDED,),
    (first.UTP_EXTENDED[:20] + b"\5\0",),
    (first.TRACKER,),
    (first.DTLS[:4] + b"\1" + first.DTLS[5:],),
    (b"\x19\xfe\xfd\0\1" + first.DTLS[5:],),
    (b"\x18\xfe\xfd\0\1" + first.DTLS[5:],),
    (b"\x16\xfe\xfc\0\1" + first.DTLS[5:],),
    (first.NTP,),
    (b"\x1b" + first.NTP[1:],),
    (b"\x13" + first.NTP[1:],),
    (first.NTP[:4] + b"\0\x10\0\1" + first.NTP[8:],),
    (ENGLISH,),
]
NAMES = ("all", "tls", "http", "dns", "bittorrent", "ssh", "rdp", "quic", "stun", "dtls", "ntp")
Asked = tuple[str, str, Sequence[bytes]]  # sniffers, network, what is said


class Oracle:
    """A sing-box that sniffs, and refuses what it has looked at."""

    def __init__(self, processes: Processes) -> None:
        ports = free_ports(len(NAMES))
        self._ports = dict(zip(NAMES, ports, strict=True))
        config = {
            "log": {"level": "debug"},
            "inbounds": [
                {"type": "direct", "tag": name, "listen": LOOPBACK, "listen_port": port,
                 "override_address": LOOPBACK, "override_port": 9}
                for name, port in self._ports.items()
            ],
            "outbounds": [{"type": "direct", "tag": "out"}],
            "route": {"rules": [
                *({"inbound": name, "action": "sniff", "sniffer": name} for name in NAMES[1:]),
                {"inbound": "all", "action": "sniff"},
                {"protocol": "quic", "action": "reject", "method": "drop"},
                {"client": CLIENT, "action": "reject", "method": "drop"},
                {"action": "reject", "method": "drop"},
            ]},
        }  # fmt: skip
        self._process = start(processes, config, ports)
        self._stack = ExitStack()
        self._sockets: dict[Asked, int] = {}

    def ask(self, asked: Asked) -> None:
        """Say it; what is found is in the log a little later."""
        name, network, said = asked
        kind = socket.SOCK_STREAM if network == "tcp" else socket.SOCK_DGRAM
        sock = self._stack.enter_context(socket.socket(socket.AF_INET, kind))
        sock.connect((LOOPBACK, self._ports[name]))
        self._sockets[asked] = sock.getsockname()[1]
        for index, piece in enumerate(said):
            if index and network == "tcp":
                time.sleep(0.02)  # so that it is a piece of its own
            try:
                sock.send(piece)
            except (ConnectionResetError, BrokenPipeError):
                return  # it knows enough

    def answers(self) -> dict[Asked, Sniffed | None]:
        """What was found in all that was asked."""
        wait_until(lambda: len(self._ended()) >= len(self._sockets), lambda: self._process.log[-2000:])
        log = _COLOUR.sub("", self._process.log)
        begun = {
            (tag, "udp" if packet else "tcp", int(port)): number for number, tag, packet, port in _BEGIN.findall(log)
        }
        found = {
            number: Sniffed(protocol, domain_in(domain) if domain.isascii() else "", client)
            for number, protocol, domain, client in _FOUND.findall(log)
            if protocol
        }
        for number, why in _OVER.findall(log):
            if why.startswith("protocol"):  # quic, whose hello never came
                found.setdefault(number, Sniffed("quic"))
            elif why:
                found[number] = Sniffed("ssh", client=CLIENT)
        return {asked: found.get(begun[asked[0], asked[1], port]) for asked, port in self._sockets.items()}

    def close(self) -> None:
        """Its clients leave."""
        self._stack.close()

    def _ended(self) -> set[str]:
        return {number for number, _ in _OVER.findall(_COLOUR.sub("", self._process.log))}


def start(processes: Processes, config: dict[str, object], ports: list[int]) -> Process:
    path = processes.folder / "sing-box.json"
    path.write_text(json.dumps(config), "utf-8")
    return processes.start(program("sing-box"), "run", "-c", str(path), tcp=ports)


@pytest.fixture
def oracle(processes: Processes) -> Iterator[Oracle]:
    oracle = Oracle(processes)
    yield oracle
    oracle.close()


def ours(asked: Asked) -> Sniffed | None:
    """What our sniffers find."""
    name, network, said = asked
    names = () if name == "all" else (name,)
    if network == "udp":
        return _in_packets(names, said)
    sniffing, heard = StreamSniffing(stream_sniffers(names)), b""
    for piece in said:
        heard += piece
        found = sniffing.feed(heard)
        if found is not None or not sniffing.more:
            return found
    return None


def _in_packets(names: tuple[str, ...], said: Sequence[bytes]) -> Sniffed | None:
    sniffing = PacketSniffing(packet_sniffers(names))
    found = None
    for datagram in said:
        found = sniffing.feed(datagram)
        if not sniffing.more:
            break
    return found


def damaged(seed: int, count: int) -> Iterator[Asked]:
    """Examples with a changed octet."""
    chance = random.Random(seed)
    for _ in range(count):
        network, examples = chance.choice((("tcp", STREAMS), ("udp", PACKETS)))
        example = bytearray(chance.choice(examples)[0])
        example[chance.randrange(min(len(example), 80))] = chance.randrange(256)
        yield "all", network, (bytes(example),)


def _as_logged(found: Sniffed | None) -> Sniffed | None:
    """Of an SSH client sing-box's log tells only the one that a rule looks for."""
    if found is not None and found.protocol == "ssh" and found.client != CLIENT:
        return Sniffed("ssh")
    return found


def compare(oracle: Oracle, questions: list[Asked]) -> None:
    for asked in dict.fromkeys(questions):
        oracle.ask(asked)
    theirs = oracle.answers()
    for said in questions:
        theirs[said] = _as_logged(theirs[said])
    pairs = [(asked, theirs[asked], _as_logged(ours(asked))) for asked in questions]
    different = [pair for pair in pairs if pair[1] != pair[2]]
    assert not different, "\n".join(map(str, different))


def test_what_clients_say_first(oracle: Oracle) -> None:
    compare(
        oracle, [("all", "tcp", tuple(said)) for said in STREAMS] + [("all", "udp", tuple(said)) for said in PACKETS]
    )


def test_each_sniffer_by_itself(oracle: Oracle) -> None:
    """Whatever is said, to a sniffer that may be for something else."""
    questions: list[Asked] = []
    for name in NAMES[1:]:
        if stream_sniffers((name,)):
            questions += [(name, "tcp", tuple(said)) for said in STREAMS]
        if packet_sniffers((name,)):
            questions += [(name, "udp", tuple(said)) for said in PACKETS]
    compare(oracle, questions)


def test_damaged_ones(oracle: Oracle) -> None:
    compare(oracle, list(damaged(7, 300)))


# -- what differs on purpose ------------------------------------------------------------------------------------------

CLOCK = b"\x23\0\6\xec" + bytes(44)  # what most NTP clients send


@pytest.mark.parametrize(
    ("asked", "theirs", "found"),
    [
        (("all", "udp", (CLOCK,)), None, Sniffed("ntp")),
        (("all", "udp", (first.DTLS,)), None, Sniffed("dtls")),
        (("all", "udp", (first.WIREGUARD,)), Sniffed("bittorrent"), None),
        (("all", "tcp", (b"SSH-2.0-half",)), Sniffed("ssh"), None),
        (("all", "udp", (first.QUIC_FIRST, first.QUIC_FIRST, first.QUIC_SECOND)), Sniffed("quic"),
         Sniffed("quic", "quic.test", "chromium")),
    ],
    ids=["clock at zero", "first record of DTLS", "wireguard", "half a line", "repeated piece"],
)  # fmt: skip
def test_what_differs(oracle: Oracle, asked: Asked, theirs: Sniffed | None, found: Sniffed | None) -> None:
    oracle.ask(asked)
    answer = oracle.answers()[asked]
    assert (answer, ours(asked)) == (theirs, found)
