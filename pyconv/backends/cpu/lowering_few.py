"""Convolutions with few filters and gradients for inputs of few channels, of small batches: sums along the lanes."""

from __future__ import annotations

import math

from .buffers import NOWHERE, Buffer
from .lowering_winograd import FINE

MOST = 4                        # filters
STEP, REDUCED = 1.5, 4          # vector operations of a product, as many are loads, and of a sum over the lanes


def applies(dtype, lanes, *, groups, channels, filters, taps) -> bool:
    """Whether a convolution, or the gradient for its input, goes this way: channels are read and filters computed."""
    dots = filters * (STEP * taps * -(-channels // lanes) + REDUCED)
    return dtype == "float32" and lanes == 16 and groups == 1 and filters <= MOST and dots < 0.9 * taps * channels


def exchanged(planner, g, weights):
    """The kernel as [tap][filter][channel]."""
    taps, line = math.prod(g.window), g.channels * g.filters
    target = Buffer(taps * line * 4)
    planner.copy(weights, target, 4, [taps, g.filters, g.channels], [line, 1, g.filters], [line, g.channels, 1])
    return target


def run(planner, *, source, target, weights, bias, relu, taps_x, taps_w, batch, channels, filters, outputs, steps,
        places, origin):
    """Add the work, arguments as the kernel has them; origin: where in target its results begin."""
    lines = batch * outputs[0] * outputs[1]
    macs = lines * outputs[2] * filters * (STEP * len(taps_x) * -(-channels // 16) + REDUCED)
    cuts = max(1, min(-(-min(64, macs // FINE) // lines), outputs[2] // 32))
    taps_x, taps_w = planner.table(taps_x), planner.table(taps_w)

    def make():
        y, _, where = target.whole()
        return planner.kernels.few.conv(
            source.whole(), weights.whole(), (y + origin, 0, where), bias.whole() if bias else NOWHERE, samples=batch,
            outputs=outputs, steps=steps, places=places, channels=channels, filters=filters, taps_x=taps_x,
            taps_w=taps_w, cuts=cuts, relu=relu)
    planner.add(make, [source, weights, *([bias] if bias else [])], [target], cost=macs * 0.35)
