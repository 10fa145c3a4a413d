from __future__ import annotations

import pytest

from tests.fuzz import run
from tests.laws.registry import Law, laws


@pytest.mark.parametrize("law", laws(), ids=lambda law: law.name)
def test_every_target_takes_its_examples(law: Law) -> None:
    try_one = run.target(law)
    for wire, _ in law.examples:
        try_one(wire)


def test_without_a_name_it_lists_them(capsys: pytest.CaptureFixture[str]) -> None:
    assert run.main(["run"]) == 2
    assert capsys.readouterr().out.split() == [law.name for law in laws()]
