"""Depthwise convolution and its gradients (kernels/depthwise.cu): which instance takes which shapes, and its grid."""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np

from ...graph import is_half
from .elementwise import TYPES
from .geometry import fast, table_of
from .sums import PARTS, split

__all__ = ["Plan", "plan"]

FORWARD, INPUT, KERNEL = range(3)


class Plan(NamedTuple):
    """A launch: the kernel, its table, how many threads have work or the grid, numbers after the table, parts."""

    kernel: str
    table: list
    work: int | tuple
    numbers: tuple
    parts: int = 1


def tile(mode, window, stride, last, dtype) -> tuple:
    """(TY, TX, V): rows and columns of results of a thread, and channels where they are a multiple of V.

    The most that leaves NVRTC without spills: registers hold the window's weights, the results and a row of the source.
    """
    wide = 1 if dtype == "float64" else 2
    ky, sx = window[0], stride[1]
    if not last:
        rows = 1 if ky == 1 else 8 if ky == 3 and sx == 1 else 4
        return max(rows // 2, 1) if is_half(dtype) else rows, sx if mode == INPUT else 1, 1
    if ky == 1:
        return 1, 4, wide
    if ky == 5:
        return ((2, 4) if mode == KERNEL else (3, 2) if sx == 1 else (4, 2) if mode == INPUT else (2, 1)) + (1,)
    if mode != INPUT and sx == 2:
        return 2, 2, wide
    return (2, 4, wide) if mode == KERNEL else (4, 2, wide)


def plan(mode, numbers, dtype) -> Plan | None:
    """How to compute a depthwise convolution, or None if these kernels do not.

    numbers: see `geometry.geometry`.
    """
    batch, groups, depth, each, last = numbers[:5]
    size, out, window, stride, dilation, pad = (numbers[i:i + 3] for i in range(5, 23, 3))
    if depth != 1 or groups == 1 and each > 16:
        return None
    axes = list(zip(size, out, window, stride, dilation, pad, strict=True))
    one = (1, 1, 1, 1, 1, 0)
    square = axes[1][2:4] == axes[2][2:4] and window[2] in ((3,) if dtype == "float64" else (3, 5))
    if not (square and dilation[1] == 1 or axes[1] == one):
        if axes[0] != one:
            return None
        axes = [axes[1], one, axes[2]]          # rows by the first axis, which takes any window
    size, out, window, stride, dilation, pad = map(list, zip(*axes, strict=True))
    if window[2] not in (3, 5, 7) or stride[2] not in (1, 2) or dilation[2] != 1:
        return None
    filters = groups * each
    ty, tx, v = tile(mode, window[1:], stride[1:], last, dtype)
    v = v if each == 1 and groups % v == 0 else 1
    target = size if mode == INPUT else out
    before = [p % s if mode == INPUT else 0 for p, s in zip(pad, stride, strict=True)]
    patches = [target[0], -(-(target[1] + before[1]) // ty), -(-(target[2] + before[2]) // tx)]
    vectors = (groups if mode == INPUT else filters) // v
    table = table_of([batch, groups, depth, each, last, *size, *out, *window, *stride, *dilation, *pad])
    table += [n for by in (vectors, patches[2], patches[1], patches[0]) for n in fast(by)]
    constants = f"{str(bool(last)).lower()}, {window[1]}, {window[2]}, {stride[1]}, {stride[2]}, {ty}, {tx}, {v}"
    if mode != KERNEL:
        work = batch * math.prod(patches) * vectors
        return Plan(f"depthwise<{TYPES[dtype]}, {('FORWARD', 'INPUT')[mode]}, {constants}>", table, work, ())
    lanes = min(32, 1 << (vectors - 1).bit_length()) if last else 1
    blocks, count = -(-vectors // lanes) * window[0], batch * math.prod(patches)
    parts, each_part = split(count, 2 * PARTS // blocks, 2 * (256 // lanes))
    result = "float" if is_half(dtype) and parts > 1 else TYPES[dtype]
    return Plan(f"depthwise_kernel<{TYPES[dtype]}, {result}, {constants}>", table,
                (-(-vectors // lanes), window[0], parts), tuple(map(np.int32, (lanes, count, each_part))), parts)
