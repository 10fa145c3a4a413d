from __future__ import annotations

from ipaddress import ip_address
from pathlib import Path
from typing import Any

import pytest

from gproxy.app.bans import build_bans
from gproxy.base.errors import AuthError
from gproxy.limit.memory import Memory
from tests.app.rooms import house_of, root_of

HOST = ip_address("192.0.2.1")


@pytest.fixture(autouse=True)
def state(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("STATE_DIRECTORY", str(tmp_path))
    return tmp_path


def built(memory: Memory, **options: Any) -> Any:
    return build_bans(root_of(bans=options), memory)


@pytest.mark.parametrize("tables", [{}, {"bans": {"enabled": False}}])
def test_nobody_is_banned_unless_asked_for(tables: dict[str, Any]) -> None:
    assert build_bans(root_of(**tables), Memory()) == (None, None)
    assert house_of(inbounds=[{"type": "socks", "listen_port": 1}], **tables).bans is None


def test_options_become_a_policy(state: Path) -> None:
    bans, _ = built(Memory(), tries=2, duration="5m", allow=["192.0.2.2"])
    for host in ("192.0.2.1", "192.0.2.2", "127.0.0.1"):
        for _ in range(2):
            bans.failed(ip_address(host), AuthError("wrong"))
    banned = {str(ban.network): ban.length for _, ban in bans.table.bans()}
    assert banned == {"192.0.2.1/32": 300.0, "127.0.0.1/32": 300.0}  # what is allowed replaces the usual


def test_whether_the_file_can_be_written_is_a_part_of_readiness(state: Path) -> None:
    metrics = {"type": "metrics", "listen": "127.0.0.1", "listen_port": 9}
    house = house_of(bans={}, services=[metrics], inbounds=[{"type": "socks", "listen_port": 1}])
    assert house.counting is not None
    assert house.counting.view.files == [str(state / "bans.json")]


def test_loopback_is_never_banned_unless_asked_for() -> None:
    bans, _ = built(Memory(), tries=1)
    bans.failed(ip_address("127.0.0.1"), AuthError("wrong"))
    assert ip_address("127.0.0.1") not in bans


@pytest.mark.parametrize("path", ["", "elsewhere/b.json"])
def test_what_was_kept_is_in_force_at_once_and_loaded_once(path: str, state: Path) -> None:
    where = {"path": str(state / path)} if path else {}
    bans, keeper = built(Memory(), tries=1, **where)
    bans.failed(HOST, AuthError("wrong"))
    keeper.look()
    assert (state / (path or "bans.json")).exists()
    memory = Memory()
    later, _ = built(memory, tries=1, **where)
    assert HOST in later
    later.table.remove(next(ban.network for _, ban in later.table.bans()))
    again, _ = built(memory, tries=1, **where)  # a reload: what is in memory is newer than the file
    assert HOST not in again
