"""Coverage-guided fuzzing of one Decode, or of all in turn: `python -m tests.fuzz.run NAME [libFuzzer options]`.

Needs the extra `fuzz` (atheris). `python -m tests.fuzz.run` alone lists the names; a corpus directory may follow the
name, as in libFuzzer. Every Decode that is registered for the laws is a target; `make test` tries them with hypothesis.
"""

from __future__ import annotations

import sys
from collections.abc import Callable

from tests.laws.registry import Law, laws


def main(arguments: list[str]) -> int:
    """Fuzz until libFuzzer ends, which is when it finds something, or when `-runs` or `-max_total_time` is used up."""
    known = {law.name: law for law in laws()}
    if len(arguments) < 2 or arguments[1] not in known:
        print(*known, sep="\n")
        return 2
    law = known[arguments[1]]
    try:
        import atheris
    except ImportError:
        print("atheris is not installed: .venv/bin/python -m pip install -e '.[fuzz]'", file=sys.stderr)
        return 2
    atheris.instrument_all()
    atheris.Setup([arguments[0], f"-max_len={min(law.limit + 16, 1 << 16)}", *arguments[2:]], target(law))
    atheris.Fuzz()
    return 0


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
