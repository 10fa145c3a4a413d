"""Suites of promises: whatever claims to be a Stream, a PacketConn, a Dialer or a relay is held to the same ones."""
