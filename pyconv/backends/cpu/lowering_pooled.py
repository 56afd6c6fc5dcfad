"""Convolution and max pooling with windows of two by two as one: without the map between them, nor its gradient.

The pooling notes where its maxima are: its *spots*, a byte for each of its results. With these its gradient needs
no look at what was pooled, and the gradient for the kernel of the convolution before it none at the three elements of
each window that are zero.
"""

from __future__ import annotations

import math

import numpy as np

from .buffers import CACHE, NOWHERE, Buffer
from .geometry import Geometry, lines_of, pack_rows, tap_number
from .lowering_winograd import (add_partial_sums, bands_of, chosen, fits_chain, kernel_cost, least_task,
                               tasks_of)
from .slices import Sliced


L1 = 32 << 10                   # bytes of the smallest first-level cache


def spots_of(planner, tensor):
    """The spots of the pooling of a tensor, or None if it has none."""
    return planner.spots.get(id(tensor))


def pooling_of(planner, tensor, in_lanes=True):
    """With samples in the lanes, or in a batch too small for that:
    (the max pooling of a tensor by windows of two by two side by side, whether its gradient is wanted), or None."""
    users = [u for u in planner.consumers.get(id(tensor), ()) if u is not None]
    pool = next((u for u in users if u.op == "max_pool" and tuple(u.attrs["window"]) == (2, 2)), None)
    if pool is None or tensor.dtype != "float32" or len(tensor.shape) != 4:
        return None
    attrs = pool.attrs
    if tuple(attrs["strides"]) != (2, 2) or tuple(attrs["dilation"]) != (1, 1) or any(
            p for pair in attrs["padding"] for p in pair) or 0 in pool.output.shape:
        return None
    if planner.fills(tensor.shape[0], planner.kernels.lanes[tensor.dtype]) != in_lanes:
        return None
    return pool, any(u.op == "max_pool_gradient" and u.inputs[0] is tensor and u.attrs == attrs for u in users)


def alone(planner, tensor, pool) -> bool:
    """Whether nobody but the pooling and its gradient looks at what is pooled."""
    return all(u is pool or u is not None and u.op == "max_pool_gradient" and u.inputs[0] is tensor
               and u.inputs[1] is not tensor and u.attrs == pool.attrs for u in planner.consumers[id(tensor)])


def new_spots(planner, tensor, pooled):
    """Room for the spots of the pooling of `tensor` into the buffer `pooled`."""
    planner.spots[id(tensor)] = spots = Buffer(pooled.used // 4, pooled.blocks)
    return spots


def _sizes(shape, channels_last):
    """(channels, (rows, columns)) of images."""
    return (shape[3], tuple(shape[1:3])) if channels_last else (shape[1], tuple(shape[2:]))


def pool_with_spots(planner, node, layout):
    """Lower a max pooling so that it notes its spots, or its gradient with them; False if that cannot be."""
    x, *rest = node.inputs
    found = pooling_of(planner, x)
    if found is None:
        return False
    (channels, sizes), (_, outputs) = (_sizes(t.shape, node.attrs["channels_last"]) for t in (x, found[0].output))
    kernel = planner.kernels.pooling.pool_spots
    numbers = planner.table([channels, *outputs, *sizes], np.int64)
    if not rest:
        if found[0] is not node or not found[1]:
            return False
        source, target = planner.rep(x, layout), planner.define(node.output, layout)
        spots = new_spots(planner, x, target)
        work = planner.add(lambda: kernel(source.at(), target.at(), spots.at(), numbers, spread=False,
                                          blocks=target.blocks),
                           [source], [target, spots], blocks=target.blocks, cost=source.nbytes / 16)
        work.sliced = Sliced(channels, frozenset(map(id, (source, target, spots))))
        return True
    spots = spots_of(planner, x)
    if spots is None or node.attrs != found[0].attrs:
        return False
    if all(u is not None and u.op == "conv_kernel_gradient" and spotted(planner, u)
           for u in planner.consumers[id(node.output)]):
        return True
    source, target = planner.rep(rest[0], layout), planner.define(node.output, layout)
    work = planner.add(lambda: kernel(target.at(), source.at(), spots.at(), numbers, spread=True,
                                      blocks=target.blocks),
                       [source, spots], [target], blocks=target.blocks, cost=target.nbytes / 16)
    work.sliced = Sliced(channels, frozenset(map(id, (source, target, spots))))
    return True


def fits(g) -> bool:
    """Whether the kernels have a convolution of this geometry with the pooling after it."""
    return g.groups == 1 and g.strides == (1, 1, 1)


def run_conv_pool(planner, g, tensor, pool, wanted, *, layout, source, weights, bias, relu):
    """Add the work of a convolution and the pooling of its result `tensor`; wanted: whether the spots are."""
    if not wanted and _by_lines(planner, g, source):
        return _run_lines(planner, g, pool, layout=layout, source=source, weights=weights, bias=bias, relu=relu)
    lanes, low, window = planner.kernels.lanes["float32"], [p for p, _ in g.padding], g.window
    padded = tuple(n + p + q for n, (p, q) in zip(g.sizes, g.padding, strict=True))
    rows, cols = (n // 2 for n in g.outputs[1:])
    reach, line = (window[1] - 1) * g.dilation[1], g.channels * padded[2] * lanes * 4
    cb = planner.kernels.pooling.pooled_rows
    macs = 4 * rows * cols * g.channels * window[1] * window[2] * -(-g.filters // cb) * cb          # of a block
    bands = -(-rows // max(1, min(rows, (CACHE // 4 // line - reach) // 2)))
    bands = max(bands, bands_of(source.blocks, rows, macs))
    copy = padded != tuple(g.sizes)
    band_rows = 2 * -(-rows // bands) + reach if copy else padded[1]
    row = padded[2] * lanes
    taps = [(0, ky, kx) for ky in range(window[1]) for kx in range(window[2])]
    # Taps in the order kernel row, channel, kernel column, so that those of rows of the border are at either end.
    order = np.arange(g.channels * len(taps)).reshape(g.channels, *window[1:]).swapaxes(0, 1).ravel()
    at = np.array([ky * g.dilation[1] * row + kx * g.dilation[2] * lanes for _, ky, kx in taps], np.int64)
    xo = planner.table(np.add.outer(np.arange(g.channels) * band_rows * row, at).ravel()[order])
    from_kernel = np.array([tap_number(k, window) * g.channels * g.filters for k in taps], np.int64)
    packed = Buffer(len(xo) * -(-g.filters // cb) * cb * 4)
    pack_rows(planner, "float32", weights, packed,
              [np.add.outer(np.arange(g.channels) * g.filters, from_kernel).ravel()[order]], g.filters, cb, 1)
    z, y, x = (axis[0][0] for axis in g.forward())
    each = lines_of(z, y, (1, 1, 1), g.sizes, g.channels * len(x[3]))
    ends = [(a, a + n) for a, n in each if n] or [(0, 0)]
    lines = []
    for above, below in zip(each[0:2 * rows:2], each[1:2 * rows:2], strict=True):
        met = [(a, a + n) for a, n in (above, below) if n] or ends[:1]
        first = min(a for a, _ in met)
        lines.append((first, max(b for _, b in met) - first))
    lines = planner.table(lines)
    target = planner.define(pool.output, layout)
    spots = new_spots(planner, tensor, target) if wanted else None
    parts = 1 if fits_chain(source, target) else tasks_of(min(bands, macs // least_task(source.blocks)))

    numbers = planner.table([*g.sizes, *low, *padded, copy, g.channels, g.filters, len(xo), rows, cols, source.blocks,
                             parts, bands, band_rows, copy, relu], np.int64)

    def make():
        return planner.kernels.pooling.conv_pool(source.at(), packed.whole(), bias.whole() if bias else NOWHERE,
                                                 target.at(), spots.at() if spots else NOWHERE, numbers, xo, lines)
    planner.add(make, [source, packed, *([bias] if bias else [])], [target, *([spots] if spots else [])],
                blocks=source.blocks if parts == 1 else 0, cost=macs * source.blocks * 0.33)


def _lines_sizes(g):
    """(tiles of 4 columns, rows of the input, rows of results) of a convolution by lines."""
    rows = g.outputs[1] // 2 * 2
    return -(-(g.outputs[2] // 2) // 2), rows + g.window[1] - 1, rows


def _by_lines(planner, g, source) -> bool:
    """Whether Winograd's algorithm along rows alone is faster.

    With 16 registers its products of 5 taps are over before they pay for their beginning and end.
    """
    if g.window[2] != 5 or g.dilation != (1, 1, 1) or source.blocks < 2:
        return False
    tiles, in_rows, rows = _lines_sizes(g)
    line = g.window[1] * g.channels * g.filters
    fast = tiles * (rows * (8 * 1.4 * line + 20 * g.filters) + in_rows * 27 * g.channels) \
        * (1.45 if planner.kernels.pooling.gathers else 1)
    return source.block_bytes * tiles * 8 * in_rows <= CACHE // 2 * math.prod(g.sizes) \
        and chosen("float32", fast, rows * g.outputs[2] * 5 * line * 1.15)


def _run_lines(planner, g, pool, *, layout, source, weights, bias, relu):
    """Add the work of a convolution and the pooling after it by lines."""
    tiles, _, rows = _lines_sizes(g)
    wide = -(-g.filters // planner.kernels.lanes["float32"]) * planner.kernels.lanes["float32"]
    numbers = planner.table([*(p for p, _ in g.padding[1:]), *g.sizes[1:], g.channels, g.filters, wide, g.window[1],
                             rows // 2, g.outputs[2] // 2, relu], np.int64)
    packed, target = Buffer(g.channels * g.window[1] * 8 * wide * 4), planner.define(pool.output, layout)
    kernel, products = planner.kernels.winograd.conv_pool_lines, packed.nbytes // 4 * tiles * rows * source.blocks
    planner.products[id(planner.nodes[planner.now])] = 2 * products // wide * g.filters * g.batch // source.blocks
    planner.add(lambda: kernel(weights.whole(), packed.whole(), NOWHERE, NOWHERE, numbers, blocks=0),
                [weights], [packed], cost=packed.nbytes / 8)
    planner.add(lambda: kernel(source.at(), packed.whole(), bias.whole() if bias else NOWHERE, target.at(), numbers,
                               blocks=source.blocks),
                [source, packed, *([bias] if bias else [])], [target], blocks=source.blocks,
                cost=products / wide * g.filters * 0.5)


def spotted(planner, node) -> bool:
    """Whether the gradient for a kernel is computed from the spots of the pooling after the convolution."""
    x, grad = node.inputs
    below = grad.node
    if below.op != "max_pool_gradient" or spots_of(planner, below.inputs[0]) is None \
            or below.attrs != pooling_of(planner, below.inputs[0])[0].attrs:
        return False
    g = Geometry(x.shape, node.output.shape, **{k: v for k, v in node.attrs.items() if k != "shape"})
    if g.groups > 1 or g.strides != (1, 1, 1) or g.dilation != (1, 1, 1):
        return False
    return _spotted_cost(planner, g)[0] < kernel_cost(g, x.dtype, planner.kernels.lanes[x.dtype])


def _spotted_cost(planner, g):
    """(the cost in vector operations, whether taps and channels are in the lanes).

    Picked from lanes of samples, a tap takes two selections and a product; at the end lanes are summed. With short
    vectors, the sums of few taps do not stay in registers, and taps may be in the lanes instead.
    """
    lanes = planner.kernels.lanes["float32"]
    rows, pixels = g.channels * g.window[1] * g.filters, (g.outputs[1] // 2) * (g.outputs[2] // 2)
    picked = rows * (pixels * (1.65 * g.window[2] + 1.2) + 8 * g.window[2])
    blocks = -(-g.batch // lanes)
    if not planner.kernels.pooling.gathers:
        return blocks * picked, False
    vectors, area = -(-g.channels * g.window[2] // lanes), math.prod(
        n + p + q for n, (p, q) in zip(g.sizes, g.padding, strict=True))
    tiles = -(-vectors // 14) * -(-g.window[1] // max(1, min(3, 14 // vectors)))
    products = g.window[1] * vectors * (0.9 if 4 * area * g.channels <= L1 else 1.4)
    gathered = g.filters * lanes * (pixels * (products + 2 * tiles + 1.5) + 2 * g.window[1] * vectors + 30 * tiles) \
        + 25 * area * -(-g.channels // lanes)
    return blocks * min(2 * picked, gathered), gathered < 2 * picked


def run_spotted(planner, g, node, layout):
    """Add the work of the gradient for a kernel, from that of the pooled pixels."""
    x, grad = node.inputs
    below = grad.node
    source, gradient = planner.rep(x, layout), planner.rep(below.inputs[1], layout)
    spots, blocks = spots_of(planner, below.inputs[0]), source.blocks
    taps, outputs = math.prod(g.window), tuple(n // 2 for n in g.outputs[1:])
    chained = fits_chain(source, gradient)
    groups = 1 if chained else min(-(-g.filters // 4), -(-16 // blocks))
    cost, gathered = _spotted_cost(planner, g)
    padded = tuple(n + p + q for n, (p, q) in zip(g.sizes, g.padding, strict=True))

    numbers = planner.table([*g.sizes, *(p for p, _ in g.padding), *padded, padded != tuple(g.sizes), g.channels,
                             g.filters, *outputs, g.batch, blocks, groups, *g.window[1:]], np.int64)

    def make(partial):
        return planner.kernels.pooling.kernel_gradient_spots(source.at(), gradient.at(), spots.at(), partial.at(),
                                                             numbers, gathered)
    add_partial_sums(planner, make, dtype=x.dtype, source=source, gradient=gradient, besides=[spots],
                     target=planner.define(node.output), parts=blocks, chained=chained, taps=taps * g.channels,
                     filters=g.filters, cost=cost * 0.3)
