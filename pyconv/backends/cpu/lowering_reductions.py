"""How reductions become work: over features within a block, over samples by partial results per block."""

from __future__ import annotations

import math

import numpy as np

from . import buffers as memory
from . import chain_code
from .buffers import Buffer, Lanes, Rows
from .lowering_conv import lowers


def _workable(planner, x):
    """A tensor of a type that reductions compute in: (dtype, function that gives a buffer for a layout)."""
    if x.dtype in ("float32", "float64", "int64"):
        return x.dtype, lambda layout: planner.rep(x, layout)

    def widened(layout):
        return converted(planner, planner.rep(x, layout), x.shape, x.dtype, "int64", layout)
    return "int64", widened


def converted(planner, source, shape, old, new, layout):
    """A copy of a buffer in another element type."""
    target = Buffer.for_tensor(shape, new, layout)
    count = math.prod(shape) if layout is None else math.prod(shape[1:]) * layout.lanes
    code = [(planner.chains.codes["copy"], 1, 0, 0, 0, 0)]
    dtype = new if new in ("float32", "float64") else "int64"

    def make():
        a, b = (source.at(), target.at()) if layout else (source.whole(), target.whole())
        return chain_code.instruction(planner.kernels, dtype, [count], [(a, old, 0, [1])], [(b, new, 1, 0)], code,
                                      registers=2, blocks=target.blocks, chunk=0 if layout else 16384)
    planner.add(make, [source], [target], blocks=target.blocks, cost=count)
    return target


def _plain_axes(shape, axes):
    """How a plain array is reduced, as the kernels take it: kept, reduced, across, run, step, chunk."""
    step = memory.strides(shape, None)
    kept = [(shape[i], step[i]) for i in range(len(shape)) if i not in axes and shape[i] != 1]
    reduced = [(shape[i], step[i]) for i in range(len(shape)) if i in axes and shape[i] != 1] or [(1, 1)]
    kept, reduced = _merge(kept), _merge(reduced)
    across = bool(kept) and kept[-1][1] == 1
    run, run_step = kept.pop() if across else reduced.pop()
    chunk = max(1, 16384 * max(1, math.prod(n for n, _ in kept)) // max(1, math.prod(shape)))
    return dict(kept=kept, reduced=reduced, across=across, run=run, step=run_step, chunk=chunk)


ROWS = 1 << 15             # elements; larger arrays that are reduced along their rows are taken in blocks of these
BLOCK = 1 << 14            # elements of such a block


def _in_rows(planner, x, axes, source, targets):
    """(Rows, how a block of rows is reduced) of a large plain array, along its last axis; or None."""
    if x.size < ROWS or tuple(axes) != (len(x.shape) - 1,) or x.shape[-1] in (1, x.size) or planner.settled(x):
        return None
    n = x.shape[-1]
    rows = Rows(x.size // n, max(1, BLOCK // n))
    if not all([b.in_rows(rows) for b in (source, *targets)]):
        return None
    return rows, {**_plain_axes((rows.each, n), (1,)), "chunk": 0, "blocks": rows.blocks, "rest": rows.count}


def _lanes_axes(x, layout, axes):
    """The same for a tensor in lanes: kept and reduced."""
    features = memory.strides(x.shape, layout)
    kept = [(x.shape[a], features[a - 1]) for a in range(1, len(x.shape)) if a not in axes]
    gone = [(x.shape[1 + a], features[a]) for a in layout.order if 1 + a in axes]
    return dict(kept=kept or [(1, 0)], reduced=_merge(gone) or [(1, 0)])


def _merge(axes):
    """Neighbouring axes that are one run become one."""
    out = []
    for n, step in axes:
        if out and out[-1][1] == n * step:
            out[-1] = (out[-1][0] * n, step)
        else:
            out.append((n, step))
    return out


@lowers("sum", "max", "min")
def reduce(planner, node):
    x, out, axes, op = node.inputs[0], node.output, node.attrs["axes"], node.op
    layout = planner.layout(x)
    dtype, buffer_in = _workable(planner, x)
    kernels = planner.kernels.reduction
    if not axes:
        planner.define(out, layout, planner.rep(x, layout))
        return
    if op == "sum":
        partner = _partner(planner, node, "variance")
        if partner is not None:
            return moments(planner, partner, node)
    if layout is not None and (dtype == "int64" or layout.lanes != planner.kernels.lanes[dtype]):
        layout = None
    if layout is None:
        source = buffer_in(None)
        target = planner.define(out) if dtype == out.dtype else Buffer.for_tensor(out.shape, dtype, None)
        same = dtype == x.dtype == out.dtype
        rows, block = (_in_rows(planner, x, axes, source, [target]) if same else None) or (None, None)

        def make():
            if rows is None:
                return kernels.reduce(dtype, op, source.whole(), target.whole(), **_plain_axes(x.shape, axes))
            return kernels.reduce(dtype, op, source.at_rows(rows), target.at_rows(rows), **block)
        planner.add(make, [source], [target], rows=rows, cost=math.prod(x.shape) / 4)
        if dtype != out.dtype:
            planner.define(out, None, converted(planner, target, out.shape, dtype, out.dtype, None))
        return
    if op == "sum" and planner.chains.take_sum(node, layout):
        return
    source, shape = planner.rep(x, layout), _lanes_axes(x, layout, axes)
    blocks, cost = source.blocks, source.nbytes / 16
    if 0 not in axes:
        target = planner.define(out, Lanes(tuple(range(len(out.shape) - 1)), layout.lanes))
        planner.add(lambda: kernels.reduce(dtype, op, source.at(), target.at(), **shape, across=True, run=layout.lanes,
                                           blocks=blocks), [source], [target], blocks=blocks, cost=cost)
        return
    # Over the samples: one partial result per block, then the partial results in their order.
    count = math.prod(n for n, _ in shape["kept"])
    partial = Buffer(count * np.dtype(dtype).itemsize, blocks)
    planner.add(lambda: kernels.reduce(dtype, op, source.at(), partial.at(), **shape, across=False, run=layout.lanes,
                                       blocks=blocks, samples=x.shape[0]),
                [source], [partial], blocks=blocks, cost=cost)
    planner.combine(op, dtype, partial, planner.define(out), count)


def _partner(planner, node, op):
    """The node of another op that reduces the same tensor over the same axes."""
    return next((n for n in planner.consumers[id(node.inputs[0])]
                 if n is not None and n.op == op and n.attrs["axes"] == node.attrs["axes"]), None)


@lowers("variance")
def variance(planner, node):
    moments(planner, node, _partner(planner, node, "sum"))


def moments(planner, node, total):
    """The variance, and with it the sum if that is asked for too."""
    x, axes, dtype = node.inputs[0], node.attrs["axes"], node.output.dtype
    layout, kernels = planner.layout(x), planner.kernels.reduction
    planner.done |= {id(n) for n in (node, total) if n is not None}
    outputs = [None if n is None else n.output for n in (total, node)]
    if layout is not None and layout.lanes != planner.kernels.lanes[dtype]:
        layout = None
    source = planner.rep(x, layout)

    def targets(layout):
        return [None if t is None else planner.define(t, layout) for t in outputs]

    def there(place, buffers):
        return [None if b is None else place(b) for b in buffers]
    if layout is None or not axes:
        shape, results = _plain_axes(x.shape, axes), targets(None)
        source, made = planner.rep(x, None), [b for b in results if b is not None]
        rows, block = _in_rows(planner, x, axes, source, made) or (None, None)

        def make():
            if rows is None:
                return kernels.moments(dtype, source.whole(), *there(Buffer.whole, results), **shape)
            return kernels.moments(dtype, source.at_rows(rows), *there(lambda b: b.at_rows(rows), results), **block)
        planner.add(make, [source], made, rows=rows, cost=math.prod(x.shape) / 2)
        return
    shape, blocks, cost = _lanes_axes(x, layout, axes), source.blocks, source.nbytes / 8
    if 0 not in axes:
        results = targets(Lanes(tuple(range(len(node.output.shape) - 1)), layout.lanes))
        planner.add(lambda: kernels.moments(dtype, source.at(), *there(Buffer.at, results), **shape, across=True,
                                            run=layout.lanes, blocks=blocks),
                    [source], [b for b in results if b is not None], blocks=blocks, cost=cost)
        return
    count, samples, item = math.prod(n for n, _ in shape["kept"]), x.shape[0], np.dtype(dtype).itemsize
    means, squares = Buffer(count * item, blocks), Buffer(count * item, blocks)
    means.shared = squares.shared = True
    planner.add(lambda: kernels.moments(dtype, source.at(), means.at(), squares.at(), **shape, across=True,
                                        run=layout.lanes, blocks=blocks, samples=samples),
                [source], [means, squares], blocks=blocks, cost=cost)
    each, results = math.prod(n for n, _ in shape["reduced"]), targets(None)
    planner.add(lambda: kernels.join_moments(
        dtype, means.whole(), squares.whole(), *there(Buffer.whole, results), count=count, parts=blocks,
        step=means.block_bytes // item, each=each * layout.lanes, last=each * (samples - (blocks - 1) * layout.lanes)),
        [means, squares], [b for b in results if b is not None], cost=count * blocks + 50)


@lowers("argmax", "argmin")
def arg(planner, node):
    x, out, axis, op = node.inputs[0], node.output, node.attrs["axis"], node.op
    layout = planner.layout(x)
    dtype, buffer_in = _workable(planner, x)
    if layout is not None and axis != 0:
        source, features = buffer_in(layout), memory.strides(x.shape, layout)
        kept = [(x.shape[a], features[a - 1]) for a in range(1, len(x.shape)) if a != axis] + [(layout.lanes, 1)]
        target = planner.define(out, Lanes(tuple(range(len(out.shape) - 1)), layout.lanes))
        planner.add(lambda: planner.kernels.reduction.arg(dtype, op, source.at(), target.at(), kept=kept,
                                                          count=x.shape[axis], step=features[axis - 1],
                                                          blocks=source.blocks),
                    [source], [target], blocks=source.blocks, cost=math.prod(x.shape))
        return
    source, step = buffer_in(None), memory.strides(x.shape, None)
    kept = [(x.shape[a], step[a]) for a in range(len(x.shape)) if a != axis]
    target = planner.define(out)
    planner.add(lambda: planner.kernels.reduction.arg(dtype, op, source.whole(), target.whole(), kept=kept or [(1, 0)],
                                                      count=x.shape[axis], step=step[axis], chunk=256),
                [source], [target], cost=math.prod(x.shape))


@lowers("argsort")
def argsort(planner, node):
    x, out = node.inputs[0], node.output
    dtype, buffer_in = _workable(planner, x)
    source, target, n = buffer_in(None), planner.define(out), x.shape[-1]
    rows = math.prod(x.shape[:-1])
    planner.add(lambda: planner.kernels.special.argsort(dtype, source.whole(), target.whole(), rows=rows, count=n),
                [source], [target], cost=rows * n * max(1, n.bit_length()) * 5)
