"""Records as people write them: lines of a zone file (RFC 1035 section 5), such as `example.com. 300 IN A 192.0.2.1`.

dnspython knows how the data of every type is written. It is imported when the first record is read or shown.
"""

from __future__ import annotations

import base64
import binascii
from typing import Final

from gproxy.base.errors import ProtocolError
from gproxy.wire.dns import types
from gproxy.wire.dns.message import HEAD, Record, parse_record
from gproxy.wire.dns.name import encode_name, read_name

DEFAULT_TTL: Final = 3600
"""Seconds, for lines that say none."""


def read_record(text: str) -> Record:
    """The record of one line, or of a whole record's wire form in base64. Raises ValueError.

    Names are whole: a final dot changes nothing.
    """
    try:
        raw = base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError):
        return _from_line(text)
    try:
        return parse_record(raw)
    except ProtocolError as error:
        raise ValueError(f"not a DNS record: {text!r}: {error}") from error


def show_record(record: Record) -> str:
    """The record as one line, its name with a final dot. Data that its type doesn't allow is shown as octets."""
    import dns.name

    owner = dns.name.from_wire(encode_name(record.name), 0)[0].to_text()
    return f"{owner} {record.ttl} {_class_name(record.cls)} {types.type_name(record.type)} {show_data(record)}"


def show_data(record: Record) -> str:
    """The record's data as it stands in a line."""
    import dns.exception
    import dns.rdata
    import dns.rdataclass
    import dns.rdatatype

    cls, kind = dns.rdataclass.RdataClass.make(record.cls), dns.rdatatype.RdataType.make(record.type)
    try:
        return dns.rdata.from_wire(cls, kind, record.data, 0, len(record.data)).to_text()
    except (dns.exception.DNSException, ValueError):
        return dns.rdata.GenericRdata(cls, kind, record.data).to_text()


def _from_line(text: str) -> Record:
    import dns.exception
    import dns.name
    import dns.rdata
    import dns.rdataclass
    import dns.rdatatype
    import dns.tokenizer
    import dns.ttl

    tokens = dns.tokenizer.Tokenizer(text)
    try:
        owner = tokens.get_name(dns.name.root).to_wire()
        ttl = DEFAULT_TTL
        word = tokens.get_string()
        for _ in range(2):  # the TTL and the class may be left out, and come in either order
            if word[:1].isdigit():
                ttl = dns.ttl.from_text(word)
            elif word.upper() != "IN":
                break
            word = tokens.get_string()
        kind = dns.rdatatype.from_text(word)
        data = dns.rdata.from_text(dns.rdataclass.IN, kind, tokens, dns.name.root, relativize=False).to_wire()
        if not tokens.get().is_eof():
            raise ValueError("more than one line")
    except (dns.exception.DNSException, ValueError) as error:
        raise ValueError(f"not a DNS record: {text!r}: {error}") from error
    assert owner is not None
    assert data is not None
    return Record(read_name(bytes(HEAD) + owner, HEAD)[0], int(kind), ttl, data)


def _class_name(number: int) -> str:
    return {1: "IN", 3: "CH", 4: "HS"}.get(number) or f"CLASS{number}"
