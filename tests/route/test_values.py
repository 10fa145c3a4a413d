from __future__ import annotations

import pytest

from gproxy.route.values import AsNumber, Code, CodePoint, Mac, NetworkType, UserId, Weekday
from gproxy.schema.problem import BadValue


@pytest.mark.parametrize(
    ("kind", "value", "wanted"),
    [
        (Mac, "02:00:5E:10:00:0a", "02:00:5e:10:00:0a"),
        (Mac, "02-00-5e-10-00-0a", "02:00:5e:10:00:0a"),
        (Mac, "0200.5e10.000A", "02:00:5e:10:00:0a"),
        (Code, "DE", "de"),
        (Code, "example@ads", "example@ads"),
        (Code, "geolocation-!cn", "geolocation-!cn"),
        (AsNumber, 64500, 64500),
        (AsNumber, "AS64500", 64500),
        (AsNumber, "as64500", 64500),
        (AsNumber, "64500", 64500),
        (UserId, 0, 0),
        (UserId, 2**32 - 1, 2**32 - 1),
        (CodePoint, 46, 46),
        (CodePoint, "EF", 46),
        (CodePoint, "af41", 34),
        (CodePoint, "cs1", 8),
        (CodePoint, "le", 1),
        (Weekday, "mon", "mon"),
        (NetworkType, "wifi", "wifi"),
    ],
)
def test_good_values(kind, value, wanted) -> None:
    assert kind.parse(value) == wanted


@pytest.mark.parametrize(
    ("kind", "value"),
    [
        (Mac, "02:00:5e:10:00"), (Mac, "02:00:5e:10:00:0g"), (Mac, 7), (Mac, ""), (Mac, "02:00:5e:10:00:0a:0b"),
        (Code, ""), (Code, "a b"), (Code, 7), (Code, "../x"), (Code, "x" * 65),
        (AsNumber, 0), (AsNumber, 2**32), (AsNumber, "AS"), (AsNumber, "ASx"), (AsNumber, True), (AsNumber, -1),
        (UserId, -1), (UserId, 2**32), (UserId, "root"), (UserId, 1.5),
        (CodePoint, 64), (CodePoint, -1), (CodePoint, "af44"), (CodePoint, "46"), (CodePoint, None),
        (Weekday, "Monday"), (NetworkType, "5g"),
    ],
)  # fmt: skip
def test_bad_values(kind, value) -> None:
    with pytest.raises(BadValue, match="expected"):
        kind.parse(value)


@pytest.mark.parametrize("kind", [Mac, Code, AsNumber, UserId, CodePoint, Weekday, NetworkType])
def test_each_has_a_schema(kind) -> None:
    assert kind.json_schema()
