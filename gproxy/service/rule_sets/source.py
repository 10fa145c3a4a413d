"""Where a rule set comes from, and what stands there now, made ready."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import Final
from urllib.parse import urlsplit

from gproxy.base.errors import ConfigError
from gproxy.route.headless import BadRuleSet
from gproxy.route.sets.options import (
    FiledRuleSet,
    Format,
    InlineRuleSet,
    LocalRuleSet,
    RemoteRuleSet,
    RuleSetOptions,
    named,
)
from gproxy.route.sets.packed import VERSION, in_memory, pack
from gproxy.route.sets.reading import Read, rules_in
from gproxy.service.rule_sets.download import MOST
from gproxy.service.rule_sets.store import Facts, Store

# What was made of less than this is made again when it is needed: that takes some milliseconds.
_KEPT: Final = 1 << 16


@dataclass(frozen=True, slots=True)
class Ready:
    """A set made ready: the descriptor of a memory file, which is the holder's to close, and what it was made from."""

    descriptor: int
    digest: str
    dropped: int = 0  # entries that have no place in rules, as far as that is known

    def close(self) -> None:
        """Let go of the descriptor."""
        os.close(self.descriptor)


@dataclass(frozen=True, slots=True)
class Source:
    """One rule set of a configuration."""

    tag: str
    options: RuleSetOptions
    store: Store

    def path(self) -> str:
        """The file that is watched; empty if there is none."""
        return named(self.options.path, self.tag) if isinstance(self.options, LocalRuleSet) else ""

    def url(self) -> str:
        """Where it is downloaded from; empty if it isn't."""
        return named(self.options.url, self.tag) if isinstance(self.options, RemoteRuleSet) else ""

    def facts(self) -> Facts:
        """What is known of the last download."""
        kept = self.store.downloaded(self.url(), MOST)
        return kept[1] if kept else Facts(self.url())

    def load(self) -> Ready | None:
        """What is there without asking anybody; None if that is nothing. Raises ConfigError."""
        options = self.options
        if isinstance(options, InlineRuleSet):
            digest = sha256(f"{VERSION} inline {options.rules!r}".encode()).hexdigest()
            large = len(options.rules) > 1 or len(repr(options.rules)) >= _KEPT
            return self._made(digest, lambda: Read(options.rules), large=large)
        if isinstance(options, LocalRuleSet):
            return self._of_file(self.path())
        assert isinstance(options, RemoteRuleSet)
        kept = self.store.downloaded(self.url(), MOST)
        if kept is not None:
            try:
                return self.made_of(kept[0])
            except BadRuleSet:  # of a newer version, perhaps, or written in another format than before
                self.store.forget(self.url())
        return self._of_file(named(options.initial_path, self.tag)) if options.initial_path else None

    def _of_file(self, path: str) -> Ready:
        try:
            return self.made_of(read_file(path))
        except OSError as error:
            raise ConfigError(f"rule set {self.tag}: {path}: {(error.strerror or str(error)).lower()}") from None
        except BadRuleSet as error:
            raise ConfigError(f"rule set {self.tag}: {path}: {error}") from None

    def made_of(self, data: bytes) -> Ready:
        """These bytes of a file, made ready. Raises BadRuleSet, and OSError when there is no memory for it."""
        assert isinstance(self.options, FiledRuleSet)
        form, codes = self.format(), self.options.code
        digest = sha256(f"{VERSION} {form} {codes} ".encode() + data).hexdigest()
        return self._made(digest, lambda: rules_in(data, form, codes), large=len(data) >= _KEPT)

    def format(self) -> Format:
        """How the rules of the file are written."""
        options = self.options
        assert isinstance(options, FiledRuleSet)
        form = options.told_by(options.path if isinstance(options, LocalRuleSet) else urlsplit(self.url()).path)
        assert form is not None, "the configuration has been checked"
        return form

    def _made(self, digest: str, read: Callable[[], Read], *, large: bool) -> Ready:
        if large and (descriptor := self.store.ready(digest)) is not None:
            return Ready(descriptor, digest)
        found = read()
        data = pack(found.rules)
        if large:
            self.store.keep_ready(digest, data)
        return Ready(in_memory(data), digest, found.dropped)


def read_file(path: str) -> bytes:
    """The bytes of a file. Raises OSError, and BadRuleSet for a file that is too large."""
    with Path(path).open("rb") as file:
        data = file.read(MOST + 1)
    if len(data) > MOST:
        raise BadRuleSet(f"more than {MOST >> 20} MiB")
    return data


def sources(options: Sequence[RuleSetOptions], store: Store) -> Iterator[Source]:
    """All rule sets: one for each tag."""
    return (Source(tag, each, store) for each in options for tag in each.tag)
