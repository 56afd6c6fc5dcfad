"""Where the arrays of a program lie on the device."""

from __future__ import annotations

import math
from typing import NamedTuple

from ...graph.dtypes import itemsize

__all__ = ["Buffer", "Table", "View", "place", "strides"]

ALIGNMENT = 256
# Areas: the arena is planned; inputs, outputs and constants are kept apart, so that one copy moves each across the bus.
ARENA, INPUT, OUTPUT, CONSTANT, VARIABLE = range(5)


class Buffer:
    """Memory of one array. `offset`: bytes from the start of its area. `first`, `last`: launches that use it."""

    __slots__ = ("nbytes", "area", "offset", "first", "last", "variable")

    def __init__(self, nbytes, area=ARENA, offset=0, variable=None):
        self.nbytes, self.area, self.offset, self.variable = nbytes, area, offset, variable
        self.first = self.last = None

    @classmethod
    def of(cls, shape, dtype):
        return cls(math.prod(shape) * itemsize(dtype))


class View(NamedTuple):
    """A kernel's argument: a buffer as an array of `dtype`, of `shape` (None: flat), its last axes swapped or not."""

    buffer: Buffer
    dtype: str
    shape: tuple | None = None
    swapped: bool = False


class Table(NamedTuple):
    """A kernel's argument: an array of 64-bit numbers on the device, those that are views as their addresses."""

    entries: tuple


def aligned(nbytes) -> int:
    return -(-nbytes // ALIGNMENT) * ALIGNMENT


def strides(shape) -> list:
    """Elements from one index to the next, per axis, in C order."""
    out, step = [], 1
    for n in reversed(shape):
        out.insert(0, step)
        step *= n
    return out


def place(buffers) -> int:
    """Offsets such that buffers alive at the same time do not overlap; returns the total size.

    Larger buffers go first, each to the lowest gap that fits.
    """
    placed, total = [], 0
    for buffer in sorted(buffers, key=lambda b: -b.nbytes):
        size, offset = aligned(buffer.nbytes), 0
        for other, end in placed:           # in order of their offsets
            if other.first <= buffer.last and buffer.first <= other.last:
                if other.offset - offset >= size:
                    break
                offset = max(offset, end)
        buffer.offset = offset
        total = max(total, offset + size)
        placed.append((buffer, offset + size))
        placed.sort(key=lambda item: item[0].offset)
    return total
