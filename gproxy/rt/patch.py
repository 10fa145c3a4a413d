"""The one call that makes the standard library cooperative.

Only the entry file calls it (`gproxy/__main__.py`), before it imports anything else. Importing any other module of
gproxy patches nothing. gproxy's own data path does not depend on the patch: it is there for the blocking calls inside
libraries.
"""

from __future__ import annotations


def patch() -> None:
    """Patch everything that gevent can, once."""
    from gevent import monkey

    if not monkey.is_module_patched("socket"):
        monkey.patch_all()
