"""The gradient for the kernel of a convolution of few channels and taps, with samples in the lanes."""

from __future__ import annotations

import itertools
import math

import numpy as np

from .buffers import CACHE
from .geometry import border
from .lowering_winograd import add_partial_sums, fits_chain

MOST = 100                      # taps and channels
PIXELS = 96                     # pixels at a time: of few filters these stay in the first-level cache
LEAST = CACHE                   # bytes of a block, of which dots of whole planes would find too little in a cache
BAND = CACHE // 4               # bytes of a band of the input


def applies(g, dtype, lanes, source, gradient) -> bool:
    """Whether it goes this way: there are registers for the sums of seven taps and four filters, and for more taps
    and channels it would pay to bring the filters into the lanes. So it does for one tap, whose channels fill them."""
    taps = math.prod(g.window) * g.channels
    return dtype == "float32" and lanes == 16 and g.groups == 1 and taps <= MOST \
        and (math.prod(g.window) > 1 or g.channels < lanes) \
        and taps * g.filters * lanes * 4 <= CACHE // 2 and source.block_bytes + gradient.block_bytes > LEAST


def run(planner, g, *, source, gradient, target):
    """Add the work: partial sums, then their sum."""
    lanes, axes = 16, g.forward()
    low, padded = border(axes, g.sizes)
    line = g.channels * padded[0] * padded[2] * lanes * 4
    step, reach = g.strides[1], (g.window[1] - 1) * g.dilation[1]
    band = max(1, min(g.outputs[1], (BAND // line - reach - 1) // step + 1))
    bands = -(-g.outputs[1] // band)
    band = -(-g.outputs[1] // bands)
    band_rows = (band - 1) * step + reach + 1
    row, depth = padded[2] * lanes, band_rows * padded[2] * lanes
    z_taps, y_taps, x_taps = (axis[0][0][3] for axis in axes)
    xo = [(channel * padded[0] + z + low[0]) * depth + (y + low[1]) * row + (x + low[2]) * lanes
          for (_, z), (_, y), (_, x) in itertools.product(z_taps, y_taps, x_taps) for channel in range(g.channels)]
    rows, depths = np.arange(band), np.arange(g.outputs[0])
    xrow = np.add.outer(rows * step * row, depths * g.strides[0] * depth).ravel()
    grow = np.add.outer(rows, depths * g.outputs[1]).ravel() * g.outputs[2] * lanes
    xo, xrow, grow = planner.table(xo), planner.table(xrow), planner.table(grow)
    macs, chained = len(xo) * g.filters * math.prod(g.outputs) * source.blocks, fits_chain(source, gradient)
    parts = 1 if chained else max(1, min(bands, macs // source.blocks // 200_000, 16))
    lines, cuts = max(1, PIXELS // g.outputs[2]), -(-g.outputs[2] // PIXELS)

    def make(partial):
        return planner.kernels.dots.kernel_gradient(
            source.at(), gradient.at(), partial.at(), samples=g.batch, blocks=source.blocks, parts=parts,
            channels=g.channels, filters=g.filters, sizes=g.sizes, outputs=g.outputs, low=low, padded=padded,
            bands=bands, step=step, band_rows=band_rows, xo=xo, xrow=xrow, grow=grow, column=g.strides[2] * lanes,
            lines=lines, cuts=cuts)
    add_partial_sums(planner, make, dtype="float32", source=source, gradient=gradient, target=target,
                     parts=parts * source.blocks, chained=chained, taps=len(xo), filters=g.filters, cost=macs * 0.3)
