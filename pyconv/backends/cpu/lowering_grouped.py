"""Convolutions in groups of few channels, of small batches: several groups side by side in the lanes."""

from __future__ import annotations

import math

import numpy as np

from .buffers import NOWHERE
from .lowering_winograd import FINE


def side_by_side(groups, channels, filters, dtype, lanes) -> int:
    """How many groups a vector holds; 0 where it is no more than one. (To pick lanes by number takes AVX2.)"""
    side = min(lanes // max(channels, filters), groups)
    return side if dtype == "float32" and lanes >= 8 and side >= 2 else 0


def _picked(planner, channels, filters, lanes):
    """For each channel, which lanes of the inputs' vector its results read. The kernels' gradients compute 2, 4 or 8
    channels, and drop those that are none: so many rows."""
    group = np.arange(lanes) // filters * channels
    count = max(2, 1 << (channels - 1).bit_length())
    return planner.table(np.minimum(np.add.outer(np.arange(count), group), lanes - 1))


def _in_runs(taps_x, taps_w, column, step):
    """(taps in a run, columns between results, both arrays in the order of the runs): runs of three or two taps side by
    side if all taps belong to one."""
    for length, stride in ((3, 1), (3, 2), (2, 1)):
        if len(taps_x) and len(taps_x) % length == 0 and step == stride * column:
            order = np.argsort(taps_x, kind="stable").reshape(-1, length)
            if (np.diff(taps_x[order]) == column).all():
                return length, stride, taps_x[order.ravel()], taps_w[order.ravel()]
    return 1, 1, taps_x, taps_w


def run(planner, side, *, source, target, weights, bias, other, relu, taps_x, taps_w, wc, batch, groups, channels,
        filters, outputs, steps, places, origin):
    """Add the work of a convolution, arguments as the kernel has them; origin: where in target its results begin."""
    lanes = planner.kernels.lanes["float32"]
    length, stride, taps_x, taps_w = _in_runs(taps_x, taps_w, groups * channels, steps[2])
    taps_x, taps_w = planner.table(taps_x), planner.table(taps_w)
    picked, vectors = _picked(planner, channels, filters, lanes), -(-groups // side)
    lines, macs = batch * outputs[0] * outputs[1], batch * math.prod(outputs) * len(taps_x) * channels * vectors
    parts = max(1, min(-(-min(64, macs // FINE) // lines), vectors))

    def make():
        y, _, where = target.whole()
        return planner.kernels.grouped.conv(
            source.whole(), weights.whole(), (y + origin, 0, where), bias.whole() if bias else NOWHERE,
            other.whole() if other else NOWHERE, samples=batch, outputs=outputs, steps=steps, places=places,
            groups=groups, channels=channels, filters=filters, side=side, taps_x=taps_x, taps_w=taps_w, wc=wc,
            run=length, stride=stride, lanes=picked, parts=parts, relu=relu)
    planner.add(make, [source, weights, *(b for b in (bias, other) if b)], [target], cost=macs * 0.35)


def run_kernel_gradient(planner, g, side, *, source, gradient, target, rows, taps):
    """Add the work of the gradient for the kernel; rows, taps: where rows of results and taps begin in the source."""
    lanes, pixel = planner.kernels.lanes["float32"], g.groups * g.channels
    together = g.window[2] == 3 and g.dilation[2] == 1 and g.strides[2] <= 2 \
        and (lanes == 16 or g.channels <= 4)            # sums that registers hold
    length, stride = (3, g.strides[2]) if together else (1, 1)
    rows, taps = planner.table(rows, np.int64), planner.table(taps, np.int64)
    picked = _picked(planner, g.channels, g.filters, lanes)

    def make():
        return planner.kernels.grouped.kernel_gradient(
            source.whole(), gradient.whole(), target.whole(), rows=rows, count=g.outputs[2],
            column=pixel if together else pixel * g.strides[2], taps=taps, run=length, stride=stride, groups=g.groups,
            channels=g.channels, filters=g.filters, side=side, lanes=picked)
    planner.add(make, [source, gradient], [target],
                cost=len(rows) * g.outputs[2] * len(taps) * g.channels * -(-g.groups // side) * 0.35)
