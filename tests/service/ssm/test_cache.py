from __future__ import annotations

import json
import os
import stat
from pathlib import Path
from typing import Any

import pytest

from gproxy.observe.books import NOTHING, Traffic
from gproxy.service import files
from gproxy.service.ssm import cache
from gproxy.service.ssm.cache import Saved

SAVED = {
    "/": Saved(
        {"ada": "key of ada", "bob": "key of bob"},
        {"ada": Traffic(1, 2, 3, 4, 5, 6), "bob": NOTHING},
        Traffic(10, 20, 30, 40, 50, 60),
    ),
    "/empty": Saved(),
}

# As sing-box 1.14 writes it.
THEIRS = """{
  "endpoints": {
    "/": {
      "global_uplink": 10,
      "global_downlink": 20,
      "global_uplink_packets": 30,
      "global_downlink_packets": 40,
      "global_tcp_sessions": 50,
      "global_udp_sessions": 60,
      "user_uplink": { "ada": 1 },
      "user_downlink": { "ada": 2 },
      "user_uplink_packets": { "ada": 3 },
      "user_downlink_packets": { "ada": 4 },
      "user_tcp_sessions": { "ada": 5 },
      "user_udp_sessions": { "ada": 6 },
      "users": { "ada": "key of ada", "bob": "key of bob" }
    }
  }
}
"""


def test_there_and_back(tmp_path: Path) -> None:
    path = tmp_path / "a" / "users.json"
    files.write(path, cache.encode(SAVED))
    assert cache.read(path) == SAVED
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert os.listdir(path.parent) == ["users.json"]


def test_sing_box_s_file(tmp_path: Path) -> None:
    path = tmp_path / "cache.json"
    path.write_text(THEIRS)
    assert cache.read(path) == {"/": SAVED["/"]}
    assert json.loads(cache.encode({"/": SAVED["/"]})) == json.loads(THEIRS)


def test_what_past_users_have_moved() -> None:
    assert SAVED["/"].past() == Traffic(9, 18, 27, 36, 45, 54)
    assert Saved({"a": "k"}, {"a": Traffic(up=5)}, Traffic(up=3)).past() == NOTHING, "a sum that is too small"


def test_no_file_and_an_empty_one(tmp_path: Path) -> None:
    assert cache.read(tmp_path / "none") == {}
    (tmp_path / "empty").touch()
    assert cache.read(tmp_path / "empty") == {}


@pytest.mark.parametrize(
    "document",
    [
        "{", "[]", "5", '"x"', "\ud800"[:0] + "nonsense", "[" * 100000,
        {"endpoints": []}, {"endpoints": {"/": 5}}, {"endpoints": {"/": {"users": []}}},
        {"endpoints": {"/": {"users": {"ada": 5}}}}, {"endpoints": {"/": {"user_uplink": {"ada": "x"}}}},
        {"endpoints": {"/": {"user_uplink": {"ada": -1}}}}, {"endpoints": {"/": {"global_uplink": True}}},
        {"endpoints": {"/": {"global_uplink": 1.5}}},
    ],
    ids=range(14),
)  # fmt: skip
def test_what_is_no_such_file(document: Any, tmp_path: Path) -> None:
    path = tmp_path / "users.json"
    path.write_text(document if isinstance(document, str) else json.dumps(document))
    with pytest.raises(ValueError):
        cache.read(path)


def test_a_damaged_one_is_kept(tmp_path: Path) -> None:
    path = tmp_path / "users.json"
    path.write_text("{")
    assert cache.put_aside(path).read_text() == "{"
    assert os.listdir(tmp_path) == ["users.json.damaged"]
