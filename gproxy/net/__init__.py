"""Sockets become Streams and PacketConns here; nobody above sees a socket."""
