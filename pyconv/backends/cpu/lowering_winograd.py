"""Where Winograd's algorithm takes a convolution, and how its work is split.

Costs are in vector operations, and depend on shapes alone: never on the number of threads or on time measured.
"""

from __future__ import annotations

import copy
import math

import numpy as np

from ... import config
from .buffers import CACHE, LOCAL, NOWHERE, Buffer

# Vector operations per value of a tile: of a channel, of a filter, per weight, of a filter in the kernel's gradient.
INPUT, OUTPUT, WEIGHTS, GRADIENTS = 5, 4, 10, 6
TASK = 50_000                   # vector operations of a task, if a block is several
FINE = 8_000                    # vector operations of a task of a small batch
LARGE = 8 << 20                 # bytes of results that no cache keeps until whoever comes next
AHEAD = 4 << 20                 # bytes of transformed weights that are kept, for all tasks to read
DEEP_ROWS, MANY = 200, 24       # channels of which not even three tiles stay in a cache; tiles that are taken then
DEEP = 512                      # channels that are summed over where tiles have points in the depth, for precision
LANES_PAIRED = 16               # of products by pairs: with fewer, to bring operands to scale takes what they save
LEAST_PAIRED = 32               # filters of products by pairs
LEAST_SUMMED, MOST_SUMMED = 16, 1024     # what they sum over: errors grow with it


def fits_chain(source, target) -> bool:
    """Whether a task should be a block: there are several, and one stays in the cache from layer to layer.

    Two are enough: blocks that are split instead go from one processor's cache to another's after each layer, which
    took two threads longer than one. What does not fit into the second-level cache passes through the third: of 1 x 1
    convolutions on large maps, which are bound by memory otherwise, inference gains a sixth.
    """
    return source.blocks >= 2 and source.block_bytes + target.block_bytes <= 6 * CACHE


def goes_past(target) -> bool:
    """Whether results go past the caches, asked when buffers have their places: where whoever comes next would find
    few of them there, as neither a block stays in the second-level cache nor all in the third."""
    return target.home.place != LOCAL and target.block_bytes >= CACHE and target.home.nbytes >= LARGE


def applies(g) -> bool:
    """Whether Winograd's algorithm can compute a convolution of this geometry."""
    rows, columns = (-(-k // s) for k, s in zip(g.window[1:], g.strides[1:], strict=True))
    return g.groups == 1 and g.dilation == (1, 1, 1) and (g.window[1] == 1 or rows == columns) \
        and (3 if g.window[1] == 1 else 2) <= columns <= 5 \
        and all(p < k for k, pair in zip(g.window, g.padding, strict=True) for p in pair)


def _taps(g) -> int:
    """Taps of a row of the kernel, or of its longest phase: with strides it is a sum over phases with stride 1."""
    return -(-g.window[2] // g.strides[2])


def _points(g) -> int:
    """Values of a transformed row of a tile."""
    return 8 if g.window[1] == 1 or _taps(g) > 3 else _taps(g) + 3


def _side(g) -> int:
    """Results in a row of a tile."""
    return _points(g) + 1 - _taps(g)


def _rows(g, channels, deep=False) -> int:
    """What is summed over: channels in all phases of all slices of the kernel."""
    return channels if deep else channels * g.window[0] * g.strides[2] * (1 if g.window[1] == 1 else g.strides[1])


def _products(g, channels, deep=False) -> int:
    """Products of a tile for each filter: phases with fewer taps along an axis have no value at infinity there."""
    if deep or g.window[0] > 1:
        return _values(g, deep) * _rows(g, channels, deep)
    axes = [(g.window[i], g.strides[i]) for i in ((2,) if g.window[1] == 1 else (1, 2))]
    return channels * math.prod(_points(g) * s - (_taps(g) * s - k) for k, s in axes)


def _values(g, deep=False) -> int:
    """Values of a transformed tile; it is one row if the kernel has one."""
    return _points(g) ** (1 if g.window[1] == 1 else 2) * (6 if deep else 1)


def _tiles(g, outputs, count, deep=False):
    """Tiles of results of these sizes in `count` blocks or samples."""
    side = _side(g)
    return -(-outputs[1] // (1 if g.window[1] == 1 else side)) * -(-outputs[2] // side) \
        * (-(-outputs[0] // 4) if deep else outputs[0]) * count


def _note(planner, g, outputs, deep=False, paired=False):
    """Tell profiles how many operations the products of the tiles are."""
    planner.products[id(planner.nodes[planner.now])] = 4 * math.prod(
        (_tiles(g, outputs, g.batch, deep), _products(g, g.channels, deep), g.filters)) // (3 if paired else 2)


def use_depth(g, outputs, channels, filters) -> bool:
    """Whether tiles have points along the depth too: half the products, for another pass over what goes in and out."""
    if g.window != (3, 3, 3) or g.strides != (1, 1, 1) or channels > DEEP:
        return False
    deep, flat = (_forward_cost(g, outputs, 1, channels, filters, deep) for deep in (True, False))
    return deep < flat


def chosen(dtype, fast, slow) -> bool:
    """Whether Winograd's algorithm, which is made for float32, is to be used, given what it and the direct one cost."""
    algorithm = config.conv_algorithm()
    return dtype == "float32" and (algorithm == "winograd" or algorithm == "auto" and fast < slow)


def transposed_sizes(g, deep):
    """What the tiles of the gradient for the input are tiles of by the transpose of the forward algorithm; None where
    that takes no fewer."""
    sizes = g.outputs if deep else (g.sizes[0], *g.outputs[1:])
    fewer = _tiles(g, sizes, 1, deep) < 0.9 * _tiles(g, g.sizes, 1, deep)
    return sizes if g.window[1] > 1 and _taps(g) in (3, 5) and fewer else None


def use_winograd(g, dtype, lanes, outputs, channels, filters) -> bool:
    """Whether a convolution, or its gradient for the input, goes this way; channels are read and filters computed."""
    if not applies(g):
        return False
    deep = use_depth(g, outputs, channels, filters)
    tiled = outputs == g.sizes and transposed_sizes(g, deep) or outputs
    fast = _forward_cost(g, tiled, -(-g.batch // lanes), channels, filters, deep)
    if _taps(g) == 2 and 3 * _values(g) * _rows(g, channels) * lanes * 4 > CACHE:
        fast *= 1.3                     # not even three tiles stay in the cache, for half the products at best
    slow = math.prod(outputs) * math.prod(g.window) * channels * filters * -(-g.batch // lanes) * 1.1
    return chosen(dtype, fast, slow)


def phases_of_gradient(g, dtype, lanes):
    """(a phase's convolution, back) if the gradient for the input of a convolution with strides goes this way, see the
    kernels' `winograd`; else None. The phases of the input, which take different taps, are results of one gradient."""
    axes = [(k, s, p) for k, s, (p, _) in zip(g.window[1:], g.strides[1:], g.padding[1:], strict=True)]
    if g.window[0] > 1 or g.strides[0] > 1 or g.strides == (1, 1, 1) or g.groups > 1 or g.dilation != (1, 1, 1):
        return None
    # Pixel q + s i of the input takes tap q + p - s o from pixel i + o of the gradient.
    first = [-((k - 1 - p) // s) for k, s, p in axes]
    taps = [(s - 1 + p) // s - o + 1 for (k, s, p), o in zip(axes, first, strict=True)]
    if taps[0] != taps[1] or not 2 <= taps[0] <= 5:
        return None
    one = copy.copy(g)
    one.window, one.strides, one.sizes = (1, *taps), (1, 1, 1), g.outputs
    one.outputs = (g.sizes[0], *(-(-n // s) for n, s in zip(g.sizes[1:], g.strides[1:], strict=True)))
    one.channels, one.filters = g.filters, g.channels * g.strides[1] * g.strides[2]
    fast = _forward_cost(one, one.outputs, -(-g.batch // lanes), one.channels, one.filters, False)
    slow = math.prod(g.outputs) * math.prod(g.window) * g.channels * g.filters * -(-g.batch // lanes) * 1.1
    back = g.strides[1:], [p - s * o for (_, s, p), o in zip(axes, first, strict=True)], g.sizes[1:], g.window[1:]
    return (one, [0, *(-o for o in first)], back) if chosen(dtype, fast, slow) else None


def pools(g) -> bool:
    """Whether the results of a tile can be pooled, two by two, where they are computed."""
    return g.groups == 1 and g.dilation == (1, 1, 1) and g.window[1] > 1 and _side(g) == 4


def _forward_cost(g, tiled, blocks, channels, filters, deep):
    rows, around = _rows(g, channels, deep), 2 if deep else 1
    of_values = 3 * filters + INPUT * around * rows + OUTPUT * around * filters
    return _tiles(g, tiled, blocks, deep) * (1.1 * filters * _products(g, channels, deep)
                                             + _values(g, deep) * of_values) + WEIGHTS * rows * filters


def use_for_kernel(g, dtype, lanes, besides=0) -> bool:
    """Whether the gradient for the kernel does; besides: what this costs in addition."""
    return applies(g) and chosen(dtype, _kernel_cost(g, lanes) + besides, _direct_kernel_cost(g, lanes))


def kernel_cost(g, dtype, lanes) -> float:
    """What the gradient for the kernel costs by the way that is chosen."""
    return (_kernel_cost if use_for_kernel(g, dtype, lanes) else _direct_kernel_cost)(g, lanes)


def _kernel_cost(g, lanes):
    deep, wide = use_depth(g, g.outputs, g.channels, g.filters), -(-g.filters // lanes) * lanes
    rows = _rows(g, g.channels, deep)
    return _tiles(g, g.outputs, -(-g.batch // lanes), deep) * (1.1 * wide * _products(g, g.channels, deep)
        + _values(g, deep) * (INPUT * rows + GRADIENTS * wide)) + 16 * rows * wide


def _direct_kernel_cost(g, lanes):
    return math.prod(g.outputs) * math.prod(g.window) * g.channels * g.filters * -(-g.batch // lanes) * 1.2


def idle(tasks, threads=(2, 4, 8)):
    """How much longer a few threads take for these tasks than for any number of them."""
    return sum(-(-tasks // n) * n / tasks for n in threads) / len(threads)


def tasks_of(most) -> int:
    """How many tasks a block should be where it may be up to so many."""
    return min(range(1, max(1, min(16, most)) + 1), key=lambda n: idle(n) + 0.3 / n)


def least_task(blocks) -> int:
    """Vector operations that a task of a part of a block should have; of a single block all threads want a part."""
    return TASK if blocks > 1 else FINE


def bands_of(blocks, rows, work) -> int:
    """At least how many bands of rows a block should be for the sake of tasks; work: its vector operations."""
    return 1 if blocks > 1 else max(1, min(rows // 3, 8, work // FINE))


def run_winograd(planner, g, *, source, target, weights, channels, filters, in_sizes, out_sizes, low,
                 across_filters, w_other, w_tap, origin, w_slice=None, bias=None, other=None, relu=False,
                 pooled=False, spots=None, transposed=None, deep=False, back=None):
    """Add the work of a convolution; arguments as the kernels' module has them (transposed: what is tiled then)."""
    phases = math.prod(back[0]) if back else 1
    lanes, item, blocks = planner.kernels.lanes["float32"], 4, source.blocks
    rows, values, taps = _rows(g, channels, deep), _values(g, deep), g.window[1] * g.window[2]
    tiles = _tiles(g, transposed or out_sizes, blocks, deep)
    total = tiles * values * (rows * filters * phases + INPUT * rows + OUTPUT * filters * phases)
    wide = lanes * item == 64
    # A block of few tiles would transform large weights for little: tasks have tiles of several blocks then. (Of wide
    # registers so much the fewer are weights.)
    chained = fits_chain(source, target) \
        and (wide or tiles >= 8 * blocks or rows * filters * values * item <= LARGE // 2)
    group = 32 if rows >= 256 else 16
    # The transformed weights are made once, ahead of all tasks, if that is worth it and the third-level cache has room
    # for them; larger ones by each task, a few channels at a time, which the second-level cache holds.
    paired = not back and by_pairs(planner, rows, filters)
    _note(planner, g, transposed or out_sizes, deep, paired)
    once = rows * filters * _weights_cost(lanes * item) * (6 if deep else phases)
    lines = planner.kernels.pointwise.paired_lines(rows) if paired else rows
    size = -(-filters // group) * phases * values * (lines * group + 16) * item
    settled = planner.settled(_kernel_of(planner))
    ahead = size <= AHEAD and (settled or blocks * once >= total / 100)
    # Tiles that one task has alone: what is added up by the transpose, and rows, where planes are added to planes.
    apart = blocks * (1 if deep else out_sizes[0]) if transposed \
        else tiles // -(-out_sizes[2] // _side(g)) if deep else tiles
    # A part costs half a tile more, as a number of tiles is seldom what registers hold. With narrow ones, parts of many
    # channels are taken at once, as then the transformed weights need not be kept, which no near cache can.
    single = channels == rows >= DEEP_ROWS and not (wide or ahead or deep or transposed)
    fewest = -(-tiles // MANY) if single else 1
    parts, groups = (blocks, 1) if chained else _split(
        apart, -(-filters // group) * phases, total, (0 if ahead else once) + total / tiles / 2,
        tiles * values * rows * INPUT, fewest=fewest)
    # Tiles at a time: what fits into half of the second-level cache, in threes, as registers hold them. Where not even
    # three tiles do, many, so that the weights, which are larger still, are transformed and read once. Processors with
    # wider registers have more of them, and of the cache: whole rows of tiles if some fit into three quarters of it.
    points = _points_at_a_time(g, rows, lanes * item) if deep else 0
    each = _values(g) * max(1, points) * (rows + 16) * lanes * item
    chunk = max(3, min(12, (CACHE if wide else CACHE // 2) // 2 // each // 3 * 3))
    if wide:
        chunk = _whole_rows(g, transposed or out_sizes, min(12, CACHE * 3 // 4 // each), chunk)
    most = -(-tiles // parts)
    chunk = max(1, min(chunk + (most == chunk + 1) if rows < DEEP_ROWS else MANY, most))

    # What is read at once, or is a quarter of what was computed, may well be in the third-level cache yet.
    results, past = target, wide and not (chained or transposed or deep) and (not pooled or target.nbytes >= 2 * LARGE)

    def make(weights, packed, blocks, source=NOWHERE, target=NOWHERE, spots=NOWHERE, bias=NOWHERE, other=NOWHERE):
        return planner.kernels.winograd.winograd(
            source, weights, packed, target, spots, bias, other, blocks=blocks, parts=parts, groups=groups,
            group=group, chunk=chunk, channels=channels, filters=filters, window=g.window, in_sizes=in_sizes,
            out_sizes=out_sizes, low=low, strides=g.strides, across_filters=across_filters, w_other=w_other,
            w_slice=w_slice or w_tap * taps, w_line=w_tap * (back[3] if back else g.window)[-1], w_tap=w_tap,
            origin=origin, relu=relu, past=past and goes_past(results), pooled=pooled, transposed=bool(transposed),
            each=points, paired=paired, cold=wide and ahead and settled and chained, back=back)

    def whole(buffer):
        return buffer.whole() if buffer else NOWHERE
    packed = Buffer(size) if ahead else None
    if ahead:
        planner.add(lambda: make(weights.whole(), packed.whole(), 0), [weights], [packed],
                    cost=once * 0.3).lazy = not settled
    planner.add(lambda: make(NOWHERE if ahead else weights.whole(), whole(packed), blocks, source.at(), target.at(),
                             spots.at() if spots else NOWHERE, whole(bias), other.at() if other else NOWHERE),
                [source, packed or weights, *(b for b in (bias, other) if b)], [target, *([spots] if spots else [])],
                blocks=blocks if chained else 0, cost=total * (0.22 if paired else 0.3))


def by_pairs(planner, rows, filters) -> bool:
    """Whether products go by pairs (paired.h): transformed tiles must be read often enough to be worth scaling."""
    return planner.kernels.pairs and planner.kernels.lanes["float32"] == LANES_PAIRED \
        and filters % planner.kernels.pointwise.sweep_rows() == 0 \
        and filters >= LEAST_PAIRED and LEAST_SUMMED <= rows <= MOST_SUMMED


def _kernel_of(planner):
    """The kernel of the convolution, or of the gradient for the input, that is being lowered."""
    return planner.nodes[planner.now].inputs[1]


def _weights_cost(vector) -> int:
    """Vector operations per weight: by registers of half the size, twice as many, through a cache of half the size."""
    return WEIGHTS if vector == 64 else 4 * WEIGHTS


def _points_at_a_time(g, rows, vector) -> int:
    """Points along the depth at a time: all 6 if three tiles of them fit into the second-level cache, else half."""
    return 6 if 6 * _values(g) * (rows + 16) * vector * 3 <= CACHE else 3


def _whole_rows(g, outputs, most, otherwise):
    """Tiles at a time: rows of tiles, which share what they read, if `most` are enough for one with neighbours."""
    columns = -(-outputs[2] // _side(g))
    return most // columns * columns if 1 < columns <= most else otherwise


def _split(tiles, groups, total, weights, inputs, least=TASK, threads=(2, 4, 8), fewest=1):
    """(parts of the tiles, parts of the groups of filters): little done twice, and enough tasks for several threads.

    weights, inputs: what it costs to transform (or read) them all. least: the work of a task. threads: how many there
    may be. fewest: parts of the tiles.
    """
    def cost(split):
        parts, groups = split
        tasks = parts * groups
        return (total + (parts - 1) * weights + (groups - 1) * inputs) * (idle(tasks, threads) + 0.3 / tasks)
    most = int(max(fewest, min(64, total // least)))
    return min(((p, n) for p in range(fewest, min(tiles, most) + 1) for n in range(1, min(groups, most) + 1)
                if p * n <= most), key=cost)


def use_plain(g, dtype, lanes, prepared) -> bool:
    """Whether the forward convolution of a batch too small to fill the lanes goes this way.

    prepared: whether the kernel is transformed ahead of the runs.
    """
    if not applies(g) or g.strides != (1, 1, 1) or _taps(g) not in (3, 5):
        return False
    products, of_inputs, of_weights = _plain_costs(g, lanes)
    vectors, rows = -(-g.filters // lanes), g.channels * g.window[0]
    taps = g.window[1] * g.window[2]
    fast = products + of_inputs + _read(_values(g) * rows * vectors, lanes) + (0 if prepared else of_weights)
    slow = math.prod(g.outputs) * g.batch * taps * rows * vectors * 1.1 + _read(taps * rows * vectors, lanes)
    return chosen(dtype, fast, slow)


def _plain_costs(g, lanes):
    """Of the products and the outputs' transforms, of the inputs' and of the weights'."""
    tiles, values, rows = _tiles(g, g.outputs, g.batch), _values(g), g.channels * g.window[0]
    vectors, inputs = -(-g.filters // lanes), -(-g.channels // lanes) * g.window[0]
    calls = values * -(-vectors // 2) * -(-tiles // 8)
    return (tiles * vectors * values * (1.15 * rows + 8) + 39 * calls,
            tiles * inputs * values * (5 if g.window[2] == 3 else 14), 5 * values * rows * vectors)


def _read(vectors, lanes):
    """What it costs to read so many vectors of weights, by where they come from."""
    return vectors * (1 if vectors * lanes * 4 < CACHE else 5)


def run_plain(planner, g, *, source, target, weights, bias, other, relu, turned=False):
    """Add the work of a forward convolution in the plain layout, channels last.

    turned: it is the gradient for the input, and the weights are those of the convolution that it belongs to.
    """
    lanes, item = planner.kernels.lanes["float32"], 4
    _note(planner, g, g.outputs)
    tiles, values, rows = _tiles(g, g.outputs, g.batch), _values(g), g.channels * g.window[0]
    width = min(2, -(-g.filters // lanes)) * lanes
    products, of_inputs, of_weights = _plain_costs(g, lanes)
    kernels = planner.kernels.winograd
    sizes = dict(channels=g.channels, filters=g.filters, window=g.window, width=width)
    packed = Buffer(kernels.plain_weights_size(lanes=lanes, **sizes) * item)
    planner.add(lambda: kernels.plain_weights(weights.whole(), packed.whole(), turned=turned, **sizes),
                [weights], [packed],
                cost=of_weights * 0.3)
    reads = 1.7 * _read(values * rows * -(-g.filters // lanes), lanes)
    # A part has so many tiles that their sums, by one or two vectors, keep the arithmetic busy: four cycles times two
    # units, or one of twice the width.
    most = max(1, tiles * (width // lanes) // (4 if lanes * item == 64 else 8))
    parts, groups = _split(most, -(-g.filters // width), products + of_inputs, reads, 3 * of_inputs, FINE,
                           (1, 2, 2, 4))
    chunk = CACHE // 2 // (values * (rows + width) * item) // 8 * 8
    chunk = max(16, min(chunk, 64))

    def make():
        return kernels.winograd_plain(
            source.whole(), packed.whole(), target.whole(), bias.whole() if bias else NOWHERE,
            other.whole() if other else NOWHERE, samples=g.batch, parts=parts, groups=groups,
            chunk=min(chunk, -(-tiles // parts)), in_sizes=g.sizes, out_sizes=g.outputs, low=[p for p, _ in g.padding],
            relu=relu, **sizes)
    planner.add(make, [source, packed, *(b for b in (bias, other) if b)], [target], cost=(products + of_inputs) * 0.3)


def run_kernel_gradient(planner, g, *, source, gradient, target, **place):
    """Add the work of the gradient for the kernel: partial sums, then their sum (`place`: see add_partial_sums)."""
    lanes, item, blocks = planner.kernels.lanes["float32"], 4, source.blocks
    deep = use_depth(g, g.outputs, g.channels, g.filters)
    rows, filters, taps = _rows(g, g.channels, deep), g.filters, math.prod(g.window) * g.channels
    values, tiles = _values(g, deep), _tiles(g, g.outputs, blocks, deep)
    _note(planner, g, g.outputs, deep)
    points = _points_at_a_time(g, rows, lanes * item) if deep else 0
    held = _values(g) * max(1, points)

    def cost(parts, row_groups, groups, wide):
        return tiles * values * (rows * wide + INPUT * rows * groups + GRADIENTS * wide * row_groups) \
            + parts * taps * wide * 4
    parts, row_groups, width, chained = split_kernel_gradient(
        source, gradient, cost, rows=rows, most=tiles, filters=filters, lanes=lanes, item=item,
        weights=taps * filters, sums=held * item, spill=0.05)
    most = -(-rows // row_groups)
    free = CACHE - min(CACHE // 2, held * most * width * item)
    # Each chunk reads and writes the sums, which takes as long whether a tile has 16 lanes or 8.
    least = (4 if most >= 32 else 2) * (1 if lanes * item == 64 else 2)
    chunk = max(least, min(12, free // (held * (most + width) * lanes * item)))
    chunk = max(1, min(_whole_rows(g, g.outputs, min(8, chunk), chunk), -(-tiles // parts)))

    def make(partial):
        return planner.kernels.winograd.kernel_gradient(
            source.at(), gradient.at(), partial.at(), samples=g.batch, blocks=blocks, parts=parts,
            row_groups=row_groups, width=width, chunk=chunk, channels=g.channels, filters=filters, window=g.window,
            in_sizes=g.sizes, out_sizes=g.outputs, low=[p for p, _ in g.padding], strides=g.strides, each=points)
    add_partial_sums(planner, make, dtype="float32", source=source, gradient=gradient, target=target, parts=parts,
                     chained=chained, taps=taps, filters=filters, cost=tiles * values * rows * filters / 3,
                     **place)


def split_kernel_gradient(source, gradient, cost, *, rows, most, filters, lanes, item, weights, sums, spill=1.0):
    """(parts of the pixels, groups of the rows, filters of a task, whether the tasks are the blocks).

    cost(parts, row groups, filter groups, filters filled up): vector operations. most: parts there can be.
    sums: bytes that a task keeps in its cache per row and filter. spill: the share of time that it costs if they are
    more than fit by the size of the cache.
    """
    wide = -(-filters // lanes) * lanes
    partial = weights * item * source.blocks
    if fits_chain(source, gradient) and rows * wide * sums <= 0.6 * CACHE and partial <= 16 << 20:
        return source.blocks, 1, wide, True

    def total(split):
        parts, row_groups, groups = split
        wide = -(-filters // (lanes * groups)) * lanes
        tasks = parts * row_groups * groups
        return cost(parts, row_groups, groups, wide * groups) * (idle(tasks) + 0.3 / tasks) \
            * (1 + spill * max(0, -(-rows // row_groups) * wide * sums / CACHE - 0.5))
    tasks = max(1, min(64, cost(1, 1, 1, wide) // TASK))
    bound = max(1, (64 << 20) // (weights * item))       # partial sums take no more than 64 MB
    counts = (1, 2, 3, 4, 6, 8, 12, 16, 24, 32, 48, 64)
    parts, row_groups, groups = min(((p, r, n) for p in counts if p <= min(most, bound, tasks)
                                     for r in counts if r <= max(1, min(rows // 8, tasks // p))
                                     for n in counts if n <= min(-(-filters // lanes), max(1, tasks // (p * r)))),
                                    key=total)
    return parts, row_groups, -(-filters // (lanes * groups)) * lanes, False


def add_partial_sums(planner, make, *, dtype, source, gradient, target, parts, chained, taps, filters, cost,
                     besides=(), row=None, first=0, transposed=False):
    """Add work that makes `parts` partial sums of a kernel's gradient, and their sum in a fixed order.

    make: from the buffer of the partial sums to the instruction. taps: rows of `filters` weights. besides: what else
    it reads. row, first: the target's rows have so many weights, of which these are those from `first` on. transposed:
    the target has [filter][tap].
    """
    item, row = np.dtype(dtype).itemsize, row or filters
    whole = parts == 1 and row == filters and not transposed
    partial = target if whole else Buffer(taps * filters * item, parts)
    partial.shared = True
    reads = [source, gradient, *besides]
    if not chained:
        for buffer in reads:
            buffer.home.shared = True
    planner.add(lambda: make(partial), reads, [partial], blocks=parts if chained else 0, cost=cost)
    if whole:
        return
    targets, size = planner.table(np.arange(taps) * row + first), partial.block_bytes // item
    planner.add(lambda: planner.kernels.convolution.gather(dtype, partial.whole(), target.whole(), targets, filters,
                                                           parts, size, transposed),
                [partial], [target], cost=taps * filters * parts / 8)
