"""DNS messages (RFC 1035) and what was added to them since."""
