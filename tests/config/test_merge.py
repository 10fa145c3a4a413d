from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from gproxy.config.merge import merge, moved
from tests.config.writing import TREES, paths_of, value_at


def test_tables_merge_lists_append_and_later_scalars_win():
    merged, shifts = merge([
        {"log": {"level": "info", "output": "x"}, "inbounds": [{"tag": "a"}]},
        {"log": {"level": "warn"}, "inbounds": [{"tag": "b"}, {"tag": "c"}]},
        {"inbounds": {"tag": "d"}},
    ])  # fmt: skip
    assert merged == {
        "log": {"level": "warn", "output": "x"},
        "inbounds": [{"tag": "a"}, {"tag": "b"}, {"tag": "c"}, {"tag": "d"}],
    }
    assert moved(("inbounds", 1, "tag"), shifts[1]) == ("inbounds", 2, "tag")
    assert moved(("inbounds", "tag"), shifts[2]) == ("inbounds", 3, "tag")
    assert moved(("inbounds",), shifts[1]) == ("inbounds",)


def test_a_bare_value_before_a_list_is_its_first_element():
    merged, shifts = merge([{"a": "x"}, {"a": ["y"]}])
    assert merged == {"a": ["x", "y"]}
    assert moved(("a",), shifts[0]) == ("a", 0)
    assert moved(("a", 0), shifts[1]) == ("a", 1)


@given(st.lists(TREES, min_size=1, max_size=3))
def test_every_value_of_the_last_document_is_where_moved_says(trees):
    merged, shifts = merge(trees)
    for path in paths_of(trees[-1]):
        value = value_at(trees[-1], path)
        if not isinstance(value, dict | list):
            assert value_at(merged, moved(path, shifts[-1])) == value


@given(TREES)
def test_one_document_stays_as_it_is(tree):
    assert merge([tree])[0] == tree
