"""Ctrl-C between steps instead of inside one."""

from __future__ import annotations

import contextlib
import signal
import threading

__all__ = ["WholeSteps"]


class WholeSteps:
    """A context in which Ctrl-C waits for the end of the running step; a second Ctrl-C does not wait.

    A step changes weights, optimizer state and metrics together, so an interrupt inside of it could leave
    them at odds. Handlers other than Python's own are left alone, as are threads other than the main one,
    which get no signals.
    """

    def __init__(self):
        self.busy = self.pending = self.installed = False

    def __enter__(self):
        if threading.current_thread() is threading.main_thread() \
                and signal.getsignal(signal.SIGINT) is signal.default_int_handler:
            signal.signal(signal.SIGINT, self._handle)
            self.installed = True
        return self

    def __exit__(self, *exc):
        if self.installed:
            signal.signal(signal.SIGINT, signal.default_int_handler)
            self.installed = False

    def _handle(self, number, frame):
        if self.busy and not self.pending:
            self.pending = True
        else:
            raise KeyboardInterrupt

    @contextlib.contextmanager
    def opened(self):
        """Within a step, around code of the user's: Ctrl-C is raised there at once."""
        busy, self.busy = self.busy, False
        try:
            yield
        finally:
            self.busy = busy

    def run(self, step, item):
        """``step(item)``, as a whole; KeyboardInterrupt afterwards if there was one meanwhile."""
        self.busy = True
        try:
            result = step(item)
        finally:
            self.busy = False
        if self.pending:
            self.pending = False
            raise KeyboardInterrupt
        return result
