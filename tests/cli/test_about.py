from __future__ import annotations

import os
import shutil
import subprocess

import pytest

from gproxy import __version__
from gproxy.cli.main import main


def test_version(capsys):
    assert main(["version", "-n"]) == 0
    assert capsys.readouterr().out == f"{__version__}\n"
    assert main(["version"]) == 0
    assert capsys.readouterr().out.startswith(f"gproxy version {__version__}\n")


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_completion_scripts(shell, capsys):
    assert main(["completion", shell]) == 0
    script = capsys.readouterr().out
    assert "_GPROXY_COMPLETE" in script
    assert "%(" not in script
    if shutil.which(shell):
        subprocess.run([shell, "-n"], input=script.encode(), check=True)


def test_the_shell_is_told_the_commands(monkeypatch, capsys):
    monkeypatch.setitem(os.environ, "_GPROXY_COMPLETE", "bash_complete")
    monkeypatch.setitem(os.environ, "COMP_WORDS", "gproxy che")
    monkeypatch.setitem(os.environ, "COMP_CWORD", "1")
    with pytest.raises(SystemExit) as caught:  # click answers the shell and ends by itself
        main([])
    assert caught.value.code == 0
    assert capsys.readouterr().out == "plain,check\n"
