"""The struct Geometry of kernels/convolution.cu: a convolution's sizes, and what divides by them."""

from __future__ import annotations

import math

__all__ = ["fast", "geometry", "table_of", "three"]


def three(values, fill) -> list:
    """A value for each of three axes; those that there are not come first."""
    return [fill] * (3 - len(values)) + list(values)


def geometry(x, y, window, attrs) -> list:
    """Batch, groups, channels and filters of a group, whether channels are last; then of three axes: the sizes of the
    input x and the output y, the window, strides, dilation, padding before. x, y: shapes."""
    last, groups = attrs["channels_last"], attrs["groups"]
    size, channels = (x[1:-1], x[-1]) if last else (x[2:], x[1])
    out, filters = (y[1:-1], y[-1]) if last else (y[2:], y[1])
    return [x[0], groups, channels // groups, filters // groups, int(last), *three(size, 1), *three(out, 1),
            *three(window, 1), *three(attrs["strides"], 1), *three(attrs["dilation"], 1),
            *three([p for p, _ in attrs["padding"]], 0)]


def fast(by) -> list:
    """The struct Fast: n // by is (high half of n * factor + n) >> shift, for n < 2**31."""
    shift = (by - 1).bit_length()
    factor = ((1 << 32) * ((1 << shift) - by)) // by + 1
    return [by, factor - (factor >> 31 << 32), shift]         # in 32 bits, with a sign


def table_of(numbers) -> list:
    """The whole struct: what `geometry` gives, and the divisions by these numbers."""
    _, groups, depth, each, _, *axes = numbers
    by = []
    for sizes in (axes[:3], axes[3:6], axes[6:9]):
        by += [math.prod(sizes), *sizes[1:]]
    by += [*axes[9:12], depth, each, depth * groups, each * groups]
    return [*numbers, *(n for divisor in by for n in fast(divisor))]
