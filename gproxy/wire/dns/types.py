"""The numbers of DNS: types, classes, opcodes, response codes, options (IANA, "Domain Name System Parameters")."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

A: Final = 1
NS: Final = 2
MD: Final = 3
MF: Final = 4
CNAME: Final = 5
SOA: Final = 6
MB: Final = 7
MG: Final = 8
MR: Final = 9
NULL: Final = 10
WKS: Final = 11
PTR: Final = 12
HINFO: Final = 13
MINFO: Final = 14
MX: Final = 15
TXT: Final = 16
RP: Final = 17
AFSDB: Final = 18
RT: Final = 21
SIG: Final = 24
KEY: Final = 25
PX: Final = 26
AAAA: Final = 28
LOC: Final = 29
NXT: Final = 30
SRV: Final = 33
NAPTR: Final = 35
KX: Final = 36
CERT: Final = 37
DNAME: Final = 39
OPT: Final = 41
APL: Final = 42
DS: Final = 43
SSHFP: Final = 44
IPSECKEY: Final = 45
RRSIG: Final = 46
NSEC: Final = 47
DNSKEY: Final = 48
DHCID: Final = 49
NSEC3: Final = 50
NSEC3PARAM: Final = 51
TLSA: Final = 52
SMIMEA: Final = 53
HIP: Final = 55
CDS: Final = 59
CDNSKEY: Final = 60
OPENPGPKEY: Final = 61
CSYNC: Final = 62
ZONEMD: Final = 63
SVCB: Final = 64
HTTPS: Final = 65
SPF: Final = 99
EUI48: Final = 108
EUI64: Final = 109
TKEY: Final = 249
TSIG: Final = 250
IXFR: Final = 251
AXFR: Final = 252
MAILB: Final = 253
MAILA: Final = 254
ANY: Final = 255
URI: Final = 256
CAA: Final = 257

TYPES: Final[dict[str, int]] = {name: number for name, number in list(globals().items()) if name.isupper()}
"""The record types that have a name here: all of the above."""

IN: Final = 1
"""The Internet's class."""

QUERY: Final = 0
NOTIFY: Final = 4
UPDATE: Final = 5

NOERROR: Final = 0
FORMERR: Final = 1
SERVFAIL: Final = 2
NXDOMAIN: Final = 3
NOTIMP: Final = 4
REFUSED: Final = 5
YXDOMAIN: Final = 6
YXRRSET: Final = 7
NXRRSET: Final = 8
NOTAUTH: Final = 9
NOTZONE: Final = 10
BADVERS: Final = 16
BADKEY: Final = 17
BADTIME: Final = 18
BADMODE: Final = 19
BADNAME: Final = 20
BADALG: Final = 21
BADTRUNC: Final = 22
BADCOOKIE: Final = 23

RCODES: Final[dict[str, int]] = {
    "NOERROR": NOERROR,
    "FORMERR": FORMERR,
    "SERVFAIL": SERVFAIL,
    "NXDOMAIN": NXDOMAIN,
    "NOTIMP": NOTIMP,
    "REFUSED": REFUSED,
    "YXDOMAIN": YXDOMAIN,
    "YXRRSET": YXRRSET,
    "NXRRSET": NXRRSET,
    "NOTAUTH": NOTAUTH,
    "NOTZONE": NOTZONE,
    "BADVERS": BADVERS,
    "BADKEY": BADKEY,
    "BADTIME": BADTIME,
    "BADMODE": BADMODE,
    "BADNAME": BADNAME,
    "BADALG": BADALG,
    "BADTRUNC": BADTRUNC,
    "BADCOOKIE": BADCOOKIE,
}
"""The response codes that have a name here."""

CLIENT_SUBNET: Final = 8
"""The EDNS option of RFC 7871."""
COOKIE: Final = 10
KEEPALIVE: Final = 11
PADDING: Final = 12
EXTENDED_ERROR: Final = 15

_TYPE_NAMES: Final = {number: name for name, number in TYPES.items()}
_RCODE_NAMES: Final = {number: name for name, number in RCODES.items()}


def type_number(text: str) -> int:
    """The number of a record type: of its name in any case, `TYPE28` (RFC 3597), or `28`. Raises ValueError."""
    return _number(text, TYPES, "TYPE", 0xFFFF, "record type")


def type_name(number: int) -> str:
    """The name of a record type, or `TYPE` with its number where it has none here."""
    return _TYPE_NAMES.get(number) or f"TYPE{number}"


def rcode_number(text: str) -> int:
    """The number of a response code: of its name in any case, or of digits. Raises ValueError."""
    return _number(text, RCODES, "RCODE", 0xFFF, "response code")


def rcode_name(number: int) -> str:
    """The name of a response code, or `RCODE` with its number where it has none here."""
    return _RCODE_NAMES.get(number) or f"RCODE{number}"


def _number(text: str, numbers: Mapping[str, int], prefix: str, most: int, what: str) -> int:
    name = text.upper()
    if name in numbers:
        return numbers[name]
    digits = name.removeprefix(prefix)
    if digits.isascii() and digits.isdigit() and len(digits) <= len(str(most)) and int(digits) <= most:
        return int(digits)
    raise ValueError(f"not a DNS {what}: {text!r}")
