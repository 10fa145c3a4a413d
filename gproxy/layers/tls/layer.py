"""TLS towards clients: a handshake, and then a stream of records."""

from __future__ import annotations

from gproxy.base.errors import AuthError, ProtocolError
from gproxy.base.iface import Accept, Stream
from gproxy.base.session import Session
from gproxy.layers.tls.bindings import TlsFault, new_connection
from gproxy.layers.tls.handshake import Handshake
from gproxy.layers.tls.serving import Serving
from gproxy.layers.tls.supply import Supply
from gproxy.rt.deadline import deadline
from gproxy.schema.tls import TlsInbound


class TlsServer:
    """TLS towards clients (see ServerLayer)."""

    def __init__(self, options: TlsInbound, supply: Supply | None = None) -> None:
        """`supply`: has the certificate, if the options have none. Raises ConfigError for one that can't be used."""
        self._supply = supply
        self._alone = not options.certificates
        self._serving = Serving(options, supply)
        self._timeout = float(options.handshake_timeout)
        self._name = options.server_name.lower()
        self._chooses = bool(options.alpn)

    def accepting(self, then: Accept) -> Accept:
        """See ServerLayer. A failed handshake raises ProtocolError."""

        def accept(stream: Stream, session: Session) -> None:
            with deadline(self._timeout, ProtocolError("no TLS handshake in time", reason="timeout")):
                if self._supply is not None and self._supply.busy:
                    client = self._supply.look_into(stream, alone=self._alone)
                    if client is None:
                        return
                    stream = client
                opened = self._open(stream, session)
            then(opened, session)

        return accept

    def _open(self, stream: Stream, session: Session) -> Stream:
        connection = new_connection(self._serving.context())
        connection.set_accept_state()
        try:
            opened = Handshake(connection, stream, serves=True).run()
        except TlsFault as error:
            raise ProtocolError(f"TLS: {error}", reason="tls") from error
        if self._name and (connection.get_servername() or b"").decode("ascii", "replace").lower() != self._name:
            raise AuthError("a client that asks for another name", reason="server-name")
        if self._chooses:
            session.alpn = connection.get_alpn_proto_negotiated().decode("ascii", "replace")
        return opened
