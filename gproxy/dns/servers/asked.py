"""What all servers on a network do to a question on its way out, and look at in what comes back."""

from __future__ import annotations

from dataclasses import replace
from os import urandom
from typing import Final, NoReturn

from gproxy.base.address import Address
from gproxy.base.errors import DialError, GproxyError
from gproxy.base.session import DEFAULT_DIAL, DialOptions, Network, Session
from gproxy.dns.iface import Ask
from gproxy.wire.dns.message import HEAD
from gproxy.wire.dns.name import encode_name

_TYPE_AND_CLASS: Final = 4
_CASE: Final = bytes(0x20 if ord("a") <= octet <= ord("z") else 0 for octet in range(256))


def question_of(ask: Ask) -> bytes:
    """The question as it stands in the message: the name in lower case, type and class."""
    return ask.message[HEAD : HEAD + len(encode_name(ask.name)) + _TYPE_AND_CLASS]


def mixed(question: bytes) -> bytes:
    """The question with each letter of its name in a case that nobody can guess (draft-vixie-dnsext-dns0x20)."""
    size = len(question) - _TYPE_AND_CLASS
    name = question[:size]
    # Octets that count a label's are below the letters, so that only letters can be met.
    flips = int.from_bytes(name.translate(_CASE), "big") & int.from_bytes(urandom(size), "big")
    return (int.from_bytes(name, "big") ^ flips).to_bytes(size, "big") + question[size:]


def answers(message: bytes, question: bytes) -> bool:
    """Whether this is an answer to exactly this question, letter by letter."""
    return message.startswith(question, HEAD) and message[2] & 0xF8 == 0x80 and message[4:6] == b"\0\1"


def answers_wholly(message: bytes, question: bytes) -> bool:
    """The same, and that it is not truncated."""
    return message.startswith(question, HEAD) and message[2] & 0xFA == 0x80 and message[4:6] == b"\0\1"


def answers_alike(message: bytes, question: bytes) -> bool:
    """The same, in whatever case the letters of the name are."""
    end = HEAD + len(question)
    at = end - _TYPE_AND_CLASS
    same = message[HEAD:at].lower() == question[:-_TYPE_AND_CLASS].lower() and message[at:end] == question[at - HEAD :]
    return same and message[2] & 0xF8 == 0x80 and message[4:6] == b"\0\1"


def is_truncated(message: bytes) -> bool:
    """Whether the answer says that there is more to it."""
    return message[2] & 0x02 != 0


def is_bare_error(message: bytes) -> bool:
    """Whether it is a failure that doesn't even repeat the question, as of servers that could not read it."""
    return len(message) == HEAD and message[2] & 0xF8 == 0x80 and not any(message[4:]) and message[3] & 0xF != 0


def with_question(message: bytes, question: bytes) -> bytes:
    """Such a failure with the question in its place."""
    return b"".join((message[:4], b"\0\1", message[6:], question))


def settled(message: bytes, question: bytes) -> bytes:
    """An answer with the id 0 and the question as it was asked for, in lower case."""
    return b"".join((b"\0\0", message[2:HEAD], question, message[HEAD + len(question) :]))


def own_session(session: Session, network: Network, server: Address, dial: DialOptions = DEFAULT_DIAL) -> Session:
    """On whose behalf a connection is made that many will use: nothing of what was found out for one is for all."""
    return replace(session, network=network, target=server, addresses=(), dial=dial)


def fail(who: str, why: GproxyError | str) -> NoReturn:
    """Raise that there is no answer to be had from this server."""
    raise DialError(f"DNS server {who}: {why}", reason="dns") from (why if isinstance(why, GproxyError) else None)
