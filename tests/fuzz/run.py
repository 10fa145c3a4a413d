"""Coverage-guided fuzzing of one Decode: `python -m tests.fuzz.run NAME [corpus] [libFuzzer options]`.

Needs the extra `fuzz` (atheris). Without a name it lists them: every Decode registered for the laws is a target.
`make test` tries the same with hypothesis.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tests.laws.registry import Law


def main(arguments: list[str]) -> int:
    """Fuzz until libFuzzer ends, which is when it finds something, or when `-runs` or `-max_total_time` is used up."""
    if len(arguments) < 2:
        print(*known(), sep="\n")
        return 2
    try:
        import atheris
    except ImportError:
        print("atheris is not installed: .venv/bin/python -m pip install atheris", file=sys.stderr)
        return 2
    with atheris.instrument_imports(include=["gproxy"], enable_loader_override=False):
        laws = known()
    if arguments[1] not in laws:
        print(f"no Decode is called {arguments[1]}", file=sys.stderr)
        return 2
    law = laws[arguments[1]]
    atheris.Setup([arguments[0], f"-max_len={min(law.limit + 16, 1 << 16)}", *arguments[2:]], target(law))
    atheris.Fuzz()
    return 0


def known() -> dict[str, Law]:
    """Every registered Decode by name. This imports the formats, which atheris wants to watch."""
    from tests.laws.registry import laws

    return {law.name: law for law in laws()}


def target(law: Law) -> Callable[[bytes], None]:
    """What is called with each input: it raises when a law is broken."""
    from tests.laws.test_decodes import verdict

    def try_one(raw: bytes) -> None:
        outcome = verdict(law.decode, raw)
        if outcome[0] == "incomplete":
            assert len(raw) < law.limit, f"no verdict on {len(raw)} bytes, the limit is {law.limit}"
        elif outcome[0] == "value" and law.encode is not None:
            written = law.encode(outcome[1])
            assert verdict(law.decode, written) == ("value", outcome[1], len(written)), (
                "it does not survive a round trip"
            )

    return try_one


if __name__ == "__main__":
    sys.exit(main(sys.argv))
