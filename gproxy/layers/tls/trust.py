"""Whom outbounds believe: a store of authorities, one for all contexts that use it, kept as new as its files."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Sequence
from pathlib import Path

from OpenSSL import SSL

from gproxy.base.errors import ConfigError
from gproxy.layers.tls.bindings import share_store
from gproxy.layers.tls.context import add_authorities, text_of
from gproxy.layers.tls.watch import Watch
from gproxy.schema.tls import Authorities

_log = logging.getLogger("gproxy.layers.tls")


class Trust:
    """Authorities: the system's, or some of one's own, or both.

    A store of the system's has a megabyte and takes 20 ms to read, so outbounds share it.
    """

    def __init__(
        self,
        lines: Sequence[str] = (),
        files: Sequence[str] = (),
        directories: Sequence[str] = (),
        *,
        system: bool = False,
    ) -> None:
        """`lines` of PEM, `files` of PEM, and `directories` of such files. Raises ConfigError for what is not PEM."""
        self._lines = tuple(lines)
        self._files = tuple(files)
        self._directories = tuple(directories)
        self._system = system
        self._watch = Watch((*self._files, *self._directories))
        self._holder = self._read()
        self.turn = 0
        """Another number whenever the authorities are others."""

    @classmethod
    def of(cls, options: Authorities) -> Trust:
        """What a configuration's `certificate` table says. Raises ConfigError."""
        files, directories = options.certificate_path, options.certificate_directory_path
        return cls(options.certificate, files, directories, system=options.store == "system")

    def give(self, context: SSL.Context) -> int:
        """Let a context believe these authorities; the number of the turn."""
        share_store(self._holder, context)
        return self.turn

    def look(self) -> None:
        """Read the files again if they have changed. What can't be used is logged, and the old ones go on."""
        if not self._watch.changed():
            return
        try:
            self._holder = self._read()
        except ConfigError as error:
            _log.error("the new authorities can't be used, the old ones go on: %s", error)
            return
        self.turn += 1
        _log.info("the authorities were read again: %s", ", ".join((*self._files, *self._directories)))

    def _read(self) -> SSL.Context:
        holder = SSL.Context(SSL.TLS_CLIENT_METHOD)
        if self._system:
            holder.set_default_verify_paths()
        if self._lines:
            add_authorities(holder, "\n".join(self._lines).encode(), "certificate")
        for path in self._files:
            add_authorities(holder, text_of((), path, "certificate_path"), f"certificate_path: {path}")
        for path in self._directories:
            _add_all(holder, Path(path))
        return holder


def _add_all(holder: SSL.Context, directory: Path) -> None:
    """All certificates of a directory's files. Such a directory may hold other things, too."""
    try:
        paths = sorted(directory.iterdir())
    except OSError as error:
        _log.warning("no authorities come from %s: %s", directory, error.strerror)
        return
    for path in _unique(paths):
        try:
            add_authorities(holder, path.read_bytes(), str(path))
        except (OSError, ConfigError):
            _log.debug("no certificates in %s", path)


def _unique(paths: Iterable[Path]) -> Iterable[Path]:
    """Without links within the directory, such as those that are named by a hash."""
    return (path for path in paths if not (path.is_symlink() and path.readlink().parent == Path()))
