"""The one call that makes the standard library cooperative.

Only the entry file calls it (`gproxy/__main__.py`), before it imports anything else. Importing any other module of
gproxy patches nothing. gproxy's own data path does not depend on the patch: it is there for the blocking calls inside
libraries.
"""

from __future__ import annotations

from typing import Any


def patch() -> None:
    """Patch everything that gevent can, once."""
    from gevent import events, monkey

    if not monkey.is_module_patched("socket"):
        # gevent would search every installed distribution for plug-ins of itself, once for each of 25 events. That is
        # three quarters of the time, and a proxy wants no strangers' code at this point.
        events.notify_and_call_entry_points = events.notify  # type: ignore[attr-defined]
        monkey.patch_all()


def original(module: str, name: str) -> Any:
    """The system's own `module.name`, patched or not: for a process that must not begin a hub."""
    from gevent import monkey

    return monkey.get_original(module, name)


def hub_exists() -> bool:
    """Whether anything of gevent has begun in this thread."""
    from gevent._hub_local import get_hub_if_exists

    return get_hub_if_exists() is not None


def begin_anew() -> None:
    """After a fork: forget what the parent's hub was, if it had one."""
    import gevent

    gevent.reinit()
