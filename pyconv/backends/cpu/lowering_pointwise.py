"""Kernels of one tap (1 x 1 and its like in 1D and 3D): products of matrices, with kernels of their own."""

from __future__ import annotations

import math

import numpy as np

from ... import config
from .buffers import CACHE, NOWHERE, Buffer
from .geometry import pack_rows
from .lowering_winograd import FINE, LANES_PAIRED, add_partial_sums, fits_chain, goes_past, split_kernel_gradient

PANEL = 256 << 10               # bytes of the transposed values that the gradient for the kernel holds in a cache
PACKED = 16 << 10               # bytes of weights that are read in another order, if a tile has few rows
TASK = 200_000                  # vector operations of a task, if a block is several
LEAST_PAIRED = (64, 128)        # channels and filters of a product by pairs, of both and of one of them
LEAST_PAIRED_WIDE = (32, 32)    # ... with AVX-512
LEAST_PAIRED_PLAIN = 32         # ... channels of small batches
MOST_PAIRED_PLAIN = 1024        # for so many a copy of a pixel has place


def applies(planner, g, dtype, results) -> bool:
    """Whether a convolution of this geometry, or the gradient for its input, goes this way.

    results: per group, of what is computed. Tiles have a fixed number of rows, and the last overlaps the one before it.
    """
    rows = planner.kernels.pointwise.sweep_rows()
    return dtype == "float32" and math.prod(g.window) == 1 and not any(map(any, g.padding)) and results >= rows \
        and -(-results // rows) * rows <= 1.25 * results


def run(planner, g, *, source, target, weights, channels, filters, ws, wc, backward=False, bias=None, relu=False):
    """Add the work: of `channels` per group that are read, `filters` are computed. ws, wc: elements of the weights from
    channel to channel and from filter to filter. backward: what is computed is the gradient for the input."""
    lanes, count = planner.kernels.lanes["float32"], math.prod(g.outputs)
    pixels, steps, sizes, strides = _pixels(g, lanes)
    if backward:
        steps = (pixels[1] * pixels[2] * lanes, pixels[2] * lanes, lanes)
    macs, chained = count * channels * filters * g.groups, fits_chain(source, target)
    parts = 1 if chained else max(1, min(macs // TASK, -(-count // 16), 16))
    results, apart = (sizes, strides) if backward else (pixels, (1, 1, 1))
    rows, wr = planner.kernels.pointwise.sweep_rows(), wc
    paired = by_pairs(planner, g, channels, filters, rows)
    if paired:
        lines = planner.kernels.pointwise.paired_lines(channels)
        packed = Buffer(lines * filters * 4)

        def pack(weights=weights, ws=ws, wc=wc):
            return planner.kernels.pointwise.pair_weights(weights.whole(), packed.whole(), channels=channels,
                                                          filters=filters, ws=ws, wc=wc)
        planner.add(pack, [weights], [packed], cost=channels * filters)
        planner.products[id(planner.nodes[planner.now])] = 4 * count * channels * filters * g.batch // 3
        weights, wr = packed, lines
    elif not backward and channels * filters * 4 >= (PACKED if rows < 8 else CACHE // 2) \
            and filters % rows == g.groups - 1 == 0:
        # Read in their order, as they come from afar: a row of weights in every line of a cache would be waited for,
        # and if filters are a power of two, few lines stay until the next tile reads them; less so if tiles are large.
        packed = Buffer(channels * filters * 4)
        pack_rows(planner, "float32", weights, packed, [np.arange(channels) * ws], filters, rows, wc)
        weights, ws, wr = packed, rows, channels

    def make():
        return planner.kernels.pointwise.pointwise(
            source.at(), weights.whole(), target.at(), bias.whole() if bias else NOWHERE, blocks=source.blocks,
            parts=parts, pixels=pixels, steps=steps, results=results, apart=apart,
            x_plane=math.prod(pixels if backward else sizes) * lanes, groups=g.groups, channels=channels,
            filters=filters, ws=ws, wc=wc, wr=wr, group=g.filters, relu=relu,
            past=results == pixels and goes_past(target), paired=paired)
    planner.add(make, [source, weights, *([bias] if bias else [])], [target], blocks=source.blocks if parts == 1 else 0,
                cost=macs * source.blocks * (0.2 if paired else 0.3))


def by_pairs(planner, g, channels, filters, rows) -> bool:
    """Whether products go by pairs, with fewer multiplications: where the processor adds meanwhile, and what is read
    is read often enough to be worth its preparation."""
    both, one = LEAST_PAIRED_WIDE if planner.kernels.lanes["float32"] == LANES_PAIRED else LEAST_PAIRED
    return planner.kernels.pairs and config.conv_algorithm() != "direct" and g.groups == 1 \
        and min(channels, filters) >= both and max(channels, filters) >= one and filters % rows == 0


def applies_to_plain(planner, g, dtype) -> bool:
    """Whether a convolution of a small batch, all of whose pixels are a row, goes by pairs."""
    lanes, rows, pixels = planner.kernels.lanes["float32"], planner.kernels.pointwise.sweep_rows(), g.outputs[2]
    return dtype == "float32" and lanes == LANES_PAIRED and g.channels % lanes == g.filters % (2 * lanes) == 0 \
        and LEAST_PAIRED_PLAIN <= g.channels <= MOST_PAIRED_PLAIN and -(-pixels // rows) * rows <= 1.15 * pixels \
        and by_pairs(planner, g, g.channels, g.filters, rows)


def run_plain(planner, g, *, source, target, weights, bias, other, relu):
    """Add the work of such a convolution, whose weights change between runs only."""
    pixels, rows = g.outputs[2], planner.kernels.pointwise.sweep_rows()
    packed = Buffer(planner.kernels.pointwise.paired_lines(g.channels) * g.filters * 4)
    macs = pixels * g.channels * g.filters
    planner.add(lambda: planner.kernels.pointwise.paired_weights(weights.whole(), packed.whole(), channels=g.channels,
                                                                 filters=g.filters),
                [weights], [packed], cost=g.channels * g.filters / 8)
    planner.products[id(planner.nodes[planner.now])] = 4 * macs // 3
    vectors = macs // planner.kernels.lanes["float32"]
    parts = max(1, min(64, vectors // FINE, -(-pixels // rows) // 4))

    def make():
        return planner.kernels.pointwise.pointwise_plain(
            source.whole(), packed.whole(), target.whole(), bias.whole() if bias else NOWHERE,
            other.whole() if other else NOWHERE, pixels=pixels, channels=g.channels, filters=g.filters, parts=parts,
            relu=relu)
    planner.add(make, [source, packed, *(b for b in (bias, other) if b)], [target], cost=vectors * 0.25)


def _pixels(g, lanes):
    """Pixels that are computed along each axis, elements of the input from one to the next, the input's pixels, and
    strides. All of a map are a row."""
    if g.sizes == g.outputs:
        count = (1, 1, math.prod(g.sizes))
        return count, (0, 0, lanes), count, (1, 1, 1)
    rows, columns = g.sizes[1:]
    return g.outputs, (g.strides[0] * rows * columns * lanes, g.strides[1] * columns * lanes, g.strides[2] * lanes), \
        g.sizes, g.strides


def applies_to_kernel(g, dtype, source, gradient, lanes) -> bool:
    """Whether the gradient for the kernel goes this way: where channels or filters fill the lanes, unless they are so
    few, in a block that a cache holds, that tiles of sums over pixels do with less."""
    if dtype != "float32" or math.prod(g.window) != 1 or g.groups != 1 or any(map(any, g.padding)) \
            or min(g.channels, g.filters) < 4:
        return False
    full = max(n / _filled(n, lanes) for n in (g.channels, g.filters))
    best = min(_transposing(g.channels, g.filters, lanes), _transposing(g.filters, g.channels, lanes))
    large = source.block_bytes + gradient.block_bytes > CACHE
    return full >= 0.75 and (large or best <= 1.25 * g.channels * g.filters)


def _transposing(channels, rows, lanes):
    """The cost of a pixel, if these channels are transposed."""
    return _filled(channels, lanes) * (rows + 8)


def _filled(n, lanes):
    return -(-n // lanes) * lanes


def run_kernel_gradient(planner, g, *, source, gradient, target):
    """Add the work of the gradient for the kernel: partial sums, then their sum.

    What is transposed, so that its channels lie in the lanes, is the input or the gradient: what costs less.
    """
    lanes, pixels = planner.kernels.lanes["float32"], math.prod(g.outputs)
    by_input = g.sizes != g.outputs \
        or _transposing(g.channels, g.filters, lanes) < _transposing(g.filters, g.channels, lanes)
    x, rows_of, channels, rows = (source, gradient, g.channels, g.filters) if by_input else (
        gradient, source, g.filters, g.channels)
    outputs, steps, _, _ = _pixels(g, lanes)
    most = max(4, min(32, PANEL // (lanes * 4 * _filled(channels, lanes)), pixels * source.blocks // 16))

    paired = lanes == LANES_PAIRED and by_pairs(planner, g, channels, rows, 1)

    def cost(parts, row_groups, groups, wide):
        narrow = 1.25 if wide == groups * lanes else 1          # a single vector: as many loads as products
        return pixels * source.blocks * (wide * rows * narrow + 8 * wide * row_groups + 6 * rows * groups) \
            + parts * rows * wide
    parts, row_groups, width, chained = split_kernel_gradient(
        source, gradient, cost, rows=rows, most=-(-pixels // most) * source.blocks, filters=channels, lanes=lanes,
        item=4, weights=g.channels * g.filters, sums=4)

    def make(partial):
        return planner.kernels.pointwise.pointwise_gradient(
            x.at(), rows_of.at(), partial.at(), samples=g.batch, blocks=source.blocks, parts=parts,
            row_groups=row_groups, width=width, most=most, pixels=outputs, steps=steps,
            x_plane=math.prod(g.sizes if by_input else g.outputs) * lanes, channels=channels, rows=rows,
            paired=paired)
    add_partial_sums(planner, make, dtype="float32", source=source, gradient=gradient, target=target, parts=parts,
                     chained=chained, taps=rows, filters=channels, transposed=by_input,
                     cost=pixels * source.blocks * rows * _filled(channels, lanes) / (4.5 if paired else 3))
    if paired:
        planner.products[id(planner.nodes[planner.now])] = 4 * pixels * g.channels * g.filters * g.batch // 3
