from __future__ import annotations

import pytest

from gproxy.wire.http2.frame import FRAME, Code, name_of_code


def test_the_head_of_a_frame() -> None:
    """RFC 9113 section 4.1: 24 bits of length, type, flags, and 31 bits of the stream's number."""
    assert FRAME.pack(0x1234, 0x56, 8, 1, 0x1020304) == bytes.fromhex("123456 08 01 01020304")


@pytest.mark.parametrize(
    ("code", "name"),
    [
        (Code.NO_ERROR, "NO_ERROR"),
        (Code.PROTOCOL, "PROTOCOL_ERROR"),
        (Code.FLOW_CONTROL, "FLOW_CONTROL_ERROR"),
        (Code.STREAM_CLOSED, "STREAM_CLOSED"),
        (Code.FRAME_SIZE, "FRAME_SIZE_ERROR"),
        (Code.REFUSED, "REFUSED_STREAM"),
        (Code.CANCEL, "CANCEL"),
        (Code.COMPRESSION, "COMPRESSION_ERROR"),
        (Code.CALM, "ENHANCE_YOUR_CALM"),
        (0x1234, "error 0x1234"),
    ],
)
def test_names_of_codes(code: int, name: str) -> None:
    assert name_of_code(memoryview(code.to_bytes(4, "big"))) == name
