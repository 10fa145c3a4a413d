"""What sing-box calls experimental: here, what outlives gproxy."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated, ClassVar

from gproxy.schema.model import Options, doc


class CacheFileOptions(Options):
    """A file with what shall be known again after a restart."""

    not_yet: ClassVar[tuple[str, ...]] = ("store_rdrc", "rdrc_timeout")

    enabled: Annotated[bool, doc("Keep such a file.")] = False
    path: Annotated[str, doc("Its path; a relative one is below gproxy's state directory.")] = "cache.db"
    cache_id: Annotated[str, doc("Tells files of the same path apart: it is added to the path, after a `-`.")] = ""
    store_fakeip: Annotated[bool, doc("Keep which addresses stand for which names (DNS servers of type `fakeip`).")] = (
        False
    )
    store_dns: Annotated[bool, doc("Keep the answers of DNS servers. Not in sing-box.")] = False

    def check(self) -> Iterator[tuple[str, str]]:
        """The file has a name, and a use."""
        yield from super().check()
        if not self.path:
            yield "path", "expected a path"
        if "/" in self.cache_id:
            yield "cache_id", "expected no `/`"
        for key in ("store_fakeip", "store_dns"):
            if getattr(self, key) and not self.enabled:
                yield key, "has no effect without `enabled`"


class ExperimentalOptions(Options):
    """What outlives gproxy."""

    not_yet: ClassVar[tuple[str, ...]] = ("clash_api", "v2ray_api", "debug")

    cache_file: Annotated[CacheFileOptions, doc("A file with what shall be known again after a restart.")] = (
        CacheFileOptions()
    )
