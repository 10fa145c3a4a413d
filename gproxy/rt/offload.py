"""Calls that can't be made cooperative (getaddrinfo, disk, hashing a password) go to the hub's thread pool."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, ParamSpec, TypeVar

from gevent import get_hub
from gevent.threadpool import ThreadPool

P = ParamSpec("P")
T = TypeVar("T")

# A look-up that nobody answers keeps its thread for ten seconds and longer; an idle thread goes after half a minute.
_LOOKUPS = 64
_IDLE = 30

_lookups: ThreadPool | None = None


def offload(call: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs) -> T:
    """Run `call` in a native thread while other greenlets go on; its result or its exception comes back here.

    The call must not touch gevent. A hop costs about 50 microseconds.
    """
    return _run_in(get_hub().threadpool, call, args, kwargs)


def offload_lookup(call: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs) -> T:
    """As `offload`, for what may wait for a silent server: in threads of its own, so that it holds up nothing else."""
    global _lookups  # noqa: PLW0603 - made when it is first needed
    if _lookups is None:
        _lookups = ThreadPool(_LOOKUPS, idle_task_timeout=_IDLE)
    return _run_in(_lookups, call, args, kwargs)


def _run_in(pool: ThreadPool, call: Callable[..., T], args: Any, kwargs: Any) -> T:
    done: list[T]
    done, error = pool.apply(_capture, (call, args, kwargs))
    if error is not None:
        raise error
    return done[0]


def _capture(call: Callable[..., T], args: Any, kwargs: Any) -> tuple[list[T], Exception | None]:
    """An exception comes back as a value: the pool would print its trace before it passes it on."""
    try:
        return [call(*args, **kwargs)], None
    except Exception as error:  # noqa: BLE001 - it is raised again on the other side
        return [], error
