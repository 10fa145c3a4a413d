from __future__ import annotations

import gc
from pathlib import Path

from gproxy.observe.process import descriptors, processor_seconds, resident


def test_what_a_process_takes() -> None:
    assert 1 << 20 < resident() < 1 << 36
    before = processor_seconds()
    sum(range(1_000_000))
    assert processor_seconds() > before


def test_descriptors_are_counted(tmp_path: Path) -> None:
    gc.collect()  # what others have left goes now, or not before the look
    before = descriptors()
    with (tmp_path / "a").open("w"):
        assert descriptors() == before + 1
