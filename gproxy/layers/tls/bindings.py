"""The one file that uses what pyOpenSSL keeps to itself.

Its public calls copy each record through a buffer of their own, and they can neither check the peer's name within the
handshake nor choose the groups of the key exchange. pyOpenSSL is pinned to the versions that this was tried with.
"""

from __future__ import annotations

from ipaddress import IPv4Address, IPv6Address
from typing import Any, Final

from OpenSSL import SSL
from OpenSSL._util import ffi, lib
from OpenSSL.crypto import FILETYPE_ASN1, PKey, dump_certificate

from gproxy.base.iface import Buffer

# What one call takes out of a memory BIO: far larger pieces cost twice the CPU.
_PIECE: Final = 128 * 1024

# Where records lie for a moment whose number is not known beforehand: the worker's own, as the pumps' scratch is.
_ROOM: Final = 16 * 1024
_room: Any = ffi.new("char[]", _ROOM)

_WANT_READ: Final = lib.SSL_ERROR_WANT_READ
_ZERO_RETURN: Final = lib.SSL_ERROR_ZERO_RETURN

# X509_CHECK_FLAG_NO_PARTIAL_WILDCARDS and …_NEVER_CHECK_SUBJECT: `*.a.test`, but not `w*.a.test`, and names stand where
# RFC 6125 wants them, not in the subject.
_NAME_FLAGS: Final = 0x4 | 0x20

NO_AUTO_CHAIN: Final = 0x8
"""SSL_MODE_NO_AUTO_CHAIN: show what there is, and don't look for issuers in each handshake."""

PRIORITIZE_CHACHA: Final = 0x0020_0000
"""SSL_OP_PRIORITIZE_CHACHA: a client that puts ChaCha20 first has no AES in hardware, and gets it."""


class TlsFault(Exception):
    """OpenSSL's word for what went wrong."""


_CALLBACKS: Final = (
    "_alpn_select_callback",
    "_tlsext_servername_callback",
    "_ocsp_callback",
    "_verify_callback",
    "_info_callback",
    "_keylog_callback",
)


class _Nobody(dict[Any, SSL.Connection]):
    """Keeps nothing."""

    def __setitem__(self, key: Any, value: SSL.Connection) -> None:
        pass


class _Unlisted(SSL.Connection):
    """A connection that nobody is called back for: it is not kept where pyOpenSSL would look for it then."""

    _reverse_mapping = _Nobody()


def new_connection(context: SSL.Context) -> SSL.Connection:
    """A connection without a role yet, of which nothing was heard."""
    calls_back = any(getattr(context, name) for name in _CALLBACKS)
    return (SSL.Connection if calls_back else _Unlisted)(context, None)


class Pipes:
    """The bytes of one connection between memory buffers: TLS records on one side, payload on the other.

    A memory BIO keeps what it has once grown to, for each of a worker's idle sessions. So records are read from where
    they lie, without a BIO's copy, and a BIO that was much written to is exchanged for a new one.
    """

    __slots__ = ("_from_peer", "_from_ssl", "_left", "_source", "_ssl", "connection", "over")

    def __init__(self, connection: SSL.Connection) -> None:
        self.connection = connection
        self._ssl: Any = connection._ssl
        self._from_ssl: Any = connection._from_ssl
        self._from_peer: Any = connection._into_ssl
        self._source: Any = None  # what is being read from
        self._left = 0  # of that has not been looked at, and is to be fed again
        self.over = False  # the peer has said that no more will come

    def shake(self) -> bool:
        """Go on with the handshake, as far as what was fed goes; whether it is over. Raises TlsFault."""
        done = lib.SSL_do_handshake(self._ssl)
        if done == 1:
            return True
        if lib.SSL_get_error(self._ssl, done) != _WANT_READ:
            raise TlsFault(_reason())
        return False

    @property
    def version(self) -> int:
        """Of the protocol, as on the wire: 0x0304 for TLS 1.3."""
        return int(lib.SSL_version(self._ssl))

    def left(self) -> int:
        """How many bytes of what was fed have not been looked at: only the end of a handshake leaves some.

        They are to be fed again, alone or with more behind them.
        """
        self._left = int(lib.BIO_get_mem_data(self._from_peer, ffi.NULL))
        return self._left

    def waiting(self) -> int:
        """How many bytes there are for the peer."""
        return int(lib.BIO_get_mem_data(self._from_ssl, ffi.NULL))

    def drain(self) -> bytes:
        """All records for the peer."""
        pieces = []
        while (size := lib.BIO_read(self._from_ssl, _room, _ROOM)) == _ROOM:
            pieces.append(ffi.buffer(_room, size)[:])
        last: bytes = ffi.buffer(_room, size)[:] if size > 0 else b""
        return b"".join((*pieces, last)) if pieces else last

    def feed(self, records: Buffer) -> None:
        """Complete records from the peer: all that was fed before must have been read. They stay the caller's."""
        left, self._left = self._left, 0
        if left and left == len(records):
            return  # they are where they were
        self._source = data = ffi.from_buffer(records)
        self._from_peer = bio = lib.BIO_new_mem_buf(data, len(data))
        lib.BIO_set_mem_eof_return(bio, -1)  # its end is not the connection's
        lib.SSL_set_bio(self._ssl, bio, self._from_ssl)  # frees the one before

    def read_into(self, target: memoryview) -> int:
        """All payload of what was fed, as far as `target` holds it: as much as was fed always does.

        Sets `over` when the peer has ended. Raises TlsFault.
        """
        made, most = 0, len(target)
        read, ssl = lib.SSL_read, self._ssl
        with ffi.from_buffer(target, require_writable=True) as data:
            while made < most:
                size = read(ssl, data + made, most - made)
                if size <= 0:
                    self._stopped(size)
                    break
                made += size
        return made

    def _stopped(self, size: int) -> None:
        """Reading has come to an end, and why. Raises TlsFault."""
        error = lib.SSL_get_error(self._ssl, size)
        if error == _WANT_READ:
            self._source = None  # it is at its end, and not looked at again
            return
        self._forget()
        if error != _ZERO_RETURN:
            raise TlsFault(_reason())
        self.over = True

    def _forget(self) -> None:
        """Nothing that lies in what was fed may be read any more."""
        self._from_peer = lib.BIO_new(lib.BIO_s_mem())
        lib.SSL_set_bio(self._ssl, self._from_peer, self._from_ssl)
        self._source = None

    def write(self, payload: Buffer) -> None:
        """Make records of all of it. Raises TlsFault."""
        with ffi.from_buffer(payload) as data:
            size = lib.SSL_write(self._ssl, data, len(data))
        if size != len(payload):
            raise TlsFault(_reason())

    def shrink(self) -> None:
        """Give back what much writing has taken. Everything must have been drained."""
        self._left = 0  # what was left went with its BIO: it is fed again
        self._from_peer, self._from_ssl = lib.BIO_new(lib.BIO_s_mem()), lib.BIO_new(lib.BIO_s_mem())
        lib.SSL_set_bio(self._ssl, self._from_peer, self._from_ssl)

    def farewell(self) -> bytes:
        """The records that say that no more will come."""
        lib.SSL_shutdown(self._ssl)
        while lib.ERR_get_error():  # a session that is broken has nothing to say
            pass
        return self.drain()

    def drain_into(self, target: memoryview) -> int:
        """All records for the peer that `target` holds."""
        made = 0
        while made < len(target):
            with ffi.from_buffer(target[made : made + _PIECE], require_writable=True) as data:
                most = len(data)
                size = lib.BIO_read(self._from_ssl, data, most)
            if size > 0:
                made += size
            if size < most:  # that was all: it gives as much as there is
                break
        return made


def _reason() -> str:
    """The newest of OpenSSL's errors, in its words; the others are forgotten."""
    reason = "the connection broke"
    while code := lib.ERR_get_error():
        text = lib.ERR_reason_error_string(code)
        if text != ffi.NULL:
            reason = ffi.string(text).decode()
    return reason


def expect_name(connection: SSL.Connection, name: str | IPv4Address | IPv6Address) -> None:
    """Let the handshake fail unless the peer's certificate is for this host. Raises ValueError for no name at all."""
    param = lib.SSL_get0_param(connection._ssl)
    lib.X509_VERIFY_PARAM_set_hostflags(param, _NAME_FLAGS)
    if isinstance(name, str):
        raw = name.encode("idna") if not name.isascii() else name.encode()
        done = lib.X509_VERIFY_PARAM_set1_host(param, raw, len(raw))
    else:
        done = lib.X509_VERIFY_PARAM_set1_ip(param, name.packed, len(name.packed))
    if done != 1:
        raise ValueError(f"{name}: not a name that a certificate could have")


def verify_result(connection: SSL.Connection) -> tuple[int, str]:
    """Why the peer's certificate was refused, by number and in OpenSSL's words; 0 if it was not."""
    code: int = lib.SSL_get_verify_result(connection._ssl)
    return code, ffi.string(lib.X509_verify_cert_error_string(code)).decode()


def is_resumed(connection: SSL.Connection) -> bool:
    """Whether the session goes on with an earlier one, so that the peer has shown nothing again."""
    return bool(lib.SSL_session_reused(connection._ssl))


def shown_by(connection: SSL.Connection) -> bytes:
    """The certificate that the peer has shown, in DER, as it came; empty if there was none."""
    certificate = connection.get_peer_certificate()
    return b"" if certificate is None else dump_certificate(FILETYPE_ASN1, certificate)


def staple_of(connection: SSL.Connection) -> bytes:
    """The OCSP response that the server has sent along, empty if there was none."""
    response = ffi.new("unsigned char **")
    size = lib.SSL_get_tlsext_status_ocsp_resp(connection._ssl, response)
    return bytes(ffi.buffer(response[0], size)) if size > 0 else b""


def share_store(source: SSL.Context, target: SSL.Context) -> None:
    """Let a context believe the authorities of another one; they have one store from now on."""
    store = lib.SSL_CTX_get_cert_store(source._context)
    lib.X509_STORE_up_ref(store)
    lib.SSL_CTX_set_cert_store(target._context, store)


def use_key(context: SSL.Context, key: PKey) -> None:
    """Take another private key, also after the context was used. Raises ValueError for one of another certificate."""
    taken = lib.SSL_CTX_use_PrivateKey(context._context, key._pkey)
    fits = taken == 1 and lib.SSL_CTX_check_private_key(context._context) == 1
    while lib.ERR_get_error():
        pass
    if not fits:
        raise ValueError("not the key of this certificate")


def use_chain(context: SSL.Context, path: str) -> None:
    """Take another certificate with its chain, also after the context was used. Raises ValueError for none."""
    taken = lib.SSL_CTX_use_certificate_chain_file(context._context, path.encode())
    while lib.ERR_get_error():
        pass
    if taken != 1:
        raise ValueError("not a chain of certificates")


def write_all(context: SSL.Context) -> None:
    """Let one call take all of a write, where pyOpenSSL wants to be called for each record."""
    context.clear_mode(lib.SSL_MODE_ENABLE_PARTIAL_WRITE)


def set_groups(context: SSL.Context, names: str) -> None:
    """The groups of the key exchange, as in `X25519:P-256`. Raises ValueError for one that this OpenSSL has not."""
    if lib.SSL_CTX_set1_curves_list(context._context, names.encode()) != 1:
        while lib.ERR_get_error():
            pass
        raise ValueError(f"{names}: not groups of this OpenSSL")
