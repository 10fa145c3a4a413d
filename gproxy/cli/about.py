"""`gproxy version` and `gproxy completion`."""

from __future__ import annotations

import click

from gproxy import __version__


@click.command()
@click.option("-n", "--name", "only", is_flag=True, help="Print the number alone.")
def version(only: bool) -> None:
    """Print the version."""
    if only:
        click.echo(__version__)
        return
    import platform
    from importlib.metadata import version as version_of

    click.echo(f"gproxy version {__version__}\n")
    click.echo(f"Python {platform.python_version()}, gevent {version_of('gevent')}")
    click.echo(f"{platform.system()} {platform.release()} {platform.machine()}")


@click.command()
@click.argument("shell", type=click.Choice(["bash", "zsh", "fish"]))
def completion(shell: str) -> None:
    r"""Print the completion script for a shell.

    \b
    bash: source <(gproxy completion bash)
    zsh:  source <(gproxy completion zsh)
    fish: gproxy completion fish | source
    """
    from click.shell_completion import get_completion_class

    from gproxy.cli.main import cli

    completing = get_completion_class(shell)
    assert completing is not None, "click knows the three shells"
    click.echo(completing(cli, {}, "gproxy", "_GPROXY_COMPLETE").source_template % _names())


def _names() -> dict[str, str]:
    return {"complete_func": "_gproxy_completion", "complete_var": "_GPROXY_COMPLETE", "prog_name": "gproxy"}
