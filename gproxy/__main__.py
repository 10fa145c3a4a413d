"""`python -m gproxy`, and the console command: the standard library is patched before anything else is imported."""

from __future__ import annotations

import sys

from gproxy.rt.patch import patch


def main() -> None:
    """Run the command line."""
    patch()
    from gproxy.cli.main import main as command

    sys.exit(command())


if __name__ == "__main__":
    main()
