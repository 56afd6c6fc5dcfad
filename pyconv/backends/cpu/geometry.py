"""The sizes of convolutions: which taps reach which outputs, borders, and weights packed in the order of the taps."""

from __future__ import annotations

import copy
import math

import numpy as np

TAPS_AHEAD = 6                  # offsets after those of the taps that tiles may read: their PACKED_AHEAD


def three(values, fill):
    """Spatial values padded in front to three axes: depth, rows, columns."""
    return (fill,) * (3 - len(values)) + tuple(values)


class Geometry:
    """A convolution's sizes with three spatial axes, whatever it has itself."""

    def __init__(self, x_shape, kernel_shape, *, strides, padding, dilation, groups, channels_last):
        sizes = x_shape[1:-1] if channels_last else x_shape[2:]
        self.batch, self.groups = x_shape[0], groups
        self.channels = (x_shape[-1] if channels_last else x_shape[1]) // groups
        self.filters = kernel_shape[-1] // groups
        self.sizes, self.window = three(sizes, 1), three(kernel_shape[:-2], 1)
        self.strides, self.dilation = three(strides, 1), three(dilation, 1)
        self.padding = three(padding, (0, 0))
        self.outputs = tuple((n + p + q - d * (k - 1) - 1) // s + 1 for n, k, s, (p, q), d in
                             zip(self.sizes, self.window, self.strides, self.padding, self.dilation, strict=True))

    def alone(self):
        """The convolution of one group by itself."""
        same = copy.copy(self)
        same.groups = 1
        return same

    def repeated(self):
        """A depthwise convolution of as many channels as filters, each with one filter."""
        same = copy.copy(self)
        same.groups, same.filters = self.groups * self.filters, 1
        return same

    def in_a_row(self):
        """The convolution with all pixels of the batch as one row, where each is computed from one alone."""
        same = copy.copy(self)
        same.batch, same.sizes = 1, (1, 1, self.batch * math.prod(self.sizes))
        same.outputs = same.sizes
        return same

    def turned(self):
        """The gradient for the input as a convolution, of the gradient with strides - 1 zeros between its pixels."""
        same = copy.copy(self)
        same.channels, same.filters, same.outputs, same.strides = self.filters, self.channels, self.sizes, (1, 1, 1)
        same.sizes = tuple((o - 1) * s + 1 for o, s in zip(self.outputs, self.strides, strict=True))
        reach = [d * (k - 1) for k, d in zip(self.window, self.dilation, strict=True)]
        same.padding = tuple((r - p, n - o + p) for r, (p, _), n, o in
                             zip(reach, self.padding, self.sizes, same.sizes, strict=True))
        return same

    def forward(self):
        """Per axis: phases (first output, count, output step, taps as (k, offset in the input)), input step."""
        return [([(0, o, 1, [(i, i * d - p) for i in range(k)])], s) for o, k, s, (p, _), d in
                zip(self.outputs, self.window, self.strides, self.padding, self.dilation, strict=True)]

    def backward(self):
        """The same for the gradient of the input: its results are the inputs, what it reads the outputs."""
        axes = []
        for n, k, s, (p, _), d in zip(self.sizes, self.window, self.strides, self.padding, self.dilation, strict=True):
            phases = []
            for first in range(min(s, n)):
                taps = [(i, (first + p - i * d) // s) for i in range(k) if (first + p - i * d) % s == 0]
                phases.append((first, -(-(n - first) // s), s, taps))
            axes.append((phases, 1))
        return axes


def border(axes, sizes):
    """Zeros needed before, and the sizes with all zeros, so that every tap of every phase lies inside."""
    low, padded = [], []
    for (phases, step), n in zip(axes, sizes, strict=True):
        reach = [(count, q) for _, count, _, taps in phases for _, q in taps]
        before = max(0, -min((q for _, q in reach), default=0))
        end = max(((count - 1) * step + q for count, q in reach), default=0)
        low.append(before)
        padded.append(before + max(n, end + 1))
    return low, padded


def pack_rows(planner, dtype, weights, packed, sections, rows, cb, row_stride):
    """Work that packs weights by [section][rows / cb][tap][cb]; `sections` are arrays of tap positions."""
    begin = planner.table(np.cumsum([0, *map(len, sections)]))
    sources = planner.table(np.concatenate(sections) if sections else [])
    if not len(sources):
        return

    def make():
        return planner.kernels.convolution.pack(dtype, weights.whole(), packed.whole(), sources, begin, rows, cb,
                                                row_stride)
    planner.add(make, [weights], [packed], cost=len(sources) * rows / 2)


def tap_number(k, window):
    """The number of a tap in the kernel's own order."""
    return (k[0] * window[1] + k[1]) * window[2] + k[2]


def lines_of(z, y, steps, sizes, per_row):
    """For each row of results (all depths): the first tap and the number of taps that meet rows of the input.

    Taps are ordered by depth, then row. What can be left out is a range at either end: of rows, or, where the kernel
    has depth, of depths.
    """
    def inside(phase, step, n, o):
        hits = [i for i, (_, q) in enumerate(phase[3]) if 0 <= o * step + q < n]
        return (hits[0], hits[-1] + 1) if hits else (0, 0)
    lines = []
    for i in range(z[1]):
        z0, z1 = inside(z, steps[0], sizes[0], i)
        for j in range(y[1]):
            y0, y1 = inside(y, steps[1], sizes[1], j)
            rows = len(y[3])
            a, b = (y0, y1) if len(z[3]) == 1 and z1 > z0 else (z0 * rows, z1 * rows)
            lines.append((a * per_row, (b - a) * per_row))
    return lines
