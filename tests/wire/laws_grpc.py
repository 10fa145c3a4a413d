"""The laws of sealers and openers, for gRPC's messages. They prove nothing: TLS is for that."""

from __future__ import annotations

from gproxy.wire.grpc import MAX_HEAD, GrpcOpener, GrpcSealer
from tests.laws.registry import Framing

FRAMINGS = [Framing("grpc", lambda: (GrpcSealer(), GrpcOpener()), MAX_HEAD + 1, proves=False, refuses=True)]
