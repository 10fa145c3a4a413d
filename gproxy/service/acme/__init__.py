"""Certificates from authorities that speak ACME (RFC 8555): accounts, orders, proofs, and when to renew.

keeper      when a certificate is ordered, what happens when that fails, and who is told of a new one
order       one order from the first question to the chain
client      the protocol: signed requests, nonces, errors
web         HTTP requests, bounded in time and space
proofs      what answers an authority's challenges: on port 80, in a handshake, in the DNS
certificates, jws, answers, store       keys and chains, signatures, what authorities say, files
"""
