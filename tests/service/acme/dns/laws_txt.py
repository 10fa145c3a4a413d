"""The law of a Decode, for answers of name servers."""

from __future__ import annotations

from gproxy.service.acme.dns.txt import MOST, decode_answer
from tests.laws.registry import Law
from tests.service.acme.dns.test_txt import ANSWER, answer, record

DECODES = [
    Law(
        "dns-texts",
        decode_answer,
        [(ANSWER, (7, [b"abcde", b""])), (answer(), (7, [])), (answer(record(1, b"\x7f\0\0\1")), (7, []))],
        MOST,
        wrong=[answer(flags=0x0100), answer(record(16, b"\x05abc"))],
    )
]
