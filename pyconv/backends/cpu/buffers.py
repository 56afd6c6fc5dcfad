"""Arrays inside a program: their layouts, and where they lie in memory."""

from __future__ import annotations

import bisect
import math
from typing import NamedTuple

from ...graph.dtypes import itemsize
from ...graph.variable import SLACK

FIXED, LOCAL, SLOT = 0, 1, 2
# Steps below this much estimated work (nanoseconds) are not worth being shared among many threads.
SERIAL = 3_000
CACHE = 1 << 20               # bytes of the second-level cache that a task may count on
NOWHERE = (0, 0, FIXED)       # the operand of an array that is not there: a null pointer


class Lanes(NamedTuple):
    """The layout [block][features][lane]: `lanes` samples side by side. The plain layout is written as None.

    order: the feature axes (0 is the axis after the batch), outermost first.
    """

    order: tuple
    lanes: int


class Rows(NamedTuple):
    """Plain arrays taken in blocks of some rows, that stay in the cache: `each` rows of `count`."""

    count: int
    each: int

    @property
    def blocks(self):
        return -(-self.count // self.each)


def strides(shape, layout) -> list[int]:
    """Elements from one index to the next, per axis; in the lanes layout for the axes after the batch."""
    if layout is None:
        out = [1] * len(shape)
        for axis in range(len(shape) - 1, 0, -1):
            out[axis - 1] = out[axis] * shape[axis]
        return out
    features, step = [0] * (len(shape) - 1), layout.lanes
    for axis in reversed(layout.order):
        features[axis] = step
        step *= shape[1 + axis]
    return features


class Buffer:
    """Memory for one array. `block_bytes` is set in the lanes layout: the bytes of a block of samples."""

    __slots__ = ("nbytes", "block_bytes", "blocks", "place", "base", "array", "first", "last", "order", "writers",
                 "readers", "shared", "slices", "used", "rows", "instead")

    def __init__(self, nbytes, blocks=0):
        self.blocks, self.used = blocks, nbytes      # used: what the values of a block take, before it is filled up
        self.block_bytes = -(-nbytes // 64) * 64 if blocks else 0
        self.nbytes = self.block_bytes * blocks if blocks else nbytes
        self.place, self.base, self.array = FIXED, None, None
        self.writers, self.readers = [], []
        self.shared = False       # read or written across blocks, or needed after the run
        self.slices = 1           # of a block; the memory is that of one slice
        self.rows = None          # Rows, if the plain array is written or read in blocks of rows
        self.instead = None       # the buffer whose place it takes as soon as that has been read

    @classmethod
    def of_array(cls, array):
        """The memory of an array that exists already."""
        self = cls(array.nbytes)
        self.array, self.base = array, array.ctypes.data
        return self

    @classmethod
    def for_tensor(cls, shape, dtype, layout):
        item = itemsize(dtype)
        if layout is None:
            return cls(math.prod(shape) * item)
        return cls(math.prod(shape[1:]) * layout.lanes * item, -(-shape[0] // layout.lanes))

    def at(self):
        """The operand of an instruction whose task is a block, or a slice of one.

        Kernels address all of a block; where only a slice has memory, its first byte is the slice's.
        """
        if self.slices > 1:
            return (self.base, -self.used // self.slices, self.place)
        return (self.base, self.block_bytes if self.place == FIXED else 0, self.place)

    def whole(self):
        """The operand of an instruction that finds its own way."""
        return (self.base, 0, self.place)

    def in_rows(self, rows) -> bool:
        """Take the array in such blocks, if it is not taken in others; returns whether it is."""
        if self.rows is None:
            self.rows, self.block_bytes = rows, self.nbytes // rows.count * rows.each
        return self.rows == rows

    def at_rows(self, rows):
        """The operand of an instruction whose task is a block of rows."""
        return (self.base, self.nbytes // rows.count * rows.each if self.place == FIXED else 0, self.place)

    @property
    def home(self):
        return self

    def part(self, k, n):
        """Number k of n equal ranges: of the outermost features of each block, or of a plain array."""
        return self if n == 1 else Part(self, k, n)


class Part:
    """A range of a buffer, where that is read or written."""

    def __init__(self, home, k, n):
        self.home, self.blocks = home, home.blocks
        self.nbytes, self.block_bytes = home.nbytes // n, home.block_bytes // n
        self.first = k * (home.used // n)

    def at(self):
        base, stride, place = self.home.at()
        return (base + self.first, stride, place)

    def whole(self):
        base, stride, place = self.home.whole()
        return (base + self.first, stride, place)


def place(buffers, start=0):
    """Offsets such that buffers alive at the same time do not overlap; returns the total size.

    `first` and `last` are the times of first and last use. Larger buffers go first, each to the lowest gap that
    fits: within a few percent of the optimum for the programs of networks.
    """
    placed, total = [], start
    for buffer in sorted(buffers, key=lambda b: -b.nbytes):
        size = buffer.block_bytes // buffer.slices if buffer.place == LOCAL else buffer.nbytes
        size = -(-(size + SLACK) // 64) * 64
        offset, first, last = start, buffer.first, buffer.last
        for at, end, since, until in placed:      # sorted by offset
            if since <= last and first <= until and end > offset:
                if at - offset >= size:
                    break
                offset = end
        buffer.base = offset
        total = max(total, offset + size)
        bisect.insort(placed, (offset, offset + size, first, last))
    return total
