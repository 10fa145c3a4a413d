"""The one call that makes the standard library cooperative.

Only the entry file calls it (`gproxy/__main__.py`), before it imports anything else. Importing any other module of
gproxy patches nothing. gproxy's own data path does not depend on the patch: it is there for the blocking calls inside
libraries.
"""

from __future__ import annotations


def patch() -> None:
    """Patch everything that gevent can, once."""
    from gevent import events, monkey

    if not monkey.is_module_patched("socket"):
        # gevent would search every installed distribution for plug-ins of itself, once for each of 25 events. That is
        # three quarters of the time, and a proxy wants no strangers' code at this point.
        events.notify_and_call_entry_points = events.notify  # type: ignore[attr-defined]
        monkey.patch_all()
