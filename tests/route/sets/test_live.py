import os

import pytest

from gproxy.route.compile import condition
from gproxy.route.context import NO_CONTEXT, Context
from gproxy.route.sets.live import LiveSet
from gproxy.route.sets.packed import BadPacked, in_memory, pack
from tests.route.kit import options, session
from tests.route.sets.kit import rules


def take(live, *trees, digest="new"):
    descriptor = in_memory(pack(rules(*trees)))
    live.take(descriptor, digest)
    os.close(descriptor)


def test_a_set_of_which_nothing_is_known_matches_nothing():
    live = LiveSet("x", NO_CONTEXT)
    assert not live.match(session())
    assert (live.digest, live.addresses) == ("", False)


def test_rules_see_the_newest_version():
    live = LiveSet("x", NO_CONTEXT)
    (rule,) = options({"rule_set": "x", "port": 80, "outbound": "x"})
    match = condition(rule, Context(rule_sets={"x": live}))
    assert not match(session(port=443))
    take(live, {"port": 443})  # joined with the rule's own port
    assert match(session(port=443))
    take(live, {"port": 443}, {"ip_cidr": "10.0.0.0/8"}, digest="newer")  # beside it
    assert not match(session(port=443))
    assert match(session("10.1.1.1", 80))
    assert (live.digest, live.addresses) == ("newer", True)


def test_what_is_no_set_changes_nothing():
    live = LiveSet("x", NO_CONTEXT)
    take(live, {"port": 443})
    descriptor = in_memory(b"garbage" * 100)
    with pytest.raises(BadPacked):
        live.take(descriptor, "other")
    os.close(descriptor)
    assert live.match(session(port=443))
    assert live.digest == "new"


def test_descriptors_are_not_kept():
    live = LiveSet("x", NO_CONTEXT)
    many = {"domain_suffix": [f"n{n}.test" for n in range(1100)]}
    take(live, many, digest="first")  # libmarisa keeps one for as long as it maps
    before = len(os.listdir("/proc/self/fd"))
    for number in range(20):
        take(live, many, digest=str(number))
    assert len(os.listdir("/proc/self/fd")) <= before
