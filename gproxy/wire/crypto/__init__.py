"""Ciphers, key derivation and replay windows, for the protocols that seal their own records."""
