"""What is known again after a restart: the cache file, as the assembly opens it."""

from __future__ import annotations

from ipaddress import IPv4Address
from pathlib import Path
from typing import Any

import pytest

from gproxy.app.names import Names
from gproxy.base.clock import now
from gproxy.base.errors import ConfigError
from gproxy.dns.shared import Shared
from gproxy.limit.memory import Memory
from tests.app.rooms import root_of
from tests.support.clock import HeldClock, held_clock

__all__ = ["held_clock"]

FAKES = {"type": "fakeip", "tag": "f", "inet4_range": "198.18.0.0/15"}
DNS = {"servers": [{"type": "local", "tag": "l"}, FAKES]}


def names(path: Path, **store: Any) -> Names:
    from gproxy.app.outbounds import build_ways
    from gproxy.app.plugins import Plugins

    root = root_of(
        dns=DNS, route={"default_domain_resolver": "l"},
        experimental={"cache_file": {"enabled": True, "path": str(path), **store}},
    )  # fmt: skip
    return build_ways(root, Plugins()).names


@pytest.mark.parametrize("kept", [True, False])
def test_what_addresses_stand_for(kept: bool, tmp_path: Path) -> None:
    path = tmp_path / "cache.db"
    (fakes,) = names(path, store_fakeip=kept).fakes()
    assert fakes.address_for("a.test", 4) == IPv4Address("198.18.0.2")
    (again,) = names(path, store_fakeip=kept).fakes()
    assert again.name_of(IPv4Address("198.18.0.2")) == ("a.test" if kept else "")


def test_another_id_is_another_file(tmp_path: Path) -> None:
    path = tmp_path / "cache.db"
    (fakes,) = names(path, store_fakeip=True, cache_id="one").fakes()
    fakes.address_for("a.test", 4)
    (other,) = names(path, store_fakeip=True, cache_id="two").fakes()
    assert other.name_of(IPv4Address("198.18.0.2")) == ""


def test_a_place_where_there_can_be_none(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(ConfigError, match="can't open the cache file"):
        names(tmp_path / "file" / "cache.db")


def test_answers_end_by_the_wall_clock(tmp_path: Path, held_clock: HeldClock) -> None:
    """The other clock begins anew with the machine."""
    path = tmp_path / "cache.db"
    Shared(16, Memory.at(path)).put(b"key", b"message", now() + 100, 300)
    found = Shared(16, Memory.at(path)).get(b"key")
    assert found is not None
    message, end, ttl = found
    assert (message, ttl) == (b"message", 300)
    assert end - now() == pytest.approx(100)
