"""`gproxy COMMAND`: which commands there are, and what their ends mean to the shell."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Sequence

import click

from gproxy.base.errors import GproxyError
from gproxy.cli.sources import Sources, source_options

OK, FAILED, USAGE, REFUSED, INTERRUPTED = 0, 1, 2, 3, 130
"""Exit codes: all is well; it did not work; the command line is wrong; the configuration is; Ctrl-C."""

_COMMANDS = {
    "run": "serve:run",
    "check": "serve:check",
    "format": "files:format_files",
    "merge": "files:merge_files",
    "schema": "files:schema",
    "generate": "generate:generate",
    "route": "route:route",
    "tools": "tools:tools",
    "dns": "dns:dns",
    "rule-set": "rule_set:rule_set",
    "geoip": "databases:geoip",
    "geosite": "databases:geosite",
    "status": "admin:status",
    "ban": "ban:ban",
    "debug": "debug:debug",
    "reload": "admin:reload",
    "upgrade": "admin:upgrade",
    "stop": "admin:stop",
    "version": "about:version",
    "completion": "about:completion",
}


class _Lazy(click.Group):
    """A group whose commands are imported when they are called: what runs for months loads nothing of the others."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(_COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in _COMMANDS:
            return None
        module, _, attribute = _COMMANDS[cmd_name].partition(":")
        command: click.Command = getattr(importlib.import_module(f"gproxy.cli.{module}"), attribute)
        return command


@click.group(cls=_Lazy, context_settings={"help_option_names": ["-h", "--help"]})
@source_options
def cli() -> None:
    """A universal proxy server.

    Without -c and -C, the configuration is config.toml or else config.json of the working directory.
    """


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a command line; gives the exit code. See docs/cli.md for what the codes mean."""
    sources = Sources()
    try:
        code = cli.main(arguments, prog_name="gproxy", standalone_mode=False, obj=sources)
    except click.ClickException as error:
        error.show()
        return USAGE
    except (click.Abort, KeyboardInterrupt):
        return INTERRUPTED
    except GproxyError as error:
        return _failed(error, sources)
    except BrokenPipeError:
        sys.stderr.close()  # or the interpreter complains of the pipe once more when it flushes
        return FAILED
    return code if isinstance(code, int) else OK


def _failed(error: GproxyError, sources: Sources) -> int:
    from gproxy.config.load import ConfigProblems

    if isinstance(error, ConfigProblems):
        from gproxy.cli.paint import paint_report

        text, code = paint_report(error.report), REFUSED
    else:
        text, code = f"gproxy: {error}", FAILED
    click.echo(text, err=True, color=sources.colour)
    return code
