from __future__ import annotations

import pytest

from gproxy.net.unix import unix_path


@pytest.mark.parametrize(
    ("text", "path"),
    [
        ("unix:/run/x.sock", "/run/x.sock"), ("unix:relative", "relative"), ("unix:@name", "\0name"),
        ("unix:" + "x" * 107, "x" * 107), ("127.0.0.1", None), ("", None), ("UNIX:/x", None), ("::1", None),
    ],
)  # fmt: skip
def test_names(text: str, path: str | None) -> None:
    assert unix_path(text) == path


@pytest.mark.parametrize("text", ["unix:", "unix:@", "unix:" + "x" * 108, "unix:" + "ü" * 54, "unix:/a\0b"])
def test_bad_names(text: str) -> None:
    with pytest.raises(ValueError):
        unix_path(text)
