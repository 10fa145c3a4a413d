from __future__ import annotations

import pytest

from gproxy.proc.arguments import Arguments, Sources

SOURCES = Sources(["a b.toml", "ü.json"], ["conf.d"], "/etc/gproxy")


@pytest.mark.parametrize("sources", [SOURCES, Sources()])
def test_there_and_back(sources: Sources) -> None:
    assert Sources.from_json(sources.to_json()) == sources
    assert Arguments.from_json(Arguments(sources, 7).to_json()) == Arguments(sources, 7)
    assert Arguments.from_json(Arguments(sources, 7, 8).to_json()) == Arguments(sources, 7, 8)
    assert "\n" not in Arguments(sources, 7).to_json()


def test_a_master_that_knows_no_memory() -> None:
    """It goes on while the package is being replaced."""
    assert Arguments.from_json('{"sources": {}, "channel": 7}') == Arguments(Sources(), 7, -1)


@pytest.mark.parametrize("text", ["", "{", "[]", '"x"', '{"unknown": 1}', '{"sources": {}}', '{"channel": 1}', "1"])
def test_anything_else(text: str) -> None:
    with pytest.raises((ValueError, KeyError, TypeError)):
        Arguments.from_json(text)
    with pytest.raises((ValueError, TypeError)):
        Sources.from_json(text)
