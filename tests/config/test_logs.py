from __future__ import annotations

from typing import Any

import pytest

from gproxy.config.logs import LogOptions
from gproxy.schema.model import Problem, read


def options(access: dict[str, Any]) -> LogOptions:
    problems: list[Problem] = []
    found = read(LogOptions, {"access": access}, (), problems)
    assert found is not None, problems
    return found


def problem(access: dict[str, Any]) -> str:
    problems: list[Problem] = []
    assert read(LogOptions, {"access": access}, (), problems) is None
    (only,) = problems
    return f"{'.'.join(map(str, only.path))}: {only.message} {only.hint}".strip()


def test_without_a_table_there_is_no_access_log() -> None:
    assert LogOptions().access is None


def test_the_least_that_is_needed() -> None:
    access = options({"output": "a.log"}).access
    assert access is not None
    assert [access.format, access.sample, access.rotate_size, access.rotate_every] == ["json", 1.0, 0, 0]


def test_all_of_it() -> None:
    access = options(
        {
            "output": "a.log", "format": "$remote_addr ${up}", "sample": 0.1, "rotate_size": "100 MB",
            "rotate_every": "1d", "compress": False, "keep": 3, "keep_for": "30d",
        }
    ).access  # fmt: skip
    assert access is not None
    assert [access.rotate_size, access.rotate_every, access.keep_for] == [100_000_000, 86400, 30 * 86400]


@pytest.mark.parametrize(
    ("access", "message"),
    [
        ({}, "access: `output` is missing The file; opened anew on SIGUSR1."),
        ({"output": ""}, "access.output: expected the path of a file"),
        ({"format": "$remote_adr"}, "access.format: there is no field `$remote_adr` did you mean `remote_addr`?"),
        ({"format": "jsn"}, "access.format: expected `json`, or a format string with fields such as `$remote_addr`"),
        ({"format": "$up $"}, "access.format: there is no field `$`"),
        ({"format": "$up\n"}, "access.format: a line has no line break: one is added to each"),
        ({"format": 1}, "access.format: expected `json`, or a format string with fields such as `$remote_addr`, got"),
        ({"sample": 1.5}, "access.sample: expected 0 to 1"),
        ({"keep": -1}, "access.keep: expected 0 to 100000"),
        ({"rotate_size": 10}, "access.rotate_size: expected 1 KB at least"),
        ({"rotate_every": "5s"}, "access.rotate_every: expected a minute at least"),
    ],
)
def test_mistakes(access: dict[str, Any], message: str) -> None:
    assert problem({"output": "a.log", **access} if access else {}).startswith(message)


# -- the audit log -----------------------------------------------------------------------------------------------------


def audited(audit: dict[str, Any], **more: Any) -> LogOptions | str:
    """The options, or the first problem."""
    problems: list[Problem] = []
    found = read(LogOptions, {"audit": audit, **more}, (), problems)
    return found or f"{'.'.join(map(str, problems[0].path))}: {problems[0].message} {problems[0].hint}".strip()


def test_an_audit_log() -> None:
    found = audited({"output": "a.log"})
    assert isinstance(found, LogOptions)
    assert found.audit is not None
    assert [found.audit.format, found.audit.successes, found.audit.rate] == ["json", False, 20]
    found = audited({"output": "a.log", "format": "$event ${prefix}", "successes": True, "rate": 1, "keep": 3})
    assert isinstance(found, LogOptions)


@pytest.mark.parametrize(
    ("audit", "message"),
    [
        ({"format": "$evnt"}, "audit.format: there is no field `$evnt` did you mean `event`?"),
        ({"format": "$target"}, "audit.format: there is no field `$target`"),
        ({"format": "jsn"}, "audit.format: expected `json`, or a format string with fields such as `$event`"),
        ({"rate": 0}, "audit.rate: expected 1 to 100000"),
        ({"rotate_size": 10}, "audit.rotate_size: expected 1 KB at least"),
        ({"sample": 0.5}, "audit.sample: "),
    ],
)
def test_mistakes_of_the_audit_log(audit: dict[str, Any], message: str) -> None:
    found = audited({"output": "a.log", **audit})
    assert isinstance(found, str)
    assert found.startswith(message)


def test_each_file_has_one_kind_of_lines() -> None:
    assert audited({"output": "a.log"}, access={"output": "a.log"}) == "audit.output: the access log has the same file"
    assert isinstance(audited({"output": "a.log"}, access={"output": "b.log"}), LogOptions)
