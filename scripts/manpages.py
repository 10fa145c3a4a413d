"""Writes gproxy(1) and gproxy.toml(5) into a folder, from the commands as click knows them and the options' models.

Run it with a Python that can import gproxy. The pages are built, never committed.
"""

from __future__ import annotations

import argparse
import os
import re
import types
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Any, Literal, Union, get_args, get_origin

import click

from gproxy import __version__
from gproxy.cli.main import cli
from gproxy.config.root import Root
from gproxy.schema.model import Options, fields_of, not_yet_of

FILES = (
    ("/etc/gproxy/config.toml", "What the service of the packages reads: see gproxy.toml(5)."),
    ("/etc/gproxy/NAME.toml", "What the service gproxy@NAME reads."),
    ("/etc/default/gproxy", "Variables for the configuration of the service."),
    ("/usr/share/gproxy/systemd", "Additions to the service: more rights for those who need them."),
)
EXIT = (
    ("0", "All is well."),
    ("1", "It did not work."),
    ("2", "The command line is wrong."),
    ("3", "The configuration is refused; the report says why."),
    ("130", "Interrupted."),
)
KINDS = {str: "text", bool: "true or false", int: "integer", float: "number"}


def main() -> None:
    """Write both pages."""
    parser = argparse.ArgumentParser(description="Write the manual pages gproxy(1) and gproxy.toml(5).")
    parser.add_argument("folder", type=Path)
    folder = parser.parse_args().folder
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "gproxy.1").write_text("\n".join(command_page()) + "\n", "utf-8")
    (folder / "gproxy.toml.5").write_text("\n".join(options_page()) + "\n", "utf-8")


# -- gproxy(1) ---------------------------------------------------------------------------------------------------------


def command_page() -> Iterator[str]:
    """The page of the command and of all its commands."""
    yield title("gproxy", 1, "User Commands")
    yield from section("NAME", "gproxy \\- universal proxy server")
    yield from section("SYNOPSIS", bold("gproxy") + " [" + italic("options") + "] " + italic("command"))
    yield from section("DESCRIPTION", prose(cli.help or ""))
    yield ".SH OPTIONS"
    yield from parameters(cli, click.Context(cli, info_name="gproxy"))
    yield ".SH COMMANDS"
    yield from commands(cli, click.Context(cli, info_name="gproxy"))
    yield ".SH EXIT STATUS"
    yield from items((bold(code), prose(text)) for code, text in EXIT)
    yield ".SH FILES"
    yield from items((italic(escape(path)), prose(text)) for path, text in FILES)
    yield from section("SEE ALSO", bold("gproxy.toml") + "(5)")


def commands(group: click.Group, context: click.Context) -> Iterator[str]:
    """Each command below a group, with its synopsis, its help and its options; groups are gone into."""
    for name in group.list_commands(context):
        command = group.get_command(context, name)
        if command is None or command.hidden:
            continue
        inner = click.Context(command, info_name=name, parent=context)
        if isinstance(command, click.Group):
            yield from commands(command, inner)
            continue
        yield f'.SS "{escape(inner.command_path)} {escape(" ".join(command.collect_usage_pieces(inner)))}"'
        yield prose(command.help or "")
        yield from parameters(command, inner)


def parameters(command: click.Command, context: click.Context) -> Iterator[str]:
    """The options of a command, but for those that every command has."""
    common = set() if command is cli else {each.name for each in cli.get_params(context)}
    chosen = [
        each for each in command.get_params(context) if isinstance(each, click.Option) and each.name not in common
    ]
    records = (each.get_help_record(context) for each in chosen)
    yield from items((bold(escape(record[0])), prose(record[1])) for record in records if record)


# -- gproxy.toml(5) ----------------------------------------------------------------------------------------------------


def options_page() -> Iterator[str]:
    """The page of the configuration: each table once, in the order in which they are met."""
    yield title("gproxy.toml", 5, "File Formats")
    yield from section("NAME", "gproxy.toml \\- configuration of gproxy")
    yield from section(
        "DESCRIPTION",
        prose(
            "TOML, or JSON with the same keys, which are sing-box's. Wherever a list may stand, a single element may "
            "stand too. ${NAME} in a text is a variable of the environment; ${NAME:-other} has a value for where it "
            "is not set. Unknown keys are refused. `gproxy check -c FILE` says what is wrong with a file."
        ),
    )
    tables: list[tuple[str, type[Options]]] = [("Top level", Root)]
    met = {Root}
    for heading, model in tables:  # grows while it is read
        yield f'.SH "{escape(heading.upper())}"'
        yield from options(model)
        for name, field in fields_of(model).items():
            for word, each in models(field.kind):
                if each not in met:
                    met.add(each)
                    path = [name] if model is Root else [heading, name]
                    tables.append((": ".join([*path, word] if word else path), each))
    yield from section("SEE ALSO", bold("gproxy") + "(1)")


def options(model: type[Options]) -> Iterator[str]:
    """The keys of a table."""
    for name, field in fields_of(model).items():
        fallback = "required" if field.required else default(field.default)
        kind = "; ".join(each for each in (words(field.kind), fallback) if each)
        yield from items([(bold(escape(name)) + (f" ({escape(kind)})" if kind else ""), prose(field.doc.text))])
    missing = sorted(not_yet_of(model))
    if missing:
        yield ".PP"
        yield prose(f"Known to sing-box and refused here: {', '.join(missing)}.")


def models(kind: Any) -> Iterator[tuple[str, type[Options]]]:
    """The tables that a field holds: pairs of the word that chooses one, empty where nothing is chosen, and a model."""
    if isinstance(kind, type) and issubclass(kind, Options):
        yield from kind.variants().items() or [("", kind)]
    elif get_origin(kind) is Annotated and hasattr(kind.__metadata__[0], "variants"):
        yield from kind.__metadata__[0].variants().items()
    else:
        for inner in get_args(kind):
            yield from models(inner)


def words(kind: Any) -> str:
    """A field's type in words."""
    origin, inner = get_origin(kind), get_args(kind)
    if origin is tuple:
        return "list of tables" if any(models(inner[0])) else f"list of {words(inner[0])}"
    if origin is dict:
        return f"table of {words(inner[1])}"
    if origin is Literal:
        return " | ".join(str(each) for each in inner)
    if origin is Union or origin is types.UnionType:
        return " or ".join(words(each) for each in inner if each is not type(None))
    if origin is Annotated:
        return words(inner[0])
    if isinstance(kind, type) and issubclass(kind, Options):
        return "table"
    return KINDS.get(kind) or re.sub(r"(?<=[a-z])(?=[A-Z])", " ", getattr(kind, "__name__", "text")).lower()


def default(value: Any) -> str:
    """What holds when the key is not there; empty if that is nothing."""
    if isinstance(value, Options) or value in (None, "", (), {}):
        return ""
    return f"default {str(value).lower() if isinstance(value, bool) else value}"


# -- roff --------------------------------------------------------------------------------------------------------------


def title(name: str, number: int, manual: str) -> str:
    """The head of a page. Its date is that of the release, where the build knows it."""
    when = os.environ.get("SOURCE_DATE_EPOCH")
    date = datetime.fromtimestamp(int(when), UTC).date().isoformat() if when else ""
    return f'.TH "{name.upper()}" "{number}" "{date}" "gproxy {__version__}" "{manual}"'


def section(name: str, text: str) -> Iterator[str]:
    """A heading with one text."""
    yield f".SH {name}"
    yield text


def items(pairs: Any) -> Iterator[str]:
    """A list of terms and what they mean."""
    for term, text in pairs:
        yield ".TP"
        yield term
        yield text or "\\&"


def prose(text: str) -> str:
    """Paragraphs of a docstring. Those behind click's \\b keep their lines."""
    done = []
    for paragraph in re.split(r"\n\s*\n", text.strip()):
        keep = "\b" in paragraph
        lines = [escape(line.strip()) for line in paragraph.replace("\b", "").strip().split("\n")]
        done.append("\n".join([".nf", *lines, ".fi"]) if keep else code(" ".join(lines)))
    return "\n.PP\n".join(done)


def code(text: str) -> str:
    """`words` in bold."""
    return re.sub(r"`([^`]+)`", r"\\fB\1\\fR", text)


def escape(text: str) -> str:
    """Text that roff would read as its own."""
    text = text.replace("\\", "\\e").replace("-", "\\-").replace("–", "\\(en").replace("…", "...").replace('"', "\\(dq")
    return f"\\&{text}" if text.startswith((".", "'")) else text


def bold(text: str) -> str:
    """In bold."""
    return f"\\fB{text}\\fR"


def italic(text: str) -> str:
    """In italics."""
    return f"\\fI{text}\\fR"


if __name__ == "__main__":
    main()
