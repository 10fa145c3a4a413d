"""The options of simple-obfs, read from a plugin's `key=value;…`."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any, Final, Literal

from gproxy.schema.fields import is_host
from gproxy.wire.http1.head import TOKEN
from gproxy.wire.sip003 import parse_options

Role = Literal["client", "server"]
Mode = Literal["http", "tls"]


@dataclass(frozen=True, slots=True)
class Obfs:
    """What simple-obfs is to do. In a server, an empty `host` or `method` takes every one."""

    mode: Mode = "http"
    host: str = ""
    target: str = "/"
    method: str = ""
    at_once: bool = False


_KNOWN: Final[Mapping[tuple[Role, Mode], tuple[str, ...]]] = {
    ("client", "http"): ("obfs", "obfs-host", "obfs-uri", "http-method"),
    ("client", "tls"): ("obfs", "obfs-host"),
    ("server", "http"): ("obfs", "obfs-host", "http-method", "reverse_proxy"),
    ("server", "tls"): ("obfs", "obfs-host"),
}

_MODES: Final[Mapping[str, Mode]] = {"http": "http", "tls": "tls"}

# What obfs-local seems to ask for when nobody says.
_HOST: Final = "cloudfront.net"


def read_obfs(text: str, role: Role) -> Obfs:
    """Read the options for one of the two halves. Raises ValueError, which quotes no value."""
    given: dict[str, str] = {}
    for key, value in parse_options(text):
        if key in given:
            raise ValueError(f"`{key}` is given twice")
        given[key] = value
    options = Obfs(mode=_mode(given.get("obfs", "http")), host=_HOST if role == "client" else "")
    known = _KNOWN[role, options.mode]
    for key, value in given.items():
        if key not in known:
            raise ValueError(f"`{key}` is of no use for obfs={options.mode} here: expected {', '.join(known)}")
        if key != "obfs":
            name, read = _READERS[key]
            options = replace(options, **{name: read(value)})
    return options


def _mode(value: str) -> Mode:
    if value not in _MODES:
        raise ValueError("expected `obfs=http` or `obfs=tls`")
    return _MODES[value]


def _host(value: str) -> str:
    if not value.isascii() or not is_host(value):
        raise ValueError("`obfs-host`: expected a domain or an IP address")
    return value


def _target(value: str) -> str:
    if not value.startswith("/") or not all("!" <= character <= "~" and character != "#" for character in value):
        raise ValueError("`obfs-uri`: expected a path that begins with `/`")
    return value


def _method(value: str) -> str:
    if not value.isascii() or not value or value.encode().translate(None, TOKEN):
        raise ValueError("`http-method`: expected a method of HTTP")
    return value


def _switch(value: str) -> bool:
    if value:
        raise ValueError("`reverse_proxy`: expected no value")
    return True


_READERS: Final[Mapping[str, tuple[str, Callable[[str], Any]]]] = {
    "obfs-host": ("host", _host),
    "obfs-uri": ("target", _target),
    "http-method": ("method", _method),
    "reverse_proxy": ("at_once", _switch),
}
