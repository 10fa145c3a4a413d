from __future__ import annotations

import click

from gproxy.cli.paint import paint_report

REPORT = "c.toml:2:1: log.levle: unknown key\n    2 | levle = ***\n      | ^^^^^\n      = did you mean `level`?"


def test_paint_changes_colours_and_no_letter():
    painted = paint_report(REPORT)
    assert click.unstyle(painted) == REPORT
    head, source, caret, hint = painted.split("\n")
    assert source == "    2 | levle = ***"
    assert all(line.count("\x1b[") for line in (head, caret, hint))
