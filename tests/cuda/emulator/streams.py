"""Streams and events of the stand-in for CuPy: what is put on a stream runs later, in the order of that stream alone.

`schedule` says when. "late": not before the host waits for it, or a stream that is waited for waits for its event.
"early": at once, unless it has to wait. "random": after each operation some of what may run does. Between them they
show what a missing wait does: a program without one gets other numbers under one of them.
"""

from __future__ import annotations

import random
import weakref
from collections import deque

log: list = []               # what happened: "H2D", "D2H", "D2D", "kernel", "matmul", "graph", "free"
schedule = "late"
generator = random.Random(0)
_streams = weakref.WeakSet()
devices = [0]                # those in use, the innermost last
_entered: list = []          # the streams in use, the innermost last


def current_device() -> int:
    return devices[-1]


class _Mark:
    """A place on a stream: an event stands for the last one that it recorded."""

    def __init__(self, stream):
        self.stream, self.done = stream, False


class Event:
    def __init__(self, block=False, disable_timing=False):
        self._mark = None

    def record(self, stream=None):
        (stream or get_current_stream()).record(self)

    def synchronize(self):
        if self._mark is not None:
            self._mark.stream._run_to(self._mark)


class Stream:
    def __init__(self, null=False, non_blocking=False):
        if not (null or non_blocking):
            raise ValueError("a stream that blocks is not modelled")
        self._recording, self._queue = None, deque()
        self._on = current_device()
        self.ptr = id(self)
        _streams.add(self)

    def _do(self, action):
        """Put an action, or the mark of an event to wait for, at the end."""
        if self._recording is not None:
            if isinstance(action, _Mark):
                raise RuntimeError("an event during capture")
            self._recording.append(action)
            return
        self._queue.append(action)
        if schedule == "early":
            while self._queue and self._step(force=False):
                pass
        elif schedule == "random":
            busy = sorted((s for s in _streams if s._queue), key=lambda s: s.ptr)
            for _ in range(generator.randrange(4)):
                if busy:
                    stream = generator.choice(busy)
                    if not stream._queue or not stream._step(force=False):
                        busy.remove(stream)

    def _step(self, force) -> bool:
        """Run the first action. Whether it could: without `force`, not if it waits for an event."""
        first = self._queue[0]
        if isinstance(first, _Mark):
            if first.stream is self:
                first.done = True
            elif not first.done:
                if not force:
                    return False
                first.stream._run_to(first)
            self._queue.popleft()
        else:
            self._queue.popleft()
            first()
        return True

    def _run_to(self, mark=None):
        """Run what is there, up to a mark."""
        while self._queue and not (mark is not None and mark.done):
            self._step(force=True)

    def __enter__(self):
        _entered.append(self)
        return self

    def __exit__(self, *error):
        _entered.pop()

    def record(self, event=None):
        event = event or Event()
        event._mark = _Mark(self)
        self._do(event._mark)
        return event

    def wait_event(self, event):
        if event._mark is not None and event._mark.stream is not self:
            self._do(event._mark)

    def synchronize(self):
        if self._recording is not None:
            raise RuntimeError("synchronization during capture")
        self._run_to()

    def begin_capture(self, mode=None):
        self._recording = []

    def end_capture(self):
        graph, self._recording = Graph(self._recording), None
        return graph


class Graph:
    def __init__(self, actions):
        self._actions = actions

    def launch(self, stream=None):
        def run():
            log.append("graph")
            for action in self._actions:
                action()
        (stream or get_current_stream())._do(run)


_null: dict = {}             # device -> its stream where none is in use


def get_current_stream(device_id=-1):
    device = current_device() if device_id < 0 else device_id
    for stream in reversed(_entered):
        if stream._on == device:
            return stream
    if device not in _null:
        _null[device] = Stream(null=True)
        _null[device]._on = device
    return _null[device]


def chosen(stream, device) -> Stream:
    """The stream of a copy: that which is given, or the current one; it must be the device's."""
    stream = stream or get_current_stream()
    if stream._on != device:
        raise RuntimeError(f"a copy of memory of device {device} on a stream of device {stream._on}")
    return stream
