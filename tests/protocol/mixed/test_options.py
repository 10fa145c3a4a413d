"""gproxy.protocol.mixed.options."""

from __future__ import annotations

import pytest

from gproxy.protocol.mixed.options import MixedInboundOptions
from gproxy.schema.model import read


def test_users_hold_for_both_protocols_and_are_nobody_by_default():
    assert read(MixedInboundOptions, {"type": "mixed"}, (), []).users == ()
    options = read(MixedInboundOptions, {"type": "mixed", "users": [{"username": "u", "password": "pw1"}]}, (), [])
    assert [(user.username, user.password.reveal()) for user in options.users] == [("u", "pw1")]
    assert "pw1" not in repr(options)


@pytest.mark.parametrize("key", ["set_system_proxy", "domain_resolver"])
def test_what_is_not_done_yet_is_refused_by_name(key):
    problems = []
    assert read(MixedInboundOptions, {"type": "mixed", key: {}}, (), problems) is None
    assert [(problem.path, problem.message) for problem in problems] == [((key,), "not supported yet")]
