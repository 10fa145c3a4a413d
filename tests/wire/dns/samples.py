"""Messages and values that several tests of DNS use."""

from __future__ import annotations

from ipaddress import IPv4Address, IPv6Address

from hypothesis import strategies as st

from gproxy.wire.dns import types
from gproxy.wire.dns.message import Edns, Message, Question, Record
from gproxy.wire.dns.name import encode_name

octets = st.binary(min_size=1, max_size=12)
plain_labels = st.text("abcxyz019-_*", min_size=1, max_size=10)


def _text(label: bytes) -> str:
    return "".join(
        f"\\{chr(octet)}" if octet in b".\\" else chr(octet) if 0x21 <= octet < 0x7F else f"\\{octet:03}"
        for octet in label.lower()
    )


labels = st.one_of(plain_labels, plain_labels, octets.map(_text))
names = st.lists(labels, max_size=6).map(".".join)
numbers16 = st.integers(0, 0xFFFF)
ttls = st.integers(0, 0xFFFFFFFF)


def a(name: str, address: str, ttl: int = 300) -> Record:
    """An address record of either family."""
    ip = IPv6Address(address) if ":" in address else IPv4Address(address)
    return Record(name, types.A if ip.version == 4 else types.AAAA, ttl, ip.packed)


def cname(name: str, target: str, ttl: int = 300) -> Record:
    return Record(name, types.CNAME, ttl, encode_name(target))


def soa(name: str, ttl: int = 900, minimum: int = 300) -> Record:
    times = b"".join(number.to_bytes(4, "big") for number in (1, 7200, 3600, 86400, minimum))
    return Record(name, types.SOA, ttl, encode_name(f"ns.{name}") + encode_name(f"admin.{name}") + times)


def answer(name: str, kind: int, *records: Record, **more: object) -> Message:
    """An answer to a question, from a server that recurses."""
    question = Question(name, kind)
    return Message(7, True, question=question, answer=records, recursion_available=True, **more)  # type: ignore[arg-type]


USUAL = answer(
    "www.example.com",
    types.A,
    cname("www.example.com", "cdn.example.net"),
    a("cdn.example.net", "192.0.2.1", 60),
    a("cdn.example.net", "192.0.2.2", 60),
    a("cdn.example.net", "192.0.2.3", 60),
    edns=Edns(),
)
"""What is asked for most: an alias and some addresses."""


@st.composite
def _records(draw: st.DrawFn) -> Record:
    name, ttl = draw(names), draw(ttls)
    kind = draw(
        st.sampled_from(
            (types.A, types.AAAA, types.CNAME, types.NS, types.MX, types.SRV, types.SOA, types.TXT, types.PTR, 65280)
        )
    )
    if kind in (types.A, types.AAAA):
        data = draw(st.binary(min_size=4 if kind == types.A else 16, max_size=4 if kind == types.A else 16))
    elif kind in (types.CNAME, types.NS, types.PTR):
        data = encode_name(draw(names))
    elif kind in (types.MX, types.SRV):
        size = 2 if kind == types.MX else 6
        data = draw(st.binary(min_size=size, max_size=size)) + encode_name(draw(names))
    elif kind == types.SOA:
        data = encode_name(draw(names)) + encode_name(draw(names)) + draw(st.binary(min_size=20, max_size=20))
    elif kind == types.TXT:
        data = b"".join(
            bytes((len(text),)) + text for text in draw(st.lists(st.binary(max_size=20), min_size=1, max_size=3))
        )
    else:
        data = draw(st.binary(max_size=30))
    return Record(name, kind, ttl, data)


records = _records()
sections = st.lists(records, max_size=4).map(tuple)
options = st.lists(st.tuples(numbers16, st.binary(max_size=12)), max_size=3).map(tuple)
edns = st.builds(Edns, numbers16, st.booleans(), st.integers(0, 255), options)
questions = st.builds(Question, names, numbers16, numbers16)


@st.composite
def _messages(draw: st.DrawFn) -> Message:
    opt = draw(st.none() | edns)
    flags = [draw(st.booleans()) for _ in range(7)]
    return Message(
        draw(numbers16),
        flags[0],
        draw(st.integers(0, 15)),
        *flags[1:],
        draw(st.integers(0, 0xFFF if opt is not None else 0xF)),
        draw(st.none() | questions),
        draw(sections),
        draw(sections),
        draw(sections),
        opt,
    )


messages = _messages()
