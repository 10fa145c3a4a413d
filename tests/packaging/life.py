"""What tests of both inits do in a box: clients, a web server to reach, and edits of the configuration."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Iterator

from tests.packaging.box import Box, wait_for

CONFIG = "/etc/gproxy/config.toml"
PORT = 1080
ORIGIN = "http://127.0.0.1:8000/hello"
GREETING = "hello from the origin\n"

# Fetches through the proxy, one connection after the other, until it gets SIGTERM; prints what became of them.
LOAD = """
import json, signal, socket, sys, time
going = True
def stop(*_):
    global going
    going = False
signal.signal(signal.SIGTERM, stop)
good, bad = 0, []
print("going", flush=True)
while going:
    try:
        with socket.create_connection(("127.0.0.1", 1080), timeout=60) as client:
            client.sendall(b"GET http://127.0.0.1:8000/hello HTTP/1.0\\r\\nHost: 127.0.0.1:8000\\r\\n\\r\\n")
            answer = b""
            while data := client.recv(65536):
                answer += data
        if not answer.endswith(b"hello from the origin\\n"):
            raise OSError(f"answered {answer!r}")
        good += 1
    except OSError as error:
        bad.append(str(error))
    time.sleep(0.005)
print(json.dumps([good, bad]))
"""


@contextlib.contextmanager
def origin(box: Box) -> Iterator[None]:
    """A web server in the box."""
    box.write("/srv/www/hello", GREETING)
    with box.background("python3.11 -m http.server 8000 --bind 127.0.0.1 --directory /srv/www 2>/dev/null"):
        wait_for(lambda: box.try_(f"curl -sf {ORIGIN}").returncode == 0, 30, "the origin answers")
        yield


def fetch(box: Box, port: int = PORT) -> str:
    """What the origin says through the proxy; empty if nothing."""
    return box.try_(f"curl -sf --max-time 30 -x http://127.0.0.1:{port} {ORIGIN}").stdout


@contextlib.contextmanager
def load(box: Box, least: int) -> Iterator[None]:
    """Clients come all the while. Fails if any was not served, or fewer than `least` were."""
    box.write("/srv/load.py", LOAD)
    with box.background("python3.11 /srv/load.py") as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "going\n"
        yield
        box.run("pkill -TERM -f '^python3.11 /srv/load.py'")
        good, bad = json.loads(process.stdout.readline())
        assert bad == [], f"{len(bad)} clients of {good + len(bad)} were not served, the first: {bad[0]}"
        assert good >= least, f"only {good} clients came"


def edit(box: Box, old: str, new: str) -> None:
    """Edit the configuration."""
    text = box.read(CONFIG)
    assert old in text
    box.write(CONFIG, text.replace(old, new, 1))


@contextlib.contextmanager
def edited(box: Box, text: str) -> Iterator[None]:
    """Another configuration for a while."""
    before = box.read(CONFIG)
    box.write(CONFIG, text)
    try:
        yield
    finally:
        box.write(CONFIG, before)


def second_port(port: int) -> str:
    """One more inbound."""
    return f'\n[[inbounds]]\ntype = "mixed"\ntag = "port-{port}"\nlisten = "127.0.0.1"\nlisten_port = {port}\n'


def leftovers(box: Box) -> list[str]:
    """Every file whose name has to do with gproxy."""
    return box.run("find / -xdev -name '*gproxy*' -not -path '/srv/*' -not -path '/proc/*'").splitlines()
