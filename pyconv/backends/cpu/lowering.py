"""How each op becomes work for the kernels. Elementwise ops are in chains.py; convolutions and reductions have files
of their own."""

from __future__ import annotations

import math

import numpy as np

from . import buffers as memory
from .buffers import CACHE, NOWHERE, Buffer, Lanes, Rows
from .geometry import TAPS_AHEAD
from .lowering_conv import LOWERING, lowers, pack_rows
from .lowering_plain import gemm_tile, packed_columns, plain_tile
from .lowering_reductions import reduce  # noqa: F401  (registers)
from .lowering_sampling import resized
from .lowering_winograd import FINE, idle

TABLE: dict = LOWERING          # name of an op -> function (planner, node)
BIG_WEIGHTS = 1 << 18           # bytes; above, dense layers read each weight once for all blocks
LARGE_GRADIENT = 1 << 20        # bytes of weights' gradients; above, some rows at a time, just before their update
PAST_CACHES = 1 << 23           # bytes; weights of that size come from memory
THIN = 4                        # taps of a product that take less time than writing it
WIDE = (6, 2)                   # rows and vectors of the tiles of kernels/wide.h
PACKED_ROWS = 64                # rows of a product for which it is worth packing what they are multiplied with
BIG_PAD = 1 << 16               # bytes; above, only what is around is filled


# Shapes ---------------------------------------------------------------------------------------------------------

@lowers("reshape")
def reshape(planner, node):
    x, out = node.inputs[0], node.output
    if resized(planner, x, node):
        return
    layout = planner.layout(x)
    if layout is None or not out.shape or out.shape[0] != x.shape[0]:
        planner.define(out, None, planner.rep(x, None))
        return
    natural = Lanes(tuple(range(len(x.shape) - 1)), layout.lanes)
    planner.define(out, Lanes(tuple(range(len(out.shape) - 1)), layout.lanes), planner.rep(x, natural))


@lowers("transpose")
def transpose(planner, node):
    x, out, axes = node.inputs[0], node.output, node.attrs["axes"]
    layout = planner.layout(x)
    if layout is not None and axes[0] == 0:
        # Only the names of the feature axes change.
        order = tuple(axes.index(a + 1) - 1 for a in layout.order)
        planner.define(out, Lanes(order, layout.lanes), planner.rep(x, layout))
        return
    step = memory.strides(x.shape, None)
    planner.copy(planner.rep(x, None), planner.define(out), np.dtype(x.dtype).itemsize, out.shape,
                 [step[a] for a in axes], memory.strides(out.shape, None))


def _moved(planner, out, parts, untouched, fill=None, around=False):
    """Fill `out` from parts: (tensor, sizes, first and step per axis in the tensor, and the same in out).

    untouched: whether the batch axis is whole everywhere, so that blocks can stay blocks. fill: what stands where no
    part is; around: which is only around the one part.
    """
    layout = None
    if untouched and out.shape:
        layout = next((planner.layout(p[0]) for p in parts if planner.layout(p[0]) is not None), None)
    target = planner.define(out, layout)
    item, skip, lanes = np.dtype(out.dtype).itemsize, 0 if layout is None else 1, layout.lanes if layout else 0
    b = memory.strides(out.shape, layout)
    if fill is not None and (not around or target.nbytes < BIG_PAD):
        planner.fill(target, out.dtype, fill)
    elif fill is not None:
        (_, sizes, _, _, first, _), = parts
        number = planner.number(fill, out.dtype)
        for axis in range(skip, len(out.shape)):      # inside of the part along the axes before, all along those after
            end = first[axis] + sizes[axis]
            for low, count in ((0, first[axis]), (end, out.shape[axis] - end)):
                if not count:
                    continue
                box = [*sizes[skip:axis], count, *out.shape[axis + 1:]]
                at = [*first[skip:axis], low, *(0 for _ in out.shape[axis + 1:])]
                planner.copy(number, target, item, box, [0] * len(box), b, lanes=lanes, spread=True,
                             target_start=sum(s * k for s, k in zip(b, at, strict=True)))
                planner.work[-1].lazy = bool(lanes)
    for x, sizes, x_first, x_step, y_first, y_step in parts:
        a = memory.strides(x.shape, layout)
        sizes, x_first, x_step = sizes[skip:], x_first[skip:], x_step[skip:]
        y_first, y_step = y_first[skip:], y_step[skip:]
        planner.copy(planner.rep(x, layout), target, item, sizes,
                     [s * k for s, k in zip(a, x_step, strict=True)], [s * k for s, k in zip(b, y_step, strict=True)],
                     lanes=lanes, source_start=sum(s * k for s, k in zip(a, x_first, strict=True)),
                     target_start=sum(s * k for s, k in zip(b, y_first, strict=True)))


@lowers("pad")
def pad(planner, node):
    x, out, pads = node.inputs[0], node.output, node.attrs["pads"]
    zero, one = (0,) * len(pads), (1,) * len(pads)
    _moved(planner, out, [(x, x.shape, zero, one, tuple(a for a, _ in pads), one)],
           bool(pads) and pads[0] == (0, 0) and 0 not in x.shape, node.attrs["value"], around=True)


@lowers("slice")
def slice_(planner, node):
    x, out, starts, steps = node.inputs[0], node.output, node.attrs["starts"], node.attrs["steps"]
    zero, one = (0,) * len(starts), (1,) * len(starts)
    _moved(planner, out, [(x, out.shape, starts, steps, zero, one)],
           out.shape and out.shape[0] == x.shape[0])


@lowers("slice_gradient")
def slice_gradient(planner, node):
    x, out, starts, steps = node.inputs[0], node.output, node.attrs["starts"], node.attrs["steps"]
    zero, one = (0,) * len(starts), (1,) * len(starts)
    _moved(planner, out, [(x, x.shape, zero, one, starts, steps)], x.shape and out.shape[0] == x.shape[0], 0)


@lowers("concatenate")
def concatenate(planner, node):
    out, axis, at, parts = node.output, node.attrs["axis"], 0, []
    zero, one = (0,) * len(out.shape), (1,) * len(out.shape)
    for x in node.inputs:
        if x.shape[axis]:
            parts.append((x, x.shape, zero, one, tuple(at if i == axis else 0 for i in range(len(out.shape))), one))
        at += x.shape[axis]
    _moved(planner, out, parts, axis != 0)


@lowers("flip")
def flip(planner, node):
    x, out, axes = node.inputs[0], node.output, node.attrs["axes"]
    rank = range(len(x.shape))
    _moved(planner, out, [(x, x.shape, tuple(x.shape[i] - 1 if i in axes else 0 for i in rank),
                           tuple(-1 if i in axes else 1 for i in rank), (0,) * len(x.shape), (1,) * len(x.shape))],
           0 not in axes)


# Products -------------------------------------------------------------------------------------------------------

@lowers("matmul")
def matmul(planner, node):
    a, b = node.inputs
    if resized(planner, b if a.node.op == "constant" else a, node):
        return
    ta, tb = node.attrs["transpose_a"], node.attrs["transpose_b"]
    lanes = planner.kernels.lanes[a.dtype]

    def in_lanes(tensor):
        layout = planner.layout(tensor)
        return len(tensor.shape) == 2 and layout is not None and layout.lanes == lanes
    if in_lanes(a) and not ta and len(b.shape) == 2 and planner.layout(b) is None:
        dense(planner, node, a, b, tb)
    elif in_lanes(a) and ta and not tb and len(b.shape) == 2:
        product(planner, node, lanes_of_a=lanes)
    else:
        product(planner, node)


def dense(planner, node, x, w, transposed):
    """Samples in the lanes times weights."""
    layout, lanes, dtype = planner.layout(x), planner.kernels.lanes[x.dtype], x.dtype
    source, weights = planner.rep(x, layout), planner.rep(w, None)
    inputs, outputs = x.shape[1], node.output.shape[1]
    tensor, bias, relu = planner.epilogue(node, 1)
    bias_buffer = None if bias is None else planner.rep(bias, None)
    target = planner.define(tensor, Lanes((0,), lanes))
    item, blocks = np.dtype(dtype).itemsize, source.blocks
    together = inputs * outputs * item > BIG_WEIGHTS if blocks > 1 else inputs * outputs >= 2 * FINE
    wide = together and _wide(planner, dtype, outputs, blocks)
    cb, xb = WIDE if wide else _dense_tile(planner.kernels.packed, outputs, blocks if together else 1)
    row, tap = (inputs, 1) if transposed else (1, outputs)
    tiles = -(-outputs // cb)
    per_task = max(1, min(8, tiles // 8)) if together else 0
    # Weights that stay the same are packed once (see planner.py); others by each task for itself.
    changing = together and (wide or not _wide(planner, dtype)) and w.node.op == "variable" \
        and any(v is w.node.attrs["variable"] for v, _ in planner.graph.updates)
    options = {}
    if changing:
        packed, options = weights, dict(w_row=row, w_tap=tap)
        per_task = min(range(1, 17), key=lambda n: idle(-(-tiles // n)) + 0.05 * -(-n * cb // lanes) * lanes / (n * cb)
                       + 0.2 / n)
    if wide:
        per_task = min(range(1, 33), key=lambda n: idle(-(-tiles // n)) + 0.3 / n)
    if not changing:
        packed = Buffer(tiles * cb * inputs * item)
        pack_rows(planner, dtype, weights, packed, [np.arange(inputs, dtype=np.int64) * tap], outputs, cb, row)
    xo = planner.table(np.arange(min(inputs, 512) + TAPS_AHEAD) * lanes)

    def make():
        place = Buffer.whole if together else Buffer.at
        return planner.kernels.matmul.dense(
            dtype, place(source), packed.whole(), place(target), bias_buffer.whole() if bias_buffer else NOWHERE,
            inputs=inputs, outputs=outputs, cb=cb, xb=xb, blocks=blocks, tasks_of=per_task,
            x_block=source.block_bytes // item, y_block=target.block_bytes // item, xo=xo, relu=relu, **options)
    reads = [source, packed, *([bias_buffer] if bias_buffer else [])]
    planner.add(make, reads, [target], blocks=0 if together else blocks, cost=inputs * outputs * blocks * 0.3)
    if together:
        source.shared = target.shared = True


def _wide(planner, dtype, rows=WIDE[0], vectors=WIDE[1]) -> bool:
    """Whether a product of so many rows, and vectors, goes by the tiles of kernels/wide.h."""
    return dtype == "float32" and planner.kernels.lanes[dtype] == 8 and rows >= WIDE[0] and vectors >= WIDE[1]


def _dense_tile(tiles, outputs, blocks):
    """(rows, vectors) with the fewest rounds: as many sums as fit, rows that divide well, blocks that divide well.

    With few rows the vectors, which come from the second-level cache, would be read too often.
    """
    def cost(tile):
        cb, xb = tile
        work = -(-outputs // cb) * cb * -(-blocks // xb) * min(xb, blocks)
        return work * (max(1.0, 4 / cb, 6 / (cb * min(xb, blocks))) + (cb + xb) / (2 * cb * xb))
    usable = [t for t in tiles if t[1] <= blocks and all((t[0], k) in tiles for k in range(1, t[1] + 1))]
    return min(sorted(usable, reverse=True), key=cost)


def _task_of(m, k, vectors, batch, cb, xb, vector, packing):
    """(rows, vectors) of a task of a product with B packed: what takes least, with enough tasks for some threads.

    vector: its bytes; packing: operations for each vector that a task packs. Besides, a task reads its part of B, and
    of A.
    """
    taps = min(k, 512)

    def cost(task):
        rows, cols = task
        row_tasks, col_tasks = -(-m // rows), -(-vectors // cols)
        return (idle(batch * row_tasks * col_tasks) * row_tasks * rows * col_tasks * cols / (m * vectors)
                * (1 + (packing + 3) / rows + 0.25 / cols + 500 / (rows * k * cols) + 0.1 * -(-rows // cb) * cb / rows))
    tiles = -(-m // cb)
    rows = {-(-m // n) for n in (1, 2, 4, 8, *range(16, tiles + 1, 8)) if n <= tiles}
    rows = {r for r in rows if r * taps * 4 <= CACHE // 2} or {cb}
    cols = [c for c in range(xb, vectors + xb, xb) if c == xb or taps * c * vector <= CACHE // 3]
    return min(((r, c) for r in sorted(rows) for c in cols), key=cost)


def product(planner, node, lanes_of_a=0):
    """The general matrix product; with `lanes_of_a`, a is (samples, k) in lanes and used transposed."""
    a, b, kernels = *node.inputs, planner.kernels
    dtype, lanes = a.dtype, planner.kernels.lanes[a.dtype]
    ta, tb = node.attrs["transpose_a"], node.attrs["transpose_b"]
    m, n = node.output.shape[-2:]
    k = a.shape[-2] if ta else a.shape[-1]
    batch = node.output.shape[:-2]
    tensor, bias, relu = planner.epilogue(node, len(node.output.shape) - 1)
    bias_buffer = None if bias is None else planner.rep(bias, None)
    right, item = planner.rep(b, None), np.dtype(dtype).itemsize
    settled, pack = planner.settled(b) and len(b.shape) == 2, ""
    by_rows = ta and not (tb or settled or batch) and m * n * item >= LARGE_GRADIENT and k * n * item <= CACHE // 2
    if settled and tb:
        turned = Buffer(right.nbytes)
        planner.copy(right, turned, item, [k, n], [1, k], [n, 1])
        right = turned
    elif tb:
        pack = "turned"
    elif not (settled or by_rows) and m >= PACKED_ROWS \
            and (n * item % 4096 == 0 or n % lanes and k * n * item <= CACHE):
        pack = "copied"
    if lanes_of_a:
        left = planner.rep(a, Lanes((0,), lanes))
        samples = np.arange(k)
        a_taps = planner.table(samples // lanes * (left.block_bytes // item) + samples % lanes)
        a_row = lanes
        left.shared = True
    else:
        left = planner.rep(a, None)
        a_row, a_tap = (1, m) if ta else (k, 1)
        a_taps = planner.table(np.arange(k) * a_tap)
    b_taps = planner.table(np.arange(k) * n)

    def starts(shape, size):
        grid = np.arange(math.prod(shape[:-2]), dtype=np.int64).reshape(shape[:-2]) * size
        return planner.table(np.broadcast_to(grid, batch).ravel(), np.int64)
    a_batch, b_batch = starts(a.shape, m * k), starts(b.shape, k * n)
    vectors = -(-n // lanes)
    # Few rows take as long as it takes to read the weights, few taps as it takes to write their gradient. Dot products
    # of rows (B is to be turned) must be long, or few, as their lanes are summed.
    thin = dtype == "float32" and not settled and (
        m < lanes and not ta and (k >= 256 or m <= 2 and k >= 64) if tb
        else m == 1 and k * n * item >= PAST_CACHES or k <= THIN and vectors >= 16)
    wide = _wide(planner, dtype, m, vectors) and min(k, m) >= 24 and not (settled or thin)
    best = WIDE if wide else gemm_tile(kernels.strided, m, vectors)
    if settled and m < lanes:
        most = max(1, min(4, vectors // 2))
        cb, xb = gemm_tile({t for t in kernels.strided if t[1] <= most}, m, vectors)
        rows, cols = cb, xb
    elif thin:
        cb, xb = best
        rows, cols = (m, max(1 if tb else 16, -(-vectors // 8))) if m <= k or tb \
            else (-(-(1 << 15) // (n * item)), vectors)
        pack = "turned" if tb else ""
    elif settled or pack:
        cb, xb = best if wide else plain_tile(kernels.strided, m, vectors, 1)
        rows, cols = _task_of(m, k, vectors, math.prod(batch), cb, xb, lanes * item, 8 if pack else 0)
    else:
        cb, xb = best
        rows = min(m, max(cb, 64 // cb * cb))
        cols = max(xb, 128 * 1024 // (max(1, min(k, 512)) * lanes * 8) // xb * xb) if m > cb \
            else max(xb, -(-vectors // 8))
    packed = settled or by_rows and wide
    if packed or pack and not thin:
        b_taps = planner.table(np.arange(k if packed else min(k, 512)) * xb * lanes)
    if packed:
        right = packed_columns(planner, right, k, n, xb * lanes, item)
    target = planner.define(tensor)
    most = min(16, (96 << 10) // (n * item * cb))        # tiles of rows that stay in the cache beside the right side
    by_rows = Rows(m, min(range(min(6, most) * cb, most * cb + 1, cb), key=lambda r: idle(-(-m // r)))) \
        if by_rows and most >= 3 else None
    if by_rows:
        rows, cols = by_rows.each, vectors
        target.in_rows(by_rows)

    def read_next():
        reads = {id(b): b for w in target.readers if by_rows and w.rows == by_rows for b in w.reads}.values()
        return [b.whole() for b in reads if b.array is not None and b.rows == by_rows and b.nbytes == target.nbytes]

    def make():
        return kernels.matmul.gemm(dtype, left.whole(), right.whole(), target.whole(),
                                   bias_buffer.whole() if bias_buffer else NOWHERE, m=m, n=n, k=k, a_row=a_row,
                                   a_taps=a_taps, b_taps=b_taps, a_batch=a_batch, b_batch=b_batch, rows=rows,
                                   cols=cols, cb=cb, xb=xb, relu=relu, packed=bool(packed), pack=pack,
                                   row=settled and m == 1 and not lanes_of_a, thin=thin,
                                   ahead=read_next())
    planner.add(make, [left, right, *([bias_buffer] if bias_buffer else [])], [target],
                rows=by_rows, cost=math.prod(batch) * m * k * vectors * 0.35)


# Loss and random numbers ----------------------------------------------------------------------------------------

@lowers("sparse_softmax_cross_entropy", "sparse_softmax_cross_entropy_gradient")
def cross_entropy(planner, node):
    logits, labels, *rest = node.inputs
    out, dtype, classes = node.output, logits.dtype, logits.shape[-1]
    samples, item = math.prod(labels.shape), np.dtype(logits.dtype).itemsize
    layout = planner.layout(logits)
    in_lanes = layout is not None and len(logits.shape) == 2 and layout.lanes == planner.kernels.lanes[dtype]
    layout = layout if in_lanes else None
    failure = planner.message(f"A label is {{value}}, but with {classes} classes labels must be from 0 to "
                              f"{classes - 1}. Check the labels, or give the last layer more units.")
    source, truth = planner.rep(logits, layout), planner.rep(labels, None)
    vector = Lanes((), layout.lanes) if in_lanes else None
    grad = planner.rep(rest[0], vector) if rest else None
    target = planner.define(out, (layout if rest else vector) if in_lanes else None)
    per_task = layout.lanes if in_lanes else max(1, min(256, 8192 // classes))
    label_item = np.dtype(labels.dtype).itemsize

    def ranged(buffer, size):
        base, _, where = buffer.whole()
        return base, per_task * size, where

    def make():
        wide = (lambda b: b.at()) if in_lanes else (lambda b: ranged(b, classes * item))
        thin = (lambda b: b.at()) if in_lanes else (lambda b: ranged(b, item))
        return planner.kernels.special.cross_entropy(
            dtype, labels.dtype, wide(source), ranged(truth, label_item), thin(grad) if rest else None,
            wide(target) if rest else thin(target), samples=samples, classes=classes,
            in_lanes=in_lanes, per_task=per_task, failure=failure)
    reads = [source, truth, *([grad] if rest else [])]
    planner.add(make, reads, [target], blocks=source.blocks if in_lanes else 0, cost=samples * classes)


@lowers("random_uniform", "random_normal")
def random(planner, node):
    state, out = planner.rep(node.inputs[0], None), node.output
    target, count = planner.define(out), math.prod(out.shape)
    normal = node.op == "random_normal"
    planner.add(lambda: planner.kernels.special.random(out.dtype, state.whole(), target.whole(), count=count,
                                                       normal=normal),
                [state], [target], cost=count * (20 if normal else 3))


@lowers("take", "take_gradient")
def take(planner, node):
    (x, indices), out, axis = node.inputs, node.output, node.attrs["axis"]
    shape = node.attrs.get("shape", x.shape)
    outer, size, inner, count = math.prod(shape[:axis]), shape[axis], math.prod(shape[axis + 1:]), indices.size
    source, chosen, target = planner.rep(x, None), planner.rep(indices, None), planner.define(out)
    failure = planner.message(f"An index is {{value}}, but along an axis of {size} elements indices must be from 0 to "
                              f"{size - 1}.")
    options = dict(outer=outer, size=size, count=count, failure=failure)
    kernels, item = planner.kernels.special, np.dtype(x.dtype).itemsize

    def make():
        if node.op == "take":
            return kernels.take(source.whole(), indices.dtype, chosen.whole(), target.whole(), inner=inner * item,
                                **options)
        return kernels.take_gradient(x.dtype, source.whole(), indices.dtype, chosen.whole(), target.whole(),
                                     inner=inner, **options)
    planner.add(make, [source, chosen], [target], cost=outer * inner * (count + size) * item / 8)
