"""Proofs by DNS records (RFC 8555 section 8.4): who sets them, and whether they can be seen."""
