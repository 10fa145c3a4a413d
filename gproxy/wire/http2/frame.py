"""The frames of HTTP/2 (RFC 9113 section 4 and 6), by their numbers.

 0                   1                   2                   3
+-----------------------------------------------+---------------+
| length of the payload                         | type          |
+---------------+-+-----------------------------+---------------+
| flags         |0| number of the stream; 0: the link           |
+---------------+-+---------------------------------------------+
| payload                                                       |
+---------------------------------------------------------------+
"""

from __future__ import annotations

import struct
from typing import Final

PREFACE: Final = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
"""What a client's first octets are."""

FRAME: Final = struct.Struct(">HBBBL")
"""The head of a frame. The length is 24 bits: 16 and 8."""

SETTING: Final = struct.Struct(">HL")
"""One setting."""

LAST_WORDS: Final = struct.Struct(">LL")
"""GOAWAY: the last stream that was served, and a code."""


class Kind:
    """What a frame is."""

    DATA, HEADERS, PRIORITY, RESET, SETTINGS, PUSH, PING, GOAWAY, WINDOW, CONTINUATION = range(10)


class Flag:
    """What is said of a frame in one bit."""

    END_STREAM: Final = 0x1  # of DATA and HEADERS
    ACK: Final = 0x1  # of SETTINGS and PING
    END_HEADERS: Final = 0x4
    PADDED: Final = 0x8
    WITH_PRIORITY: Final = 0x20


class Setting:
    """What one side tells of itself."""

    TABLE_SIZE, ENABLE_PUSH, MAX_STREAMS, INITIAL_WINDOW, MAX_FRAME, MAX_LIST = range(1, 7)


class Code:
    """Why a stream or a link is given up."""

    NO_ERROR, PROTOCOL, INTERNAL, FLOW_CONTROL, STREAM_CLOSED, FRAME_SIZE = 0x0, 0x1, 0x2, 0x3, 0x5, 0x6
    REFUSED, CANCEL, COMPRESSION, CALM = 0x7, 0x8, 0x9, 0xB


_NAMES: Final = (
    "NO_ERROR", "PROTOCOL_ERROR", "INTERNAL_ERROR", "FLOW_CONTROL_ERROR", "SETTINGS_TIMEOUT", "STREAM_CLOSED",
    "FRAME_SIZE_ERROR", "REFUSED_STREAM", "CANCEL", "COMPRESSION_ERROR", "CONNECT_ERROR", "ENHANCE_YOUR_CALM",
    "INADEQUATE_SECURITY", "HTTP_1_1_REQUIRED",
)  # fmt: skip


def name_of_code(payload: memoryview) -> str:
    """The name of a code, as it stands in a frame."""
    code = int.from_bytes(payload, "big")
    return _NAMES[code] if code < len(_NAMES) else f"error {code:#x}"
