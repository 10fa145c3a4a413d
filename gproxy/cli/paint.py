"""Colour for the report. What is not a terminal gets none: click strips it."""

from __future__ import annotations

import click


def paint_report(report: str) -> str:
    """The report with its heads bold, its carets red and its hints cyan."""
    return "\n".join(_paint(line) for line in report.split("\n"))


def _paint(line: str) -> str:
    gutter, bar, rest = line.partition("| ")
    if bar and gutter.strip() == "":
        return gutter + bar + click.style(rest, fg="red", bold=True)
    if bar and gutter.strip().isdigit():
        return line
    if line.startswith("      = "):
        return click.style(line, fg="cyan")
    return click.style(line, bold=True)
