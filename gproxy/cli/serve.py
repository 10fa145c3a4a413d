"""`gproxy run` and `gproxy check`."""

from __future__ import annotations

import click

from gproxy.cli.sources import Sources, pass_sources, source_options


@click.command()
@source_options
@pass_sources
def run(sources: Sources) -> None:
    """Serve until SIGTERM or SIGINT."""
    root = sources.root()
    if root.runtime.workers:
        from gproxy.proc import launch

        launch.become_master(sources.files, sources.directories, colour=sources.colour is not False)
    from gproxy.proc import solo

    solo.run(root, colour=sources.colour is not False)


@click.command()
@source_options
@pass_sources
def check(sources: Sources) -> None:
    """Check the configuration and say what it would listen on."""
    from gproxy.app.build import build
    from gproxy.config.advice import advice_text
    from gproxy.config.listening import listening
    from gproxy.config.root import read_root

    loaded = sources.load()
    root = read_root(loaded)

    build(root)
    if told := advice_text(loaded):
        click.echo(told, err=True)
    click.echo("OK")
    for index, inbound in enumerate(root.inbounds):
        name = f"{inbound.type} `{inbound.tag or index}`"
        places = ", ".join(each.text() for each in listening(inbound))
        click.echo(f"{name} would listen on {places}" if places else f"{name} would listen nowhere")
