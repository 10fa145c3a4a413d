"""The tests mirror the tree: gproxy/a/b.py is tried by tests/a/test_b.py, so that a reader finds one from the other."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent

# Modules without a test file of their own, each with what tries it instead.
ELSEWHERE = {
    "gproxy/__main__.py": "two lines; tests/e2e starts them",
    "gproxy/base/defaults.py": "numbers only",
    "gproxy/base/iface.py": "promises only; tests/conformance holds every implementation to them",
    "gproxy/dns/iface.py": "promises only",
    "gproxy/route/context.py": "promises only; tests/route/test_compile.py compiles with it",
    "gproxy/base/wiring.py": "dataclasses only",
    "gproxy/rt/sync.py": "names gevent's primitives, has no code of its own",
    "gproxy/schema/groups.py": "tables of fields; tests/schema/test_model.py and the rooms' own tests read them",
}

MODULES = sorted(path.relative_to(ROOT).as_posix() for path in (ROOT / "gproxy").rglob("*.py"))
WITH_CODE = [module for module in MODULES if not module.endswith("/__init__.py") and module not in ELSEWHERE]


@pytest.mark.parametrize("module", WITH_CODE)
def test_every_module_has_its_tests(module: str) -> None:
    inside = Path(module).relative_to("gproxy")
    mirror = ROOT / "tests" / inside.parent / f"test_{inside.name}"
    assert mirror.exists(), f"{module} has no {mirror.relative_to(ROOT)}"
    assert _tests_in(mirror), f"{mirror.relative_to(ROOT)} tests nothing"


def _tests_in(path: Path) -> list[str]:
    tree = ast.parse(path.read_text("utf-8"))
    return [node.name for node in ast.walk(tree) if isinstance(node, ast.FunctionDef) and node.name.startswith("test_")]


@pytest.mark.parametrize("module", sorted(ELSEWHERE))
def test_the_exceptions_are_still_needed(module: str) -> None:
    inside = Path(module).relative_to("gproxy")
    assert not (ROOT / "tests" / inside.parent / f"test_{inside.name}").exists(), (
        f"{module} needs no exception any more"
    )


def test_every_room_is_a_package() -> None:
    """The import contracts see packages only: a folder without __init__.py would escape them."""
    rooms = {path.parent for path in (ROOT / "gproxy").rglob("*.py")}
    assert [room.relative_to(ROOT).as_posix() for room in sorted(rooms) if not (room / "__init__.py").exists()] == []
