from __future__ import annotations

import json
import os
import re
from dataclasses import fields
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest

from gproxy.base.address import Address
from gproxy.observe.events import EVENTS, FIELDS, NAMES, Event, liner

AT = 1_800_000_000.25
SOURCE = Address.parse("192.0.2.7:40000")
FULL = Event(
    "ban", "ok", "control", 1000, 4711, SOURCE, 17, "in", "api", "ada", "192.0.2.7", 59.99, 2, "auth", 3, 5,
    "192.0.2.7 has\nguessed",
)  # fmt: skip


def entry(event: Event, clients: Any = "whole") -> dict[str, Any]:
    values: dict[str, Any] = json.loads(liner("json", clients)(event, AT))
    assert datetime.fromisoformat(values.pop("time")).timestamp() == AT
    assert values.pop("pid") == os.getpid()
    return values


def test_the_least_that_a_line_tells() -> None:
    assert entry(Event("stop")) == {"event": "stop"}


def test_all_that_a_line_tells() -> None:
    line = liner("json", "whole")(FULL, AT)
    assert list(json.loads(line)) == list(FIELDS) == ["time", "pid", *(field.name for field in fields(Event))]
    full = entry(Event(**{**{each.name: getattr(FULL, each.name) for each in fields(Event)}, "detail": "why"}))
    assert full == {
        "event": "ban", "result": "ok", "by": "control", "uid": 1000, "caller": 4711, "source": "192.0.2.7:40000",
        "session": 17, "inbound": "in", "service": "api", "user": "ada", "prefix": "192.0.2.7", "seconds": 60,
        "times": 2, "reason": "auth", "generation": 3, "count": 5, "detail": "why",
    }  # fmt: skip


def test_what_is_nothing_is_not_left_out() -> None:
    assert entry(Event("ban-remove", uid=0, count=0)) == {"event": "ban-remove", "uid": 0, "count": 0}


def test_a_line_is_one_line() -> None:
    event = Event("auth-failure", user='a"\n\u2028\udc80', detail="first\nsecond")
    for form in ("json", "$user $detail"):
        assert len(liner(form, "whole")(event, AT).encode("utf-8", "backslashreplace").split(b"\n")) == 1
    line = liner("json", "whole")(event, AT).encode("utf-8", "backslashreplace")
    assert json.loads(line)["user"] == event.user
    assert json.loads(line)["detail"] == "first"
    assert liner("$user", "whole")(event, AT) == r"a\x22\x0A\xE2\x80\xA8\xED\xB2\x80"


def test_a_long_story_is_cut() -> None:
    assert len(entry(Event("reload", detail="x" * 10_000))["detail"]) == 300


def test_a_form_of_its_own() -> None:
    line = liner('$remote_addr $remote_user [$time_local] "$event" ${prefix}: $seconds % $msec', "whole")(FULL, AT)
    assert re.fullmatch(
        r'192\.0\.2\.7 ada \[15/Jan/2027:[0-9:]{8} [+-][0-9]{4}\] "ban" 192\.0\.2\.7: 60 % 1800000000\.250', line
    )
    assert liner("$remote_addr $source $uid $count", "whole")(Event("stop"), AT) == "- - - -"
    assert liner("$count", "whole")(Event("stop", count=0), AT) == "0"


def test_every_field_has_a_value() -> None:
    for name in NAMES:
        assert liner(f"${name}", "whole")(FULL, AT) != "-", name


def test_a_field_that_is_none() -> None:
    with pytest.raises(KeyError):
        liner("$nonsense", "whole")


@pytest.mark.parametrize(
    ("clients", "source", "prefix", "wide"),
    [("network", "192.0.2.0/24", "192.0.2.0/24", "10.0.0.0/8"), ("hidden", None, None, None)],
)
def test_clients_are_nobody_s_business(clients: Any, source: str, prefix: str, wide: str) -> None:
    shown = entry(FULL, clients)
    assert (shown.get("source"), shown.get("prefix"), shown.get("detail")) == (source, prefix, None)
    text = liner(" ".join(f"${name}" for name in NAMES), clients)(FULL, AT)
    for secret in ("192.0.2.7", "40000"):
        assert secret not in str(shown)
        assert secret not in text
    assert entry(Event("ban-add", prefix="10.0.0.0/8"), clients).get("prefix") == wide
    assert "prefix" not in entry(Event("ban-add", prefix="192.0.2.7 or so"), clients)
    told = entry(Event("auth-failure", source=SOURCE, detail="192.0.2.7 is wrong"), clients)["detail"]
    assert told == f"{source or '-'} is wrong"


def test_the_page_tells_them_all() -> None:
    page = Path("docs/logs.md").read_text("utf-8")
    for name, what in {**EVENTS, **NAMES}.items():
        assert f"| `{name}` | {what} |" in page, name
