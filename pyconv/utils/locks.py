"""Locks that a forked child finds open.

A thread that holds a lock while another one forks does not exist in the child, where nobody would ever open it.
"""

from __future__ import annotations

import os
import threading
import weakref

__all__ = ["Lock", "RLock"]

_held_over: weakref.WeakSet = weakref.WeakSet()


class _ForkSafe:
    """A context manager around a lock of `threading`, made anew in a forked child.

    now: that lock itself, which is a quicker context manager; to be asked for again each time.
    """

    __slots__ = ("now", "__weakref__")
    _make = None

    def __init__(self):
        self.now = self._make()
        _held_over.add(self)

    def __enter__(self):
        self.now.acquire()

    def __exit__(self, *exc):
        self.now.release()


class Lock(_ForkSafe):
    _make = staticmethod(threading.Lock)


class RLock(_ForkSafe):
    _make = staticmethod(threading.RLock)


def _open_all():
    for lock in list(_held_over):
        lock.now = lock._make()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_open_all)
