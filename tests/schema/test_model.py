from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from typing import Annotated, ClassVar, Literal

import pytest

from gproxy.schema.fields import Duration, IPAddress, Mark, Port, Secret
from gproxy.schema.groups import Listen, NetworkChoice, User
from gproxy.schema.model import Options, Problem, doc, fields_of, holds, not_yet_of, read
from gproxy.schema.problem import Substituted


class Inner(Options):
    size: Annotated[int, doc("Size.", minimum=1, maximum=9)] = 1


class Outer(Options):
    not_yet: ClassVar[tuple[str, ...]] = ("later",)

    name: Annotated[str, doc("Name.")]
    count: int = 0
    ratio: float = 0.5
    on: bool = False
    mode: Literal["fast", "slow"] = "fast"
    version: Literal[1, 2] = 1
    inner: Inner = Inner()
    many: tuple[Inner, ...] = ()
    words: tuple[str, ...] = ()
    headers: dict[str, tuple[str, ...]] = dataclasses.field(default_factory=dict)
    either: str | Inner = ""
    address: IPAddress | None = None

    def check(self) -> Iterator[tuple[str, str]]:
        if self.count > self.version:
            yield "count", "more than `version`"


class Extended(Outer):
    not_yet: ClassVar[tuple[str, ...]] = ("much_later", "count")


def problems_of(model: type[Options], tree: object) -> list[tuple[object, str, str]]:
    problems: list[Problem] = []
    assert read(model, tree, ("at",), problems) is None
    return [(each.path[1:], each.message, each.hint) for each in problems]


def test_a_good_table_becomes_its_model():
    tree = {
        "name": "n", "count": 1, "ratio": 2, "on": True, "mode": "slow", "version": 2, "inner": {"size": 3},
        "many": [{"size": 4}, {}], "words": ["a", "b"], "headers": {"X": "1"}, "either": {"size": 2}, "address": "::1",
    }  # fmt: skip
    problems: list[Problem] = []
    found = read(Outer, tree, (), problems)
    assert problems == []
    assert found is not None
    assert found.many == (Inner(size=4), Inner())
    assert (found.ratio, found.headers, found.either) == (2.0, {"X": ("1",)}, Inner(size=2))


def test_a_bare_value_may_stand_for_a_list():
    problems: list[Problem] = []
    found = read(Outer, {"name": "", "words": "a", "many": {"size": 2}}, (), problems)
    assert found == Outer(name="", words=("a",), many=(Inner(size=2),))


def test_null_is_a_key_left_out():
    problems: list[Problem] = []
    assert read(Outer, {"name": "", "count": None, "inner": None}, (), problems) == Outer(name="")
    assert problems_of(Outer, {"name": None}) == [((), "`name` is missing", "Name.")]


def test_every_mistake_is_told_at_once():
    tree = {
        "coutn": 1, "ratio": "x", "on": 1, "mode": "fsat", "version": True, "inner": {"size": 10, "x": 1},
        "many": [{"size": "x"}, 5], "words": ["a", 1], "headers": {"X": 1}, "later": 1, "either": 5, "address": "x",
    }  # fmt: skip
    assert problems_of(Outer, tree) == [
        (("coutn",), "unknown key", "did you mean `count`?"),
        (("ratio",), "expected a number, got text", ""),
        (("on",), "expected true or false, got an integer", ""),
        (("mode",), "expected `fast` or `slow`", "did you mean `fast`?"),
        (("version",), "expected `1` or `2`, got true or false", ""),
        (("inner", "size"), "expected 1 to 9", ""),
        (("inner", "x"), "unknown key", ""),
        (("many", 0, "size"), "expected an integer, got text", ""),
        (("many", 1), "expected a table, got an integer", ""),
        (("words", 1), "expected text, got an integer", ""),
        (("headers", "X"), "expected text, got an integer", ""),
        (("later",), "not supported yet", ""),
        (("either",), "expected text, got an integer", ""),
        (("address",), "expected an IP address", ""),
        ((), "`name` is missing", "Name."),
    ]


def test_a_misspelt_key_is_not_missing_as_well():
    assert problems_of(Outer, {"nmae": "x"}) == [(("nmae",), "unknown key", "did you mean `name`?")]


def test_checks_between_fields_run_when_each_is_right():
    assert problems_of(Outer, {"name": "", "count": 5}) == [(("count",), "more than `version`", "")]
    assert [path for path, *_ in problems_of(Outer, {"name": 1, "count": 5})] == [("name",)]


@pytest.mark.parametrize("tree", [[], "x", 1, None])
def test_what_is_no_table_is_refused(tree):
    assert problems_of(Outer, tree)[0][1].startswith("expected a table, got")


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_numbers_are_finite(value):
    assert problems_of(Outer, {"name": "", "ratio": value})[0][1] == "expected a finite number"


def test_keys_for_later_are_those_of_all_bases_but_for_fields():
    assert not_yet_of(Extended) == {"later", "much_later"}


def test_one_variable_gives_numbers_and_booleans_too():
    tree = {"name": Substituted("5"), "count": Substituted("1"), "on": Substituted("true"), "version": Substituted("2")}
    assert read(Outer, tree, (), []) == Outer(name="5", count=1, on=True, version=2)
    assert problems_of(Outer, {"name": "", "count": Substituted("1x")})[0][1] == "expected an integer, got text"
    assert problems_of(Outer, {"name": "", "count": "1"})[0][1] == "expected an integer, got text"


def test_text_that_was_put_in_is_plain_text_afterwards():
    found = read(Outer, {"name": Substituted("x")}, (), [])
    assert found is not None
    assert type(found.name) is str


def test_models_are_frozen_and_take_keywords_only():
    with pytest.raises(dataclasses.FrozenInstanceError):
        Inner().size = 2  # type: ignore[misc]
    with pytest.raises(TypeError):
        Inner(1)  # type: ignore[misc]


def test_models_are_as_dataclasses_are():
    assert dataclasses.is_dataclass(Inner)
    one = Outer(name="x")
    assert one == Outer(name="x", count=0)
    assert hash(Inner()) == hash(Inner(size=Inner().size))
    assert one != Outer(name="y")
    assert Inner() != object()
    assert dataclasses.replace(one, name="y") == Outer(name="y")
    assert repr(Inner(size=5)).startswith("Inner(size=5")
    with pytest.raises(dataclasses.FrozenInstanceError):
        del Inner().size  # type: ignore[misc]
    with pytest.raises(TypeError, match="Outer: missing or unknown: name"):
        Outer()  # type: ignore[call-arg]
    with pytest.raises(TypeError, match="Outer: missing or unknown: colour, name"):
        Outer(colour="red")  # type: ignore[call-arg]


def test_the_default_of_a_field_is_that_of_the_first_base_in_order():
    """As dataclasses have it, which is not always where Python would look an attribute up."""

    class Base(Options):
        size: int = 1

    class Other(Base):
        size: int = 2

    class Third(Base):
        pass

    class Both(Third, Other):
        pass

    assert Both().size == next(each.default for each in dataclasses.fields(Both) if each.name == "size") == 1


def test_a_default_that_can_change_belongs_to_one_alone():
    class Holder(Options):
        things: dict[str, int] = dataclasses.field(default_factory=dict)

    assert Holder().things == {}
    assert Holder().things is not Holder().things


def test_one_holds_what_was_said_alone():
    """A rule has some ninety keys, and a configuration may have many thousand rules."""
    assert vars(Inner(size=5)) == {"size": 5}
    assert vars(Outer(name="x")) == {"name": "x", "headers": {}}


def test_one_may_complete_itself():
    class Usual(Options):
        port: int = 0

        def __post_init__(self) -> None:
            object.__setattr__(self, "port", self.port or 53)

    assert (Usual().port, Usual(port=5).port) == (53, 5)


def test_groups_combine_and_a_secret_is_hidden_in_the_model():
    class Combined(Listen, NetworkChoice):
        users: tuple[User, ...] = ()

    tree = {
        "type": "x", "listen_port": 1, "network": "tcp", "udp_timeout": "1m", "routing_mark": "0x10",
        "users": {"username": "u", "password": "hunter2"},
    }  # fmt: skip
    problems: list[Problem] = []
    found = read(Combined, tree, (), problems)
    assert problems == []
    assert found is not None
    assert (found.listen_port, found.network, found.udp_timeout) == (Port(1), ("tcp",), Duration(60))
    assert found.routing_mark == Mark(16)
    assert "hunter2" not in repr(found)
    assert holds(fields_of(User)["password"].kind, Secret)
    assert not holds(fields_of(User)["username"].kind, Secret)
    assert isinstance(found, NetworkChoice)
