"""The `log` table: where log lines go, and which form they have."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from typing import Annotated, Any, ClassVar, Literal, Self

from gproxy.observe.events import NAMES
from gproxy.observe.lines import FIELDS, names_in
from gproxy.schema.fields import ByteSize, Duration
from gproxy.schema.model import Options, doc
from gproxy.schema.problem import BadValue, expected, near_miss

_LEAST_PERIOD = 60.0


class LineFormat(str):
    """`json`, or a format string as nginx's: text in which `$name` stands for a field."""

    __slots__ = ()

    fields: ClassVar[Collection[str]] = FIELDS
    example: ClassVar[str] = "$remote_addr"

    @classmethod
    def parse(cls, value: object) -> Self:
        """Read it. Raises BadValue."""
        what = f"`json`, or a format string with fields such as `{cls.example}`"
        if not isinstance(value, str):
            raise expected(what, value)
        names = names_in(value)
        if value != "json" and not names:
            raise BadValue(f"expected {what}")
        if "\n" in value:
            raise BadValue("a line has no line break: one is added to each")
        for name in names:
            if name not in cls.fields:
                raise BadValue(f"there is no field `${name}`", near_miss(name, list(cls.fields)))
        return cls(value)

    @classmethod
    def json_schema(cls) -> dict[str, Any]:
        """Text."""
        return {"anyOf": [{"const": "json"}, {"type": "string", "pattern": "\\$"}]}


class AuditFormat(LineFormat):
    """The same, with the fields of the audit log."""

    __slots__ = ()

    fields = NAMES
    example = "$event"


class Rotated(Options):
    """A file of lines, and what becomes of it when it has grown."""

    output: Annotated[str, doc("The file; opened anew on SIGUSR1.")]
    rotate_size: Annotated[
        ByteSize, doc("Move the file away when it is as large as that, and begin a new one; 0: at no size.")
    ] = ByteSize(0)
    rotate_every: Annotated[
        Duration,
        doc("Move it away so often, `1d` at midnight, `1h` at the full hour; 0: never. Without both, logrotate may."),
    ] = Duration(0)
    compress: Annotated[bool, doc("Compress what was moved away, with gzip.")] = True
    keep: Annotated[int, doc("So many old files are kept, the newest ones; 0: all.", minimum=0, maximum=100_000)] = 14
    keep_for: Annotated[Duration, doc("They are removed when they are as old as that; 0: never.")] = Duration(0)

    def check(self) -> Iterator[tuple[str, str]]:
        """What can't be rotated."""
        if not self.output:
            yield "output", "expected the path of a file"
        if 0 < self.rotate_size < 1000:
            yield "rotate_size", "expected 1 KB at least"
        if 0 < self.rotate_every < _LEAST_PERIOD:
            yield "rotate_every", "expected a minute at least"


class AccessLogOptions(Rotated):
    """A line for each session that has ended, in a file of its own."""

    format: Annotated[
        LineFormat,
        doc("`json` for one JSON object a line, or a format string: `$name` stands for a field (docs/logs.md)."),
    ] = LineFormat("json")
    sample: Annotated[
        float,
        doc("Which part of the sessions that ended well is written. All others always are.", minimum=0, maximum=1),
    ] = 1.0


class AuditLogOptions(Rotated):
    """Acts of administrators, who was not let in and why, and bans, in a file of its own."""

    format: Annotated[
        AuditFormat,
        doc("`json` for one JSON object a line, or a format string: `$name` stands for a field (docs/logs.md)."),
    ] = AuditFormat("json")
    successes: Annotated[
        bool, doc("Write also when a client has shown who he is: a line for each connection, unbounded.")
    ] = False
    rate: Annotated[
        int,
        doc(
            "So many events of a kind that strangers can cause are written in a second, by each process. "
            "How many were left out is written after that.",
            minimum=1,
            maximum=100_000,
        ),
    ] = 20


class LogOptions(Options):
    """The log."""

    disabled: Annotated[bool, doc("Write no log once everything is started.")] = False
    level: Annotated[
        Literal["trace", "debug", "info", "warn", "error", "fatal", "panic"], doc("The least that is written.")
    ] = "info"
    output: Annotated[str, doc("File to write to instead of standard error; opened anew on SIGUSR1.")] = ""
    timestamp: Annotated[bool, doc("Begin each line with the time. JSON lines always have it.")] = False
    format: Annotated[Literal["human", "json"], doc("Lines for people, or one JSON object a line.")] = "human"
    clients: Annotated[
        Literal["whole", "network", "hidden"],
        doc(
            "How much of clients' addresses is written in the lines about sessions: all, the network (24 bits of IPv4, "
            "48 of IPv6), or nothing. Not in sing-box."
        ),
    ] = "whole"
    access: Annotated[
        AccessLogOptions | None, doc("An access log in a file of its own, whatever `level` is. Not in sing-box.")
    ] = None
    audit: Annotated[
        AuditLogOptions | None,
        doc("An audit log in a file of its own: who has ordered what, and who was not let in. Not in sing-box."),
    ] = None

    def check(self) -> Iterator[tuple[str, str]]:
        """Each file has one kind of lines."""
        if self.access is not None and self.audit is not None and self.access.output == self.audit.output:
            yield "audit.output", "the access log has the same file"
