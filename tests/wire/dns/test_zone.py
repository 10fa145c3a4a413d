"""Records as lines of a zone file."""

from __future__ import annotations

import base64
import subprocess
import sys

import pytest
from hypothesis import given, settings

from gproxy.wire.dns import types
from gproxy.wire.dns.message import Record
from gproxy.wire.dns.zone import DEFAULT_TTL, read_record, show_data, show_record
from tests.wire.dns.samples import a, cname, records


@pytest.mark.parametrize(
    ("text", "record"),
    [
        ("example.com. 300 IN A 192.0.2.1", a("example.com", "192.0.2.1", 300)),
        ("example.com IN 300 A 192.0.2.1", a("example.com", "192.0.2.1", 300)),
        ("Example.com A 192.0.2.1", a("example.com", "192.0.2.1", DEFAULT_TTL)),
        ("*.example.com. AAAA 2001:db8::1", a("*.example.com", "2001:db8::1", DEFAULT_TTL)),
        ("a. 1h CNAME b", cname("a", "b", 3600)),
        ('a. TXT "b;c" d', Record("a", types.TXT, DEFAULT_TTL, b"\3b;c\1d")),
        ("a. 1 IN MX 10 Mail.example.", Record("a", types.MX, 1, b"\0\x0a\4Mail\7example\0")),
        (r"a\.b. TYPE65280 \# 2 abcd", Record(r"a\.b", 65280, DEFAULT_TTL, b"\xab\xcd")),
        ("a. 5 HTTPS 1 . alpn=h2", Record("a", types.HTTPS, 5, b"\0\1\0\0\1\0\3\2h2")),
        (". NS a.", Record("", types.NS, DEFAULT_TTL, b"\1a\0")),
        (base64.b64encode(b"\1A\0\0\1\0\1\0\0\0\5\0\4\x7f\0\0\1").decode(), a("a", "127.0.0.1", 5)),
    ],
)
def test_records_are_read(text, record):
    assert read_record(text) == record


@pytest.mark.parametrize(
    "text",
    [
        "", " ", "a", "a. A", "a. A 1.2.3", "a. A 1.2.3.4 5", "A 1.2.3.4", "a. NONSENSE x", "a. 99999999999 A 1.2.3.4",
        "a. A 1.2.3.4\nb. A 1.2.3.4", "a. A 1.2.3.4\na. A 1.2.3.5", "(", 'a. TXT "', "$TTL 5", "$INCLUDE /etc/passwd",
        "$GENERATE 1-9 a A 1.2.3.4", "  $ORIGIN a.", "\n$ORIGIN a.\nb A 1.2.3.4", "a..b. A 1.2.3.4", "AAAA",
        "a. CH TXT b", "; a comment", 'a. "" A 1.2.3.4', '""', "x" * 64 + ". A 1.2.3.4", r"a. TYPE65280 \# 3 abcd",
    ],
)  # fmt: skip
def test_what_is_no_record(text):
    with pytest.raises(ValueError, match="DNS record"):
        read_record(text)


@pytest.mark.parametrize(
    ("record", "text"),
    [
        (a("example.com", "192.0.2.1", 5), "example.com. 5 IN A 192.0.2.1"),
        (cname("", "b", 0), ". 0 IN CNAME b."),
        (Record("a", types.TXT, 1, b"\1b\0"), 'a. 1 IN TXT "b" ""'),
        (Record("a", types.A, 1, b"123"), r"a. 1 IN A \# 3 313233"),
        (Record("a", 65280, 1, b"", 3), r"a. 1 CH TYPE65280 \# 0"),
        (Record("a", 65280, 1, b"x", 77), r"a. 1 CLASS77 TYPE65280 \# 1 78"),
        (Record("a", types.SOA, 1, b"\0"), r"a. 1 IN SOA \# 1 00"),
    ],
)
def test_records_are_shown(record, text):
    assert show_record(record).rstrip() == text
    assert text.endswith(show_data(record).rstrip())


@settings(max_examples=200)
@given(record=records)
def test_what_is_shown_can_be_read(record):
    record = record._replace(ttl=record.ttl & 0x7FFFFFFF)
    assert read_record(show_record(record)) == record


def test_dnspython_is_imported_for_records_only():
    code = (
        "import sys, gproxy.wire.dns.zone, gproxy.wire.dns.svcb, gproxy.wire.dns.subnet, gproxy.wire.dns.prepared\n"
        "assert 'dns' not in sys.modules\n"
        "gproxy.wire.dns.zone.read_record('a. A 192.0.2.1')\n"
        "assert 'dns.name' in sys.modules\n"
        "assert not {'ssl', 'asyncio', 'dns.query', 'dns.resolver'} & set(sys.modules)\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True, timeout=30)
