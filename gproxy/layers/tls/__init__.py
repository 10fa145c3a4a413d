"""TLS around a stream: pyOpenSSL over memory, so that a session can lie within any other stream."""
