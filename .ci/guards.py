"""A pytest plugin that watches what sanitizers cannot see: the arena, the one allocation for all arrays of a program.

Arrays never share memory, each is followed by guard bytes that must not change, and before every run the arena is
filled with NaN, so that a kernel that reads what nothing has written gives NaN.
"""

import numpy as np

from pyconv.backends import cpu
from pyconv.backends.cpu import buffers

GUARD = 256
_regions: list = []


def place(arrays, start=0):
    """As `pyconv.backends.cpu.buffers.place`, without reuse."""
    if not start:               # otherwise it goes on behind what was placed before
        _regions.clear()
    for array in arrays:
        size = array.block_bytes if array.place == buffers.LOCAL else array.nbytes
        end = -(-(size + buffers.SLACK + GUARD) // 64) * 64
        array.base = start
        _regions.append((start + size, start + end))
        start += end
    return start


class Guarded:
    """The executor's program, checked after every run."""

    def __init__(self, program, arena, regions):
        self.program, self.arena, self.regions = program, arena, regions

    def run(self, *args):
        self.arena[...] = 0xFF
        result = self.program.run(*args)
        for start, end in self.regions:
            changed = np.flatnonzero(self.arena[start:end] != 0xFF)
            assert not changed.size, f"a kernel wrote {changed[0]} bytes past the end of an array of its program"
        return result

    def __getattr__(self, name):
        return getattr(self.program, name)


def pytest_configure():
    buffers.place = place
    original = cpu.CPUProgram.__init__

    def init(self, *args):
        original(self, *args)
        # The arena is placed last; a program of constants alone has none.
        self.program = Guarded(self.program, self.arena, [r for r in _regions if r[1] <= self.arena.size])
    cpu.CPUProgram.__init__ = init
