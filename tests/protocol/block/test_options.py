"""gproxy.protocol.block.options."""

from __future__ import annotations

from gproxy.protocol.block.options import BlockOutboundOptions
from gproxy.schema.model import read
from gproxy.schema.problem import Problem


def test_it_has_no_options_of_its_own():
    problems: list[Problem] = []
    assert read(BlockOutboundOptions, {"type": "block", "tag": "no"}, (), problems) is not None
    assert read(BlockOutboundOptions, {"type": "block", "detour": "x"}, (), problems) is None
    assert [problem.path for problem in problems] == [("detour",)]
