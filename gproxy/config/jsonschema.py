"""The JSON Schema (draft 2020-12) of the whole configuration, made from the models: editors complete with it."""

from __future__ import annotations

import types
from collections.abc import Mapping
from typing import Annotated, Any, Literal, Union, get_args, get_origin

from gproxy.config.root import Root
from gproxy.schema.model import Chooser, Options, fields_of

Schema = dict[str, Any]

_SCALARS: dict[Any, Schema] = {
    str: {"type": "string"},
    bool: {"type": "boolean"},
    int: {"type": "integer"},
    float: {"type": "number"},
}
# Where no text can stand, text that is one variable of the environment still can.
_VARIABLE: Schema = {"type": "string", "pattern": "^\\$\\{[A-Za-z_][A-Za-z0-9_]*(:-[^}]*)?\\}$"}


def json_schema() -> Schema:
    """The schema. Imports every room that the catalogue knows."""
    maker = _Maker()
    root = maker.table(Root)
    root["properties"]["$schema"] = {"type": "string", "description": "Where editors find this schema; not read."}
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "gproxy configuration",
        **root,
        "$defs": maker.definitions,
    }


class _Maker:
    """Makes schemas, and keeps those of the models by name, so that a model which holds itself comes to an end."""

    def __init__(self) -> None:
        self.definitions: dict[str, Schema] = {}

    def table(self, model: type[Options], word: str | None = None) -> Schema:
        """The object of a model; `word` is the value of `type` that chose it."""
        properties = {name: self.field(field.kind, field.doc.text) for name, field in fields_of(model).items()}
        required = [name for name, field in fields_of(model).items() if field.required]
        if word is not None and "type" in required:
            properties["type"] = {"description": properties["type"]["description"], "const": word}
        schema: Schema = {"type": "object", "properties": properties, "additionalProperties": False}
        if required:
            schema["required"] = required
        return schema

    def field(self, kind: Any, text: str) -> Schema:
        schema = self.kind(kind)
        return {"description": text, **schema} if text else schema

    def kind(self, kind: Any) -> Schema:
        """The schema of a field's type."""
        origin = get_origin(kind)
        if origin is tuple:
            element = self.kind(get_args(kind)[0])
            return {"anyOf": [{"type": "array", "items": element}, element]}
        if origin is dict:
            return {"type": "object", "additionalProperties": self.kind(get_args(kind)[1])}
        if origin is Union or origin is types.UnionType:
            return self.union(get_args(kind))
        if origin is Annotated:
            return self.annotated(kind)
        if isinstance(kind, type) and issubclass(kind, Options):
            return self.reference(kind, kind.__name__)
        return _with_variables(self.scalar(kind))

    def scalar(self, kind: Any) -> Schema:
        if kind in _SCALARS:
            return dict(_SCALARS[kind])
        if get_origin(kind) is Literal:
            return {"enum": list(get_args(kind))}
        schema: Schema = kind.json_schema()
        return schema

    def annotated(self, kind: Any) -> Schema:
        note = kind.__metadata__[0]
        if hasattr(note, "model_for"):
            return self.reference(note, note.name)
        if hasattr(note, "parse"):
            return _with_variables(note.json_schema())
        schema = self.kind(kind.__origin__)
        limits = getattr(note, "schema", {})
        for each in schema.get("anyOf", [schema]):
            if each.get("type") in {"integer", "number"}:
                each.update(limits)
        return schema

    def union(self, members: tuple[Any, ...]) -> Schema:
        schemas = [self.kind(member) for member in members if member is not type(None)]
        return schemas[0] if len(schemas) == 1 else {"anyOf": schemas}

    def reference(self, chooser: Chooser, name: str) -> Schema:
        """A pointer to a model's definition, which is made when it is first met."""
        variants = chooser.variants()
        if name not in self.definitions:
            self.definitions[name] = {}
            assert isinstance(chooser, type) or variants, "what is no model chooses among models"
            self.definitions[name] = self.one_of(variants) if variants else self.table(chooser)  # type: ignore[arg-type]
        return {"$ref": f"#/$defs/{name}"}

    def one_of(self, variants: Mapping[str, type[Options]]) -> Schema:
        return {"oneOf": [self.table(model, word) for word, model in variants.items()]}


def _with_variables(schema: Schema) -> Schema:
    """Add the text of a variable to what has no room for text."""
    kinds = schema.get("enum") or [each.get("type") for each in schema.get("anyOf", [schema])]
    if "string" in kinds or any(isinstance(kind, str) for kind in schema.get("enum", [])):
        return schema
    return {"anyOf": [schema, dict(_VARIABLE)]}
