from __future__ import annotations

import subprocess
import sys


def test_a_process_has_the_name_it_was_given() -> None:
    code = (
        "from pathlib import Path; from gproxy.proc.title import call_process;"
        "call_process('gproxy: a name that is too long'); print(Path('/proc/self/comm').read_text())"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "gproxy: a name"
