"""How depthwise convolutions become work: each channel has filters of its own, so that none couples channels."""

from __future__ import annotations

import math

import numpy as np

from .buffers import NOWHERE, Buffer
from .lowering_winograd import goes_past
from .slices import Sliced

BAND = 4_000                    # vector operations of a band of rows, the task of a small batch


def applies(g) -> bool:
    """Whether each channel is a group of its own."""
    return g.channels == 1 and g.groups > 1


def table(planner, axes):
    """The phases of `Geometry.forward` or `backward` as the kernel takes them, the taps by their place in the input."""
    rows = []
    for axis, (phases, _) in enumerate(axes):
        for first, count, step, taps in phases:
            taps = sorted(taps, key=lambda tap: tap[1])
            (k, low), (next_k, next_low) = (*taps, (0, 0))[0], (*taps, (0, 1), (0, 1))[1]
            if len(taps) < 2:
                next_k, next_low = k, low + 1
            rows.append((axis, first, count, step, len(taps), low, next_low - low, k, next_k - k))
    return planner.table(rows, np.int64)


def run(planner, g, *, dtype, source, target, weights, axes, sizes, outputs, results, sharing, summed, bias=None,
        relu=False):
    """Add the work of a depthwise convolution in the lanes layout; arguments as the kernel has them."""
    phases = table(planner, axes)
    sizes = planner.table([sizes, outputs, [step for _, step in axes], g.window, [len(p) for p, _ in axes]], np.int64)

    def make():
        return planner.kernels.depthwise.conv(
            dtype, source.at(), weights.whole(), target.at(), bias.whole() if bias else NOWHERE, sizes, phases,
            blocks=source.blocks, results=results, sharing=sharing, summed=summed, relu=relu,
            past=goes_past(target))
    macs = math.prod(g.outputs) * math.prod(g.window) * g.groups * g.filters * source.blocks
    work = planner.add(make, [source, weights, *([bias] if bias else [])], [target], blocks=source.blocks,
                       cost=macs * 0.35)
    work.sliced = Sliced(g.groups, frozenset((id(source), id(target))))


def run_input_gradient(planner, g, *, dtype, source, target, weights):
    """Add the work of the gradient for the input, in the lanes layout."""
    if g.window != (1, 3, 3) or g.strides != (1, 2, 2) or g.dilation[1:] != (1, 1) or g.filters != 1 \
            or g.sizes[0] != 1:
        return run(planner, g, dtype=dtype, source=source, target=target, weights=weights, axes=g.backward(),
                   sizes=g.outputs, outputs=g.sizes, results=g.groups, sharing=1, summed=g.filters)

    def make():
        return planner.kernels.depthwise.spread(
            dtype, source.at(), weights.whole(), target.at(), blocks=source.blocks, channels=g.groups,
            sizes=g.sizes[1:], counts=g.outputs[1:], low=[p for p, _ in g.padding[1:]], past=goes_past(target))
    work = planner.add(make, [source, weights], [target], blocks=source.blocks,
                       cost=math.prod(g.sizes) * g.groups * source.blocks)
    work.sliced = Sliced(g.groups, frozenset((id(source), id(target))))


def run_kernel_gradient(planner, g, *, dtype, source, gradient, target):
    """Add the work of the gradient for the kernel, in the lanes layout: sums of each block, and their sum."""
    filters, taps, blocks = g.groups * g.filters, math.prod(g.window), source.blocks
    sizes = planner.table([g.sizes, g.outputs, g.window, g.strides, g.dilation, [p for p, _ in g.padding]], np.int64)
    partial = Buffer(taps * filters * np.dtype(dtype).itemsize, blocks)

    def make():
        return planner.kernels.depthwise.kernel_gradient(
            dtype, source.at(), gradient.at(), partial.at(), sizes, samples=g.batch, blocks=blocks, filters=filters,
            multiplier=g.filters)
    work = planner.add(make, [source, gradient], [partial], blocks=blocks,
                       cost=math.prod(g.outputs) * taps * filters * blocks * 0.35)
    work.sliced = Sliced(g.groups, frozenset((id(source), id(gradient))))
    planner.combine("sum", dtype, partial, target, taps * filters)


def run_plain(planner, g, *, dtype, source, target, weights, bias, relu):
    """Add the work of the forward convolution of a small batch, channels last; each channel has one filter."""
    phases, channels = table(planner, g.forward()), g.groups
    sizes = planner.table([g.sizes, g.outputs, g.strides, g.window, (1, 1, 1)], np.int64)
    plane = g.outputs[1] * g.outputs[2] * -(-channels // planner.kernels.lanes[dtype])
    bands = max(1, min(g.outputs[1], 64, plane * math.prod(g.window) // BAND))

    def make():
        return planner.kernels.depthwise.conv_plain(
            dtype, source.whole(), weights.whole(), target.whole(), bias.whole() if bias else NOWHERE, sizes, phases,
            samples=g.batch, channels=channels, bands=bands, relu=relu)
    planner.add(make, [source, weights, *([bias] if bias else [])], [target],
                cost=g.batch * g.outputs[0] * plane * (math.prod(g.window) * 0.35 + 2))


def run_plain_kernel_gradient(planner, g, *, dtype, source, gradient, target):
    """Add the work of the gradient for the kernel of a small batch, channels last; each channel has one filter."""
    low, taps = [p for p, _ in g.padding], math.prod(g.window)
    sizes = planner.table([g.sizes, g.outputs, g.window, g.strides, g.dilation, low], np.int64)

    def make():
        return planner.kernels.depthwise.kernel_gradient_plain(
            dtype, source.whole(), gradient.whole(), target.whole(), sizes, samples=g.batch, channels=g.groups,
            taps=taps)
    planner.add(make, [source, gradient], [target], cost=g.batch * math.prod(g.outputs) * taps * 0.4
                * -(-g.groups // planner.kernels.lanes[dtype]))
