from gproxy.app.rules import build_context
from gproxy.config.root import Root


def test_a_configuration_without_rule_sets_has_none():
    assert not build_context(Root()).rule_sets
