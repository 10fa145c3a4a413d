"""Links to Shadowsocks servers: SIP002.

    ss://userinfo@host:port[/][?plugin=…][#tag]

`userinfo` is `method:password`, in base64url without padding, or with both halves percent-encoded; methods of the 2022
edition are written the second way only. `plugin` is the plugin's name, and behind a semicolon its options as SIP003 has
them, percent-encoded together. The tag is percent-encoded too, and a host of IPv6 stands in brackets.

What is read beyond that, because it is written: base64 of the other alphabet and with padding, in any method, and the
form from before SIP002, in which everything up to the tag is one piece of base64: `ss://base64(method:password@host:port)`.
"""

from __future__ import annotations

import base64
import binascii
import re
from dataclasses import dataclass
from typing import Any, Final
from urllib.parse import quote, unquote

from gproxy.base.address import Address

_SCHEME: Final = "ss://"
_PLAIN: Final = "2022-"  # methods that begin so are never written in base64
_BASE64 = re.compile(r"[A-Za-z0-9+/_-]*={0,2}")
_URL_SAFE = str.maketrans("+/", "-_")
_BAD_ESCAPE = re.compile(r"%(?![0-9A-Fa-f]{2})")

# SIP002's own example has the plugin's project where its program's name belongs.
_RENAMED: Final = {"simple-obfs": "obfs-local"}


class BadLink(ValueError):
    """A text that is no link. The message tells what is wrong, and quotes nothing: a password may be anywhere in it."""


@dataclass(frozen=True, slots=True)
class Link:
    """A Shadowsocks server, as far as a link can tell. `plugin_opts` is as SIP003 has it, with its backslashes."""

    method: str
    password: str
    server: str
    port: int
    plugin: str = ""
    plugin_opts: str = ""
    tag: str = ""

    def outbound(self) -> dict[str, Any]:
        """The table of an outbound, with sing-box's keys; those that are empty are left out."""
        named = {"tag": self.tag} if self.tag else {}
        plugin = {"plugin": self.plugin} if self.plugin else {}
        options = {"plugin_opts": self.plugin_opts} if self.plugin_opts else {}
        return {
            "type": "shadowsocks", **named, "server": self.server, "server_port": self.port, "method": self.method,
            "password": self.password, **plugin, **options,
        }  # fmt: skip


def read_link(text: str) -> Link:
    """Read a link. What its query says beside the plugin is ignored, as SIP002 demands. Raises BadLink."""
    text = text.strip()
    if text[: len(_SCHEME)].lower() != _SCHEME:
        raise BadLink("expected `ss://…`")
    body, _, tag = text[len(_SCHEME) :].partition("#")
    tag = _decoded(tag, "tag")
    if "@" not in body:
        return _read_old(body, tag)
    rest, _, query = body.partition("?")
    userinfo, _, place = rest.rpartition("@")
    method, password = _read_userinfo(userinfo)
    server, port = _read_place(place.removesuffix("/"))
    plugin, options = _read_plugin(query)
    return Link(method, password, server, port, plugin, options, tag)


def _read_old(body: str, tag: str) -> Link:
    userinfo, at, place = _unpacked(body.removesuffix("/")).rpartition("@")
    if not at:
        raise BadLink("there is no `@` between the password and the server, nor base64 that holds one")
    method, password = _halves(userinfo)
    server, port = _read_place(place)
    return Link(method, password, server, port, tag=tag)


def _read_userinfo(text: str) -> tuple[str, str]:
    if ":" not in text:
        return _halves(_unpacked(_decoded(text, "user information")))
    method, password = _halves(text)
    return _decoded(method, "method"), _decoded(password, "password")


def _halves(text: str) -> tuple[str, str]:
    method, colon, password = text.partition(":")
    if not colon or not method:
        raise BadLink("expected `method:password` before the server")
    return method, password


def _read_place(text: str) -> tuple[str, int]:
    if "/" in text:
        raise BadLink("there is a path behind the server")
    try:
        server = Address.parse(text)
    except ValueError:
        raise BadLink("expected `host:port` behind the `@`, an IPv6 address in brackets") from None
    if not server.port:
        raise BadLink("the server's port is 0")
    return str(server.host), server.port


def _read_plugin(query: str) -> tuple[str, str]:
    """The plugin's name and its options. A plus sign is one: this is no form."""
    given = [value for key, _, value in (part.partition("=") for part in query.split("&")) if key == "plugin"]
    if len(given) > 1:
        raise BadLink("`plugin` is given twice")
    text = _decoded(given[0], "plugin") if given else ""
    end = _end_of_name(text)
    name, options = re.sub(r"\\(.)", r"\1", text[:end], flags=re.DOTALL), text[end + 1 :]
    if options and not name:
        raise BadLink("the plugin has options, and no name")
    return _RENAMED.get(name, name), options


def _end_of_name(text: str) -> int:
    """Where the first semicolon stands that no backslash has taken the meaning from."""
    found = re.match(r"(?:\\.|[^;\\])*", text, re.DOTALL)
    assert found is not None, "it matches the empty text, too"
    if found.end() < len(text) and text[found.end()] == "\\":
        raise BadLink("nothing follows the last backslash of the plugin")
    return found.end()


def _decoded(text: str, what: str) -> str:
    if _BAD_ESCAPE.search(text):
        raise BadLink(f"the {what} has a `%` without two hexadecimal digits")
    try:
        return unquote(text, errors="strict")
    except UnicodeDecodeError:
        raise BadLink(f"the {what} is not UTF-8") from None


def _unpacked(text: str) -> str:
    """What a piece of base64 holds, of either alphabet, with padding or without."""
    if not _BASE64.fullmatch(text):
        raise BadLink("expected base64, or `method:password`, before the server")
    bare = text.rstrip("=").translate(_URL_SAFE)
    try:
        return base64.urlsafe_b64decode(bare + "=" * (-len(bare) % 4)).decode()
    except (binascii.Error, UnicodeDecodeError):
        raise BadLink("the base64 before the server holds no text") from None


def write_link(link: Link) -> str:
    """Write a link. It holds the password for everybody to read."""
    server = f"[{link.server}]" if ":" in link.server else link.server
    plugin = f"/?plugin={_encoded(_write_plugin(link))}" if link.plugin else ""
    tag = f"#{_encoded(link.tag)}" if link.tag else ""
    return f"{_SCHEME}{_write_userinfo(link)}@{server}:{link.port}{plugin}{tag}"


def _write_userinfo(link: Link) -> str:
    if link.method.startswith(_PLAIN):
        return f"{_encoded(link.method)}:{_encoded(link.password)}"
    return base64.urlsafe_b64encode(f"{link.method}:{link.password}".encode()).decode().rstrip("=")


def _write_plugin(link: Link) -> str:
    name = re.sub(r"[\\;=:]", r"\\\g<0>", link.plugin)
    return f"{name};{link.plugin_opts}" if link.plugin_opts else name


def _encoded(text: str) -> str:
    return quote(text, safe="")
