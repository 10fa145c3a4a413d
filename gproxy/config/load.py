"""Reads the files that a command line names and merges them into one document that knows its places."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from gproxy.base.errors import ConfigError
from gproxy.config.env import expand
from gproxy.config.merge import Shifts, merge
from gproxy.config.parse import Format, SyntaxProblem, Tree, parse
from gproxy.schema.problem import Problem

DEFAULT_NAMES = ("config.toml", "config.json")
STDIN = ("stdin", "-")
MAX_SIZE = 64 * 2**20  # the largest known configurations, with their rule lists inside, have a tenth of this

_SUFFIXES: dict[str, Format] = {".toml": "toml", ".json": "json", ".jsonc": "json"}


class ConfigProblems(ConfigError):
    """A configuration that can't be used. `report` is for a terminal; `problems` are its parts."""

    def __init__(self, report: str, problems: Sequence[Problem] = ()) -> None:
        super().__init__(report)
        self.report = report
        self.problems = tuple(problems)


@dataclass(frozen=True, slots=True)
class Source:
    """One document as it was read. `name` is what the user called it."""

    name: str
    text: str
    form: Format


@dataclass(frozen=True, slots=True)
class Loaded:
    """The merged document, `raw` as written and `tree` with its variables replaced, and where its values come from."""

    tree: Tree
    raw: Tree
    sources: tuple[Source, ...]
    shifts: tuple[Shifts, ...]
    problems: list[Problem] = field(default_factory=list)


def load(
    files: Sequence[str] = (), directories: Sequence[str] = (), environment: Mapping[str, str] = os.environ
) -> Loaded:
    """Read and merge: the files in order, then those of each directory in order of their names.

    With neither, `config.toml` or else `config.json` of the working directory. Raises ConfigProblems when a file can't
    be read or is neither TOML nor JSON; what is wrong with the *values* is left in `problems`.
    """
    sources = [_read(name) for name in _names(files, directories)]
    return load_sources(sources, environment)


def load_sources(sources: Sequence[Source], environment: Mapping[str, str] = os.environ) -> Loaded:
    """Parse and merge documents that were read already. Raises ConfigProblems."""
    trees, reports = [], []
    for source in sources:
        try:
            trees.append(parse(source.text, source.form))
        except SyntaxProblem as error:
            from gproxy.config.report import syntax_report

            reports.append(syntax_report(source, error))
    if reports:
        raise ConfigProblems("\n".join(reports))
    raw, shifts = merge(trees)
    problems: list[Problem] = []
    tree: Any = expand(raw, environment, (), problems)
    return Loaded(tree, raw, tuple(sources), tuple(shifts), problems)


def _names(files: Iterable[str], directories: Iterable[str]) -> list[str]:
    names = [*files]
    for directory in directories:
        names += _files_of(directory)
    if names:
        return names
    if directories:
        raise ConfigProblems(f"{', '.join(directories)}: holds no .toml or .json file")
    found = [name for name in DEFAULT_NAMES if Path(name).exists()]
    if not found:
        raise ConfigProblems(
            f"no configuration: neither {' nor '.join(DEFAULT_NAMES)} in {Path.cwd()}; name one with -c"
        )
    return found[:1]


def _files_of(directory: str) -> list[str]:
    try:
        entries = sorted(Path(directory).iterdir())
    except OSError as error:
        raise ConfigProblems(f"{directory}: {_reason(error)}") from None
    return [str(entry) for entry in entries if entry.suffix in _SUFFIXES and entry.is_file()]


def _read(name: str) -> Source:
    try:
        raw = _bytes_of(name)
    except OSError as error:
        raise ConfigProblems(f"{name}: {_reason(error)}") from None
    if len(raw) > MAX_SIZE:
        raise ConfigProblems(f"{name}: larger than {MAX_SIZE // 2**20} MiB")
    try:
        text = raw.decode("utf-8-sig").replace("\r\n", "\n")
    except UnicodeDecodeError as error:
        line = raw.count(b"\n", 0, error.start) + 1
        raise ConfigProblems(f"{name}:{line}: not UTF-8 text") from None
    return Source(name, text, _form(name, text))


def _bytes_of(name: str) -> bytes:
    if name in STDIN:
        return sys.stdin.buffer.read(MAX_SIZE + 1)
    with open(name, "rb") as file:
        return file.read(MAX_SIZE + 1)


def _form(name: str, text: str) -> Format:
    """By the file's suffix; where there is none, JSON is what begins with a brace."""
    suffix = Path(name).suffix.lower()
    if suffix in _SUFFIXES:
        return _SUFFIXES[suffix]
    if suffix and name not in STDIN:
        raise ConfigProblems(f"{name}: a configuration's name ends in .toml or .json")
    return "json" if text.lstrip().startswith(("{", "//", "/*")) else "toml"


def _reason(error: OSError) -> str:
    return (error.strerror or str(error)).lower()
