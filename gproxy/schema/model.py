"""Options: the models that a configuration is read into, one field after the other.

A model is a frozen dataclass that inherits the groups of options it takes. Its annotations are the whole truth about
it: the reader below, the JSON schema and the manual are made from them. Reading goes on after a mistake, so that all
mistakes of a document are told at once.

Field types are str, int, float, bool, Literal, another Options, `tuple[T, ...]`, `dict[str, T]`, `T | None`, and any
type that has a `parse` (see `gproxy.schema.fields`). As in sing-box, wherever a list may stand, a single element may
stand too.
"""

from __future__ import annotations

import dataclasses
import math
import re
import types
from collections.abc import Callable, Iterator, Mapping
from typing import (
    Annotated,
    Any,
    ClassVar,
    Literal,
    NamedTuple,
    Protocol,
    TypeVar,
    Union,
    dataclass_transform,
    get_args,
    get_origin,
)
from typing import get_type_hints as hints_of

from gproxy.schema.problem import BadValue, KeyPath, Problem, Substituted, expected, kind_of, near_miss, nearest

__all__ = [
    "BadValue", "Chooser", "Doc", "Field", "KeyPath", "Options", "Problem", "doc", "fields_of", "holds", "not_yet_of",
    "read", "read_chosen", "retired_of",
]  # fmt: skip


@dataclasses.dataclass(frozen=True, slots=True, eq=False)
class Doc:
    """The text of the manual for a field, and what its JSON schema says beyond its type."""

    text: str
    schema: Mapping[str, Any]


def doc(text: str, **schema: object) -> Doc:
    """Describe a field. JSON schema's `minimum` and `maximum` are also held when a configuration is read."""
    return Doc(text, schema)


class _Shape(NamedTuple):
    """The fields of a model, by name."""

    names: frozenset[str]
    required: frozenset[str]
    made: tuple[tuple[str, Callable[[], Any]], ...]  # those whose default is another one each time
    compared: tuple[str, ...]
    shown: tuple[str, ...]

    @classmethod
    def of(cls, model: type[Any]) -> _Shape:
        """Looks at a dataclass, and sees to it that its defaults are its attributes, also where a base has others."""
        fields = dataclasses.fields(model)
        required, made = [], []
        for field in fields:
            if field.default_factory is not dataclasses.MISSING:
                made.append((field.name, field.default_factory))
            elif field.default is dataclasses.MISSING:
                required.append(field.name)
            elif getattr(model, field.name) is not field.default:
                setattr(model, field.name, field.default)
        return cls(
            frozenset([field.name for field in fields]),
            frozenset(required),
            tuple(made),
            tuple([field.name for field in fields if field.compare]),
            tuple([field.name for field in fields if field.repr]),
        )


@dataclass_transform(frozen_default=True, kw_only_default=True, field_specifiers=(dataclasses.field,))
class Options:
    """A table of a configuration. Unknown keys are refused; the `not_yet` keys of all its bases are refused by name."""

    not_yet: ClassVar[tuple[str, ...]] = ()
    retired: ClassVar[Mapping[str, str]] = {}
    """Keys that sing-box had, each with what has taken its place; those of all bases are refused, and that is told."""

    _shape: ClassVar[_Shape]

    def __init_subclass__(cls) -> None:
        # What dataclass would write for each model is done here for all: there are many of them, and compiling all that
        # took a quarter of every start.
        dataclasses.dataclass(init=False, repr=False, eq=False, kw_only=True, match_args=False)(cls)
        cls._shape = _Shape.of(cls)

    def __init__(self, **values: Any) -> None:
        """What is not said is the model's own: many rules of many keys, most of them unsaid, shall not fill memory.

        Raises TypeError.
        """
        shape = self._shape
        if not shape.required <= values.keys() or not values.keys() <= shape.names:
            wrong = sorted((shape.required - values.keys()) | (values.keys() - shape.names))
            raise TypeError(f"{type(self).__qualname__}: missing or unknown: {', '.join(wrong)}")
        own = self.__dict__
        for name, make in shape.made:
            own[name] = make()
        own.update(values)
        self.__post_init__()

    def __post_init__(self) -> None:
        """For models that complete themselves, by object.__setattr__."""

    def __setattr__(self, name: str, value: object) -> None:
        raise dataclasses.FrozenInstanceError(f"cannot assign to field {name!r}")

    def __delattr__(self, name: str) -> None:
        raise dataclasses.FrozenInstanceError(f"cannot delete field {name!r}")

    def __eq__(self, other: object) -> bool:
        if other.__class__ is not self.__class__:
            return NotImplemented
        return self._compared() == other._compared()

    def __hash__(self) -> int:
        return hash(self._compared())

    def _compared(self) -> tuple[Any, ...]:
        return tuple([getattr(self, name) for name in self._shape.compared])

    def __repr__(self) -> str:
        shown = ", ".join(f"{name}={getattr(self, name)!r}" for name in self._shape.shown)
        return f"{type(self).__qualname__}({shown})"

    def check(self) -> Iterator[tuple[str, str]]:
        """What is wrong between the fields: pairs of a key and a message. Called when each field by itself is right."""
        return iter(())

    @classmethod
    def model_for(cls, tree: Mapping[str, Any], at: KeyPath, problems: list[Problem]) -> type[Options] | None:
        """The model that reads this table: another one where a key such as `type` decides; None when none can."""
        return cls

    @classmethod
    def variants(cls) -> Mapping[str, type[Options]]:
        """Where `model_for` decides: every model that it can choose, by the word that chooses it."""
        return {}


class Chooser(Protocol):
    """What an Annotated model carries where it is a family: `Annotated[Listen, ByType(INBOUNDS)]`."""

    def model_for(self, tree: Mapping[str, Any], at: KeyPath, problems: list[Problem]) -> type[Options] | None: ...

    def variants(self) -> Mapping[str, type[Options]]: ...


@dataclasses.dataclass(frozen=True, slots=True)
class Field:
    """One key of a table. `kind` is its type without the documentation."""

    name: str
    kind: Any
    doc: Doc
    required: bool
    default: Any


_NO_DOC = Doc("", {})
_WRONG: Any = object()
_UNQUOTED = "without quotes"
_O = TypeVar("_O", bound=Options)


_FIELDS: dict[type[Options], Mapping[str, Field]] = {}


def fields_of(model: type[Options]) -> Mapping[str, Field]:
    """The keys of a model, in the order in which they were declared."""
    if model not in _FIELDS:
        _FIELDS[model] = _declared_fields(model)
    return _FIELDS[model]


def _declared_fields(model: type[Options]) -> Mapping[str, Field]:
    kinds = hints_of(model, include_extras=True)
    return {each.name: _field(each, kinds[each.name]) for each in dataclasses.fields(model)}  # type: ignore[arg-type]


def _field(declared: dataclasses.Field[Any], kind: Any) -> Field:
    note = _NO_DOC
    if get_origin(kind) is Annotated:
        note = next((extra for extra in kind.__metadata__ if isinstance(extra, Doc)), _NO_DOC)
    default = declared.default
    if declared.default_factory is not dataclasses.MISSING:
        default = declared.default_factory()
    required = default is dataclasses.MISSING
    return Field(declared.name, kind, note, required, None if required else default)


def not_yet_of(model: type[Options]) -> frozenset[str]:
    """The keys that sing-box knows in this table and gproxy does not do yet."""
    named = {name for base in model.__mro__ for name in vars(base).get("not_yet", ())}
    return frozenset(named - fields_of(model).keys())


def retired_of(model: type[Options]) -> Mapping[str, str]:
    """The keys that sing-box had in this table, each with what has taken its place."""
    named = {name: hint for base in model.__mro__ for name, hint in vars(base).get("retired", {}).items()}
    return {name: hint for name, hint in named.items() if name not in fields_of(model)}


def holds(kind: Any, wanted: type) -> bool:
    """Whether a field of this kind is or contains a value of a certain type."""
    return kind is wanted or any(holds(part, wanted) for part in get_args(kind))


def read(model: type[_O], tree: object, at: KeyPath, problems: list[Problem]) -> _O | None:
    """Read a table into `model`, adding everything that is wrong to `problems`; None if anything is."""
    options: _O | None = read_chosen(model, tree, at, problems)
    return options


def read_chosen(chooser: Chooser, tree: object, at: KeyPath, problems: list[Problem]) -> Any:
    """Like `read`, with the model that the table asks for."""
    if not isinstance(tree, dict):
        problems.append(Problem(at, str(expected("a table", tree))))
        return None
    before = len(problems)
    chosen = chooser.model_for(tree, at, problems)
    if chosen is None:
        return None
    values = _read_fields(chosen, tree, at, problems)
    if len(problems) > before:
        return None
    options = chosen(**values)
    problems.extend(Problem((*at, key) if key else at, message) for key, message in options.check())
    return options if len(problems) == before else None


def _read_fields(model: type[Options], tree: Mapping[str, Any], at: KeyPath, problems: list[Problem]) -> dict[str, Any]:
    fields = fields_of(model)
    values, meant = {}, set()
    for key, value in tree.items():
        if key not in fields:
            meant.add(_refuse(model, key, at, problems))
        elif value is not None:  # a JSON null is a key that was left out, as in sing-box
            values[key] = _read_value(fields[key].kind, value, (*at, key), problems)
    for name, field in fields.items():
        if field.required and tree.get(name) is None and name not in meant:
            problems.append(Problem(at, f"`{name}` is missing", field.doc.text))
    return values


def _refuse(model: type[Options], key: str, at: KeyPath, problems: list[Problem]) -> str:
    """Complain about an unknown key; gives the key that was probably meant, which then is not missing as well."""
    if key in not_yet_of(model):
        problems.append(Problem((*at, key), "not supported yet", at_key=True, unread=True))
        return ""
    if (hint := retired_of(model).get(key)) is not None:
        problems.append(Problem((*at, key), "is no key any more", hint, at_key=True, unread=True))
        return ""
    meant = nearest(key, fields_of(model))
    hint = f"did you mean `{meant}`?" if meant else ""
    problems.append(Problem((*at, key), "unknown key", hint, at_key=True, unread=True))
    return meant


def _read_value(kind: Any, value: object, at: KeyPath, problems: list[Problem]) -> Any:
    """The value as `kind`, or _WRONG when `problems` has grown."""
    origin = get_origin(kind)
    if origin is tuple:
        return _read_list(get_args(kind)[0], value, at, problems)
    if origin is dict:
        return _read_mapping(get_args(kind)[1], value, at, problems)
    if origin is Union or origin is types.UnionType:
        return _read_value(_member(get_args(kind), value), value, at, problems)
    if origin is Annotated and hasattr(kind.__metadata__[0], "model_for"):
        return read_chosen(kind.__metadata__[0], value, at, problems)
    if origin is Annotated and not hasattr(kind.__metadata__[0], "parse"):
        result = _read_value(kind.__origin__, value, at, problems)
        return _within(kind.__metadata__, result, at, problems)
    if isinstance(kind, type) and issubclass(kind, Options):
        return read(kind, value, at, problems)
    try:
        return _read_scalar(kind, value)
    except BadValue as error:
        problems.append(Problem(at, str(error), error.hint))
        return _WRONG


def _read_list(kind: Any, value: object, at: KeyPath, problems: list[Problem]) -> tuple[Any, ...]:
    if not isinstance(value, list):
        if _is_table(kind) and not isinstance(value, dict):
            problems.append(Problem(at, str(expected("a list of tables", value))))
            return ()
        return (_read_value(kind, value, at, problems),)
    return tuple(_read_value(kind, element, (*at, index), problems) for index, element in enumerate(value))


def _is_table(kind: Any) -> bool:
    origin = kind.__origin__ if get_origin(kind) is Annotated else kind
    return isinstance(origin, type) and issubclass(origin, Options)


def _read_mapping(kind: Any, value: object, at: KeyPath, problems: list[Problem]) -> dict[str, Any]:
    if not isinstance(value, dict):
        problems.append(Problem(at, str(expected("a table", value))))
        return {}
    return {key: _read_value(kind, element, (*at, key), problems) for key, element in value.items()}


def _member(kinds: tuple[Any, ...], value: object) -> Any:
    """The member of a union that a value of this shape is meant for: tables go to a model, everything else does not."""
    real = [kind for kind in kinds if kind is not type(None)]
    tables = [kind for kind in real if isinstance(kind, type) and issubclass(kind, Options)]
    others = [kind for kind in real if kind not in tables]
    if tables and (isinstance(value, dict) or not others):
        return tables[0]
    fitting = [kind for kind in others if isinstance(kind, type) and type(value) is kind]
    return (fitting or others)[0]


def _within(notes: tuple[Any, ...], value: Any, at: KeyPath, problems: list[Problem]) -> Any:
    """Hold the limits that the documentation states."""
    for note in notes:
        if not isinstance(note, Doc) or not isinstance(value, int | float):
            continue
        low, high = note.schema.get("minimum", -math.inf), note.schema.get("maximum", math.inf)
        if not low <= value <= high:
            limits = f"{low} to {high}" if high != math.inf else f"at least {low}"
            problems.append(Problem(at, f"expected {limits}"))
            return _WRONG
    return value


def _read_scalar(kind: Any, value: object) -> Any:
    if kind is str:
        if isinstance(value, str):
            return str(value)
        raise expected("text", value)
    if kind is bool:
        return _read_bool(value)
    if kind is int:
        return read_integer(value)
    if kind is float:
        return _read_number(value)
    if get_origin(kind) is Literal:
        return _read_choice(get_args(kind), value)
    parser = kind.__metadata__[0] if get_origin(kind) is Annotated else kind
    return parser.parse(value)


def _read_bool(value: object) -> bool:
    if isinstance(value, bool):
        return value
    is_text = isinstance(value, str) and value in {"true", "false"}
    if isinstance(value, Substituted) and is_text:
        return value == "true"
    raise expected("true or false", value, _UNQUOTED if is_text else "")


def read_integer(value: object, what: str = "an integer") -> int:
    """An integer, or the text of one if it is all that a variable gave. Raises BadValue."""
    if isinstance(value, int) and not isinstance(value, bool):
        return value
    is_number = isinstance(value, str) and re.fullmatch("-?[0-9]{1,19}", value) is not None
    if isinstance(value, Substituted) and is_number:
        return int(value)
    raise expected(what, value, _UNQUOTED if is_number else "")


def _read_number(value: object) -> float:
    if isinstance(value, float):
        if not math.isfinite(value):
            raise BadValue("expected a finite number")
        return value
    return float(read_integer(value, "a number"))


def _read_choice(choices: tuple[Any, ...], value: object) -> Any:
    for choice in choices:
        if value == choice and isinstance(value, bool) == isinstance(choice, bool):
            return choice
        if isinstance(value, Substituted) and value == str(choice):
            return choice
    listed = " or ".join(f"`{choice}`" for choice in choices) if len(choices) < 3 else _listed(choices)
    if not isinstance(value, str):
        hint = f'with quotes: "{value}"' if str(value) in choices else ""
        raise BadValue(f"expected {listed}, got {kind_of(value)}", hint)
    if value in map(str, choices):
        raise BadValue(f"expected {listed}, got text", _UNQUOTED)
    raise BadValue(f"expected {listed}", near_miss(value, [str(choice) for choice in choices]))


def _listed(choices: tuple[Any, ...]) -> str:
    return "one of " + ", ".join(f"`{choice}`" for choice in choices)
