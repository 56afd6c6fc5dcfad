"""Dilated convolutions as convolutions without dilation, so that Winograd's algorithm can take them.

Pixels whose places have the same remainders modulo the dilation meet each other alone. They are copied side by side: in
the lanes layout the remainders are planes of depth, in the plain layout they are samples; so are those of the results.
"""

from __future__ import annotations

import copy
import itertools
import math

import numpy as np

from .buffers import CACHE, Buffer

NEAR, FAR = 6, 36               # vector operations that the copy of a vector takes: within a cache, or from memory


def undilated(g, lanes=0):
    """The convolution of the remainders by themselves, or g where there is no dilation or it is in the way."""
    (_, *d), (_, *low), k = g.dilation, (p for p, _ in g.padding), g.window[1:]
    if d == [1, 1] or g.dilation[0] > 1 or g.window[0] > 1 or g.sizes[0] > 1 or g.strides != (1, 1, 1) \
            or any(p % e for p, e in zip(low, d, strict=True)):
        return g
    parts = copy.copy(g)
    planes = math.prod(d)
    sizes, outputs = ([-(-n // e) for n, e in zip(whole[1:], d, strict=True)] for whole in (g.sizes, g.outputs))
    parts.dilation = (1, 1, 1)
    parts.batch, depth = (g.batch, planes) if lanes else (g.batch * planes, 1)
    parts.sizes, parts.outputs = (depth, *sizes), (depth, *outputs)
    parts.padding = (g.padding[0], *((p // e, o + j - 1 - p // e - n) for p, e, o, j, n in
                                     zip(low, d, outputs, k, sizes, strict=True)))
    return parts


def copying(g, parts, lanes) -> float:
    """What the copies of a group's input and gradient cost, with samples in the lanes."""
    if parts is g:
        return 0
    vectors = math.prod(g.sizes) * g.channels + math.prod(g.outputs) * g.filters
    return vectors * -(-g.batch // lanes) * (NEAR if vectors * g.groups * 64 <= CACHE else FAR)


def apart(planner, g, parts, buffer, dtype, channels, lanes=0, outputs=False):
    """The input, or what has the size of the outputs, with its remainders apart; itself if `parts` is g."""
    if parts is g or buffer is None:
        return buffer
    each = parts.outputs if outputs else parts.sizes
    count = channels * math.prod(each) * np.dtype(dtype).itemsize
    target = Buffer(count * lanes, buffer.blocks) if lanes else Buffer(count * parts.batch)
    if any(n % d for n, d in zip((g.outputs if outputs else g.sizes)[1:], g.dilation[1:], strict=True)):
        planner.fill(target, dtype)
    _copy(planner, g, each, buffer, target, dtype, channels, lanes, outputs, False)
    return target


def whole(planner, g, parts, target, dtype, channels, lanes=0, outputs=True):
    """Where the work is to leave its results, and a function that then copies them together, into `target`."""
    if parts is g:
        return target, lambda: None
    each = parts.outputs if outputs else parts.sizes
    count = channels * math.prod(each) * np.dtype(dtype).itemsize
    buffer = Buffer(count * lanes, target.blocks) if lanes else Buffer(count * parts.batch)
    return buffer, lambda: _copy(planner, g, each, buffer, target, dtype, channels, lanes, outputs, True)


def _copy(planner, g, each, source, target, dtype, channels, lanes, outputs, together):
    """Copy remainders apart, or together: those that have as many rows and columns as each other at a time."""
    (_, rows, columns), (_, height, width), d = g.outputs if outputs else g.sizes, each, g.dilation[1:]
    pixel, plane = lanes or channels, height * width
    outer, inner = ([channels], []) if lanes else ([g.batch], [channels])
    a, b = ([*(n * pixel for n in steps), *(1 for _ in inner)] for steps in (
        (rows * columns, columns, 1, d[0] * columns, d[1]), (math.prod(d) * plane, d[1] * plane, plane, width, 1)))
    for (y, ny, hy), (x, nx, hx) in itertools.product(_remainders(rows, d[0]), _remainders(columns, d[1])):
        ends = [(steps, y * steps[1] + x * steps[2]) for steps in (a, b)]
        (first, at), (second, to) = reversed(ends) if together else ends
        planner.copy(source, target, np.dtype(dtype).itemsize, [*outer, ny, nx, hy, hx, *inner], first, second,
                     lanes=lanes, source_start=at, target_start=to)


def _remainders(n, d):
    """(first remainder, how many, elements of each) of n elements; each kind that there is."""
    return [kind for kind in ((0, n % d, -(-n // d)), (n % d, d - n % d, n // d)) if kind[1] and kind[2]]
