"""Where the configuration comes from: -c, -C and -D, which may stand before or after the command as in sing-box."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, TypeVar

import click

if TYPE_CHECKING:
    from gproxy.config.load import Loaded
    from gproxy.config.root import Root

_F = TypeVar("_F", bound=Callable[..., Any])


@dataclass
class Sources:
    """What the command line says about the configuration."""

    files: list[str] = field(default_factory=list)
    directories: list[str] = field(default_factory=list)
    base: str = ""
    colour: bool | None = None  # None: only where a terminal is

    def load(self) -> Loaded:
        """The merged document. Raises ConfigProblems."""
        from gproxy.config.load import load

        self.enter()
        return load(self.files, self.directories)

    def enter(self) -> None:
        """Go where relative paths begin. Raises ConfigProblems."""
        if self.base:
            from gproxy.config.load import ConfigProblems

            try:
                os.chdir(self.base)
            except OSError as error:
                raise ConfigProblems(f"{self.base}: {(error.strerror or '').lower()}") from None

    def root(self) -> Root:
        """The checked configuration. Raises ConfigProblems."""
        from gproxy.config.root import read_root

        return read_root(self.load())


def _keep(name: str) -> Callable[[click.Context, click.Parameter, Any], None]:
    def callback(context: click.Context, _: click.Parameter, value: Any) -> None:
        sources = context.ensure_object(Sources)
        if isinstance(value, tuple):
            getattr(sources, name).extend(value)
        elif value:
            setattr(sources, name, value)

    return callback


def _no_colour(context: click.Context, _: click.Parameter, value: bool) -> None:
    if value:
        context.ensure_object(Sources).colour = False


def place_options(command: _F) -> _F:
    """Add the options of commands that need no configuration. Their values are in the context's Sources."""
    for option in (
        click.option("--disable-color", is_flag=True, expose_value=False, callback=_no_colour, help="No colours."),
        click.option(
            "-D", "--directory", type=click.Path(), metavar="DIR", expose_value=False, callback=_keep("base"),
            help="Working directory: relative paths begin there.",
        ),
    ):  # fmt: skip
        command = option(command)
    return command


def source_options(command: _F) -> _F:
    """Add all options. Their values are in the context's Sources, not among the command's arguments."""
    path = click.Path()
    command = place_options(command)
    for option in (
        click.option(
            "-C", "--config-directory", type=path, metavar="DIR", multiple=True, expose_value=False,
            callback=_keep("directories"), help="Directory of configuration files, merged by name. Repeatable.",
        ),
        click.option(
            "-c", "--config", type=path, metavar="FILE", multiple=True, expose_value=False, callback=_keep("files"),
            help="Configuration file, .toml or .json; `stdin` or `-` reads standard input. Repeatable.",
        ),
    ):  # fmt: skip
        command = option(command)
    return command


pass_sources = click.make_pass_decorator(Sources, ensure=True)
