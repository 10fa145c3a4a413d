"""What a template is started with. Standard library only."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, field


@dataclass(frozen=True, slots=True)
class Sources:
    """Where the configuration comes from, as the command line named it: -c, -C and -D."""

    files: list[str] = field(default_factory=list)
    directories: list[str] = field(default_factory=list)
    base: str = ""

    def to_json(self) -> str:
        """One line."""
        return json.dumps(asdict(self))

    @classmethod
    def from_json(cls, text: str) -> Sources:
        """Raises ValueError or TypeError for anything else than `to_json` makes."""
        return cls(**json.loads(text))


@dataclass(frozen=True, slots=True)
class Arguments:
    """The only argument of a template: the sources, and descriptors.

    They are of the channel to its master, and of the memory that all generations share (see gproxy.limit.memory; -1
    when a master without one has started it).
    """

    sources: Sources
    channel: int
    memory: int = -1

    def to_json(self) -> str:
        """One line."""
        return json.dumps(asdict(self))

    @classmethod
    def from_json(cls, text: str) -> Arguments:
        """Raises ValueError, KeyError or TypeError for anything else than `to_json` makes."""
        values = json.loads(text)
        return cls(Sources(**values["sources"]), values["channel"], values.get("memory", -1))
