from __future__ import annotations

import pytest

from gproxy.wire.http1.location import Location


@pytest.mark.parametrize("url", ["ftp://x/", "http://", "x", "http://a b/", "http://x:99999/", "http://x/\x7fä"])
def test_what_is_no_location(url: str) -> None:
    with pytest.raises(ValueError):
        Location.parse(url)


def test_locations() -> None:
    location = Location.parse("https://user:pw@Example.org/a?b=c#d")
    assert location.secure
    assert str(location.address) == "example.org:443"
    assert (location.authority, location.target) == ("Example.org", "/a?b=c")
    assert str(Location.parse("http://[::1]:8080").address) == "[::1]:8080"
    assert Location.parse("http://bücher.test/").authority == "xn--bcher-kva.test"
