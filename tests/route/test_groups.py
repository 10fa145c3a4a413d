import pytest

from gproxy.route.groups import Groups, all_of, any_of, bracketed, inverted
from tests.route.kit import session


def says(answer):
    return lambda one: answer


YES, NO = ("yes", says(True)), ("no", says(False))


def test_of_nothing_all_match_and_none_does():
    assert all_of([])(session())
    assert not any_of([])(session())


@pytest.mark.parametrize("answers", [(True, True), (True, False), (False, True), (False, False)])
def test_all_and_any(answers):
    parts = [says(answer) for answer in answers]
    assert all_of(parts)(session()) == all(answers)
    assert any_of(parts)(session()) == any(answers)
    assert inverted(parts[0], invert=True)(session()) != answers[0]


def test_of_each_bracket_one_part_is_enough():
    assert bracketed(iter([(YES,), (NO, YES)]))(session())
    assert not bracketed(iter([(YES,), (NO, NO)]))(session())


def test_groups_are_brackets_and_singles_stand_alone():
    assert Groups(singles=(YES, YES), port=(NO, YES)).match()(session())
    assert not Groups(singles=(YES, NO), port=(YES,)).match()(session())
    assert list(Groups(singles=(YES, NO), target=(YES, NO)).brackets()) == [(YES,), (NO,), (YES, NO)]


def test_joined_groups_need_one_part_of_either():
    mine, theirs = Groups(port=(NO,), target=(YES,)), Groups(port=(YES,), target=(NO,))
    assert not mine.match()(session())
    assert not theirs.match()(session())
    assert mine.joined(theirs).match()(session())
    assert not mine.joined(Groups(source=(NO,), port=(YES,))).match()(session())
    assert not mine.joined(Groups(singles=(NO,), port=(YES,))).match()(session())
