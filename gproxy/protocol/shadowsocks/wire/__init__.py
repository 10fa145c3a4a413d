"""Shadowsocks on the wire: pure, from buffer to buffer."""
