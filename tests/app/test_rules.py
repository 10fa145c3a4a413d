from gproxy.app.rules import build_context
from gproxy.config.root import Root
from gproxy.schema.model import read
from tests.route.kit import session


def test_a_configuration_without_rule_sets_has_none():
    assert not build_context(Root()).rule_sets


def context_of(**route):
    problems = []
    root = read(Root, {"route": route}, (), problems)
    assert root is not None, problems
    return build_context(root)


def test_nothing_is_found_out_that_nobody_asks_for():
    assert not context_of().facts.needs.some


def test_clients_can_be_looked_up_for_the_log_alone():
    assert context_of(find_process=True).facts.needs.owner
    needs = context_of(find_neighbor=True).facts.needs
    assert needs.mac
    assert needs.hostname


def test_the_mode_at_first():
    assert context_of(default_mode="Direct").mode.name == "direct"


def test_lease_files_are_those_that_are_named(tmp_path):
    path = tmp_path / "leases"
    path.write_text("0 02:00:00:00:00:07 192.0.2.7 laptop *\n")
    facts = context_of(find_neighbor=True, dhcp_lease_files=str(path)).facts
    one = session(source="192.0.2.7")
    facts.collect(one)
    assert one.source_hostname == "laptop"
    facts.close()
