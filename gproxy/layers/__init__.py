"""What is put around a protocol: TLS, transports, and many flows on one stream."""
