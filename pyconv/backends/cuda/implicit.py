"""Convolutions as most layers have them (kernels/implicit.cu): which instance takes which shapes, and its grid."""

from __future__ import annotations

import math
from typing import NamedTuple

from .sums import PARTS, split

__all__ = ["Plan", "plan"]

FORWARD, INPUT, KERNEL = range(3)
ONE = (1, 1, 1, 1, 1, 0)        # an axis that there is not: size, output, window, stride, dilation, padding


class Plan(NamedTuple):
    """A launch: the kernel, its grid, the parts of the inner axis and their size."""

    kernel: str
    grid: tuple
    parts: int
    part_size: int


def tile(rows, columns) -> tuple:
    """Of a block: SM, SN, SK; of a thread: TM, TN."""
    if columns <= 16:
        return 128, 16, 16, 2, 4
    if columns <= 32:
        return 128, 32, 16, 4, 4
    if columns > 64 and rows >= 128 * 128:
        return 128, 128, 8, 8, 8
    return 64, 64, 16, 4, 4


def plan(mode, numbers, dtype) -> Plan | None:
    """How to compute a convolution, or None if this kernel does not. numbers: see `geometry.geometry`."""
    batch, groups, depth, each, last = numbers[:5]
    axes = list(zip(*(numbers[i:i + 3] for i in range(5, 23, 3)), strict=True))
    if dtype != "float32" or groups > 1 or not last or depth % 4 or each % 4:
        return None
    if all(a[2:] == ONE[2:] for a in axes):
        window = stride = 1
    else:
        _, _, window, stride, dilation, _ = axes[2]
        if axes[0] != ONE or axes[1][2:5] != (window, stride, dilation) or window not in (1, 3, 5, 7) \
                or stride not in (1, 2) or dilation != 1 or window == stride == 1:
            return None
    pixels = batch * math.prod(a[mode != INPUT] for a in axes)
    taps, columns = window**2, depth if mode == INPUT else each
    rows, inner = (taps * depth, pixels) if mode == KERNEL else (pixels, taps * (each if mode == INPUT else depth))
    sm, sn, sk, *own = tile(rows, columns)
    if mode != KERNEL and (each if mode == INPUT else depth) % sk:
        return None
    blocks = -(-rows // sm), -(-columns // sn)
    parts, size = split(inner, 2 * PARTS // math.prod(blocks) if mode == KERNEL else 1, 16 * sk)
    constants = ", ".join(map(str, (window, stride, sm, sn, sk, *own)))
    return Plan(f"implicit<{('FORWARD', 'INPUT', 'KERNEL')[mode]}, {constants}>", (*blocks, parts), parts, size)
