"""Where Winograd's algorithm takes a convolution, and how its work is split.

Costs are in vector operations, and depend on shapes alone: never on the number of threads or on time measured.
"""

from __future__ import annotations

import math

import numpy as np

from ... import config
from .buffers import NOWHERE, Buffer

# Vector operations per tile of a channel, of a filter, per weight, and per tile of a filter in the kernel's gradient.
INPUT, OUTPUT, WEIGHTS, ROWS, GRADIENTS = 150, 110, 10, 300, 380
CACHE = 1 << 20                 # bytes of the second-level cache that a task may count on


def fits_chain(source, target) -> bool:
    """Whether a task should be a block: there are enough of them, and one stays in the cache from layer to layer."""
    return source.blocks >= 8 and source.block_bytes + target.block_bytes <= 3 * CACHE


def applies(g) -> bool:
    """Whether Winograd's algorithm can compute a convolution of this geometry."""
    size = g.window[2]
    return g.groups == 1 and g.window[1] == size and size in (3, 5) and g.strides == g.dilation == (1, 1, 1) \
        and all(p < k for k, pair in zip(g.window, g.padding, strict=True) for p in pair)


def _tiles(g, outputs, lanes):
    """Tiles of all blocks for results of these sizes, the kernel's size being that of g."""
    tile = 7 - g.window[2]
    return -(-outputs[1] // tile) * -(-outputs[2] // tile) * outputs[0] * -(-g.batch // lanes)


def _chosen(dtype, fast, slow) -> bool:
    algorithm = config.conv_algorithm()
    return algorithm == "winograd" or algorithm == "auto" and dtype == "float32" and fast < slow


def use_winograd(g, dtype, lanes, outputs, channels, filters) -> bool:
    """Whether a convolution, or its gradient for the input, goes this way; channels are read and filters computed."""
    if not applies(g):
        return False
    rows, tiles = channels * g.window[0], _tiles(g, outputs, lanes)
    fast = tiles * (36 * filters * (rows * 1.1 + 3) + INPUT * rows + OUTPUT * filters) + WEIGHTS * rows * filters
    slow = math.prod(outputs) * math.prod(g.window) * channels * filters * -(-g.batch // lanes) * 1.1
    return _chosen(dtype, fast, slow)


def use_for_kernel(g, dtype, lanes) -> bool:
    """Whether the gradient for the kernel does."""
    return applies(g) and _chosen(dtype, _kernel_cost(g, lanes), _direct_kernel_cost(g, lanes))


def kernel_cost(g, dtype, lanes) -> float:
    """What the gradient for the kernel costs by the way that is chosen."""
    return (_kernel_cost if use_for_kernel(g, dtype, lanes) else _direct_kernel_cost)(g, lanes)


def _kernel_cost(g, lanes):
    rows, tiles, wide = g.channels * g.window[0], _tiles(g, g.outputs, lanes), -(-g.filters // lanes) * lanes
    return tiles * (36 * rows * wide * 1.2 + ROWS * rows + GRADIENTS * wide) + 16 * rows * wide


def _direct_kernel_cost(g, lanes):
    return math.prod(g.outputs) * math.prod(g.window) * g.channels * g.filters * -(-g.batch // lanes) * 1.2


def _idle(tasks):
    """How much longer a few threads take for these tasks than for any number of them."""
    return sum(-(-tasks // n) * n / tasks for n in (2, 4, 8)) / 3


def run_winograd(planner, g, *, dtype, source, target, weights, channels, filters, in_sizes, out_sizes, low,
                 across_filters, w_other, w_tap, origin, bias=None, relu=False):
    """Add the work of a convolution; arguments as the kernels' module has them."""
    lanes, item, size, blocks = planner.kernels.lanes[dtype], np.dtype(dtype).itemsize, g.window[2], source.blocks
    rows = channels * g.window[0]
    tiles = _tiles(g, out_sizes, lanes)
    total = tiles * (36 * rows * filters + INPUT * rows + OUTPUT * filters)
    chained, group = fits_chain(source, target), 32 if rows >= 256 else 16
    parts, groups = (blocks, 1) if chained else _split(tiles, -(-filters // group), total, rows * filters * WEIGHTS,
                                                       tiles * rows * INPUT)
    # Tiles at a time: what fits into half of the second-level cache, in threes, as registers hold them.
    # Where not even three do, many, so that the weights, which are larger still, are transformed and read once.
    chunk = CACHE // 2 // (36 * (rows + 16) * lanes * item) // 3 * 3
    chunk = max(1, min(max(chunk, 3) if rows < 200 else 24, 12 if rows < 200 else 24, -(-tiles // parts)))

    def make():
        return planner.kernels.winograd.winograd(
            dtype, source.at(), weights.whole(), target.at(), bias.whole() if bias else NOWHERE, blocks=blocks,
            parts=parts, groups=groups, group=group, chunk=chunk, channels=channels, filters=filters, depth=g.window[0],
            size=size, in_sizes=in_sizes, out_sizes=out_sizes, low=low, across_filters=across_filters, w_other=w_other,
            w_slice=w_tap * size * size, w_line=w_tap * size, w_tap=w_tap, origin=origin, relu=relu)
    planner.add(make, [source, weights, *([bias] if bias else [])], [target], blocks=blocks if chained else 0,
                cost=total * 0.3)


def _split(tiles, groups, total, weights, inputs):
    """(parts of the tiles, parts of the groups of filters): little done twice, and enough tasks for several threads.

    weights, inputs: what it costs to transform them all.
    """
    def cost(split):
        parts, groups = split
        tasks = parts * groups
        return (total + (parts - 1) * weights + (groups - 1) * inputs) * (_idle(tasks) + 0.3 / tasks)
    most = int(max(1, min(64, total // 200_000)))
    return min(((p, n) for p in range(1, min(tiles, most) + 1) for n in range(1, min(groups, most) + 1)
                if p * n <= most), key=cost)


def use_plain(g, dtype, lanes) -> bool:
    """Whether the forward convolution of a batch too small to fill the lanes goes this way."""
    if not applies(g) or g.window[0] > 1 or g.sizes[0] > 1:
        return False
    return _chosen(dtype, sum(_plain_costs(g, lanes)), math.prod(g.outputs) * g.batch * math.prod(g.window) * g.channels
                   * -(-g.filters // lanes) * 1.1)


def _plain_costs(g, lanes):
    """Of the products and the outputs' transforms, of the weights' and of the inputs'."""
    tile = 7 - g.window[2]
    tiles = -(-g.outputs[1] // tile) * -(-g.outputs[2] // tile) * g.batch
    vectors, inputs = -(-g.filters // lanes), -(-g.channels // lanes)
    large = g.channels * g.filters * g.window[2] ** 2 * 4 > CACHE      # weights that come from further away (measured)
    return (tiles * vectors * (36 * (1.15 * g.channels + 5) + 120), (500 if large else 140) * g.channels * vectors,
            tiles * inputs * 190)


def run_plain(planner, g, *, dtype, source, target, weights, bias, relu):
    """Add the work of a forward convolution in the plain layout, channels last."""
    lanes, item, size = planner.kernels.lanes[dtype], np.dtype(dtype).itemsize, g.window[2]
    tile, width = 7 - size, min(2, -(-g.filters // lanes)) * lanes
    tiles = -(-g.outputs[1] // tile) * -(-g.outputs[2] // tile) * g.batch
    rest, of_weights, of_inputs = _plain_costs(g, lanes)
    total = rest + of_weights + of_inputs
    parts, groups = _split(tiles, -(-g.filters // width), total, of_weights, of_inputs)
    chunk = CACHE // 2 // (36 * (g.channels + width) * item) // 8 * 8
    chunk = max(1, min(max(chunk, 16), 64, -(-tiles // parts)))

    def make():
        return planner.kernels.winograd.winograd_plain(
            dtype, source.whole(), weights.whole(), target.whole(), bias.whole() if bias else NOWHERE, samples=g.batch,
            parts=parts, groups=groups, width=width, chunk=chunk, channels=g.channels, filters=g.filters, size=size,
            in_sizes=g.sizes, out_sizes=g.outputs, low=[p for p, _ in g.padding], relu=relu)
    planner.add(make, [source, weights, *([bias] if bias else [])], [target], cost=total * 0.3)


def run_kernel_gradient(planner, g, *, dtype, source, gradient, target):
    """Add the work of the gradient for the kernel: partial sums, then their sum."""
    lanes, item, size, blocks = planner.kernels.lanes[dtype], np.dtype(dtype).itemsize, g.window[2], source.blocks
    rows, filters = g.channels * g.window[0], g.filters
    tiles = _tiles(g, g.outputs, lanes)

    def cost(parts, row_groups, groups, wide):
        return tiles * (36 * rows * wide + ROWS * rows * groups + GRADIENTS * wide * row_groups) \
            + parts * rows * size * size * wide * 4
    parts, row_groups, width, chained = split_kernel_gradient(
        source, gradient, cost, rows=rows, most=tiles, filters=filters, lanes=lanes, item=item,
        weights=rows * size * size * filters, sums=(6 + size * size) * item)
    free = CACHE - min(CACHE // 2, (6 + size * size) * -(-rows // row_groups) * width * item)
    chunk = free // (6 * (-(-rows // row_groups) + width) * lanes * item)
    chunk = max(1, min(max(chunk, 4), 12, -(-tiles // parts)))

    def make(partial):
        return planner.kernels.winograd.kernel_gradient(
            dtype, source.at(), gradient.at(), partial.at(), samples=g.batch, blocks=blocks, parts=parts,
            row_groups=row_groups, width=width, chunk=chunk, channels=g.channels, filters=filters, depth=g.window[0],
            size=size, in_sizes=g.sizes, out_sizes=g.outputs, low=[p for p, _ in g.padding])
    add_partial_sums(planner, make, dtype=dtype, source=source, gradient=gradient, target=target, parts=parts,
                     chained=chained, taps=rows * size * size, filters=filters, cost=tiles * rows * filters * 12)


def split_kernel_gradient(source, gradient, cost, *, rows, most, filters, lanes, item, weights, sums):
    """(parts of the pixels, groups of the rows, filters of a task, whether the tasks are the blocks).

    cost(parts, row groups, filter groups, filters filled up): vector operations. most: parts there can be.
    sums: bytes that a task keeps in its cache per row and filter.
    """
    wide = -(-filters // lanes) * lanes
    if fits_chain(source, gradient) and rows * wide * sums <= CACHE // 2 and weights * item * source.blocks <= 16 << 20:
        return source.blocks, 1, wide, True

    def total(split):
        parts, row_groups, groups = split
        wide = -(-filters // (lanes * groups)) * lanes
        tasks = parts * row_groups * groups
        return cost(parts, row_groups, groups, wide * groups) * (_idle(tasks) + 0.3 / tasks) \
            * (1 + max(0, -(-rows // row_groups) * wide * sums / CACHE - 0.5))
    tasks = max(1, min(64, cost(1, 1, 1, wide) // 200_000))
    bound = max(1, (64 << 20) // (weights * item))       # partial sums take no more than 64 MB
    counts = (1, 2, 3, 4, 6, 8, 12, 16, 24, 32, 48, 64)
    parts, row_groups, groups = min(((p, r, n) for p in counts if p <= min(most, bound, tasks)
                                     for r in counts if r <= max(1, min(rows // 8, tasks // p))
                                     for n in counts if n <= min(-(-filters // lanes), max(1, tasks // (p * r)))),
                                    key=total)
    return parts, row_groups, -(-filters // (lanes * groups)) * lanes, False


def add_partial_sums(planner, make, *, dtype, source, gradient, target, parts, chained, taps, filters, cost,
                     besides=()):
    """Add work that makes `parts` partial sums of a kernel's gradient, and their sum in a fixed order.

    make: from the buffer of the partial sums to the instruction. taps: rows of `filters` weights. besides: what else
    it reads.
    """
    item = np.dtype(dtype).itemsize
    partial = target if parts == 1 else Buffer(taps * filters * item, parts)
    partial.shared = True
    reads = [source, gradient, *besides]
    if not chained:
        for buffer in reads:
            buffer.shared = True
    planner.add(lambda: make(partial), reads, [partial], blocks=parts if chained else 0, cost=cost)
    if parts == 1:
        return
    targets, step = planner.table(np.arange(taps) * filters), partial.block_bytes // item
    planner.add(lambda: planner.kernels.convolution.gather(dtype, partial.whole(), target.whole(), targets, filters,
                                                           parts, step),
                [partial], [target], cost=taps * filters * parts / 8)
