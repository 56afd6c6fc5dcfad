"""Convolutions of batches too small to fill the lanes: the plain layout, channels last, with filters in the lanes."""

from __future__ import annotations

import itertools
import math

import numpy as np

from . import buffers as memory
from . import lowering_depthwise as depthwise
from . import lowering_dilated as dilated
from . import lowering_few as few
from . import lowering_grouped as grouped
from . import lowering_pointwise as pointwise
from .buffers import CACHE, NOWHERE, Buffer
from .geometry import border, tap_number
from .lowering_pooled import pooling_of
from .lowering_winograd import FINE, run_plain, use_plain

MOST_PHASES = 64                # convolutions that the gradient for the input may be
PART = CACHE * 3 // 4           # bytes of an input and a gradient that are gone over together
LARGE = 3 * CACHE               # ... from which on they are


def conv(planner, node, g):
    """The forward convolution."""
    x, kernel = node.inputs
    dtype, rank, channels_last = x.dtype, len(x.shape), node.attrs["channels_last"]
    depth = depthwise.applies(g)
    tensor, bias, relu, other = planner.epilogue_and_sum(node, rank - 1 if channels_last else 1,
                                                         channels_last and not depth)
    source, weights = channels_at_end(planner, x, channels_last), planner.rep(kernel, None)
    bias, other = (None if t is None else planner.rep(t, None) for t in (bias, other))
    if depth:
        with Result(planner, tensor, channels_last) as target:
            if g.filters > 1:
                source = _repeated(planner, source, math.prod(g.sizes) * g.batch, g.groups, g.filters,
                                   np.dtype(dtype).itemsize)
                g = g.repeated()
            depthwise.run_plain(planner, g, dtype=dtype, source=source, target=target, weights=weights, bias=bias,
                                relu=relu)
        return
    w, pooled = dilated.undilated(g), False
    lanes = planner.kernels.lanes[dtype]
    dots = other is None and few.applies(dtype, lanes, groups=g.groups, channels=g.channels, filters=g.filters,
                                         taps=math.prod(g.window))
    winograd = not dots and use_plain(w, dtype, lanes, planner.settled(kernel))
    if not winograd and channels_last and other is None and pooling_of(planner, tensor, in_lanes=False):
        pool = planner.only_consumer(tensor)
        if pool is not None and pool.op == "max_pool":
            planner.done.add(id(pool))
            tensor, pooled, dots = pool.output, True, False
    with Result(planner, tensor, channels_last) as target:
        common = dict(dtype=dtype, weights=weights, bias=bias, relu=relu)
        if winograd:
            _run_winograd(planner, g, w, source=source, target=target, other=other, **common)
        else:
            _run_direct(planner, g, source=source, target=target, other=other, pooled=pooled, dots=dots,
                        settled=planner.settled(kernel), **common)


def input_gradient(planner, node, g) -> bool:
    """The gradient for the input, or a transposed convolution; False where samples in the lanes are better.

    By Winograd's algorithm, and for depthwise kernels, it is the convolution of the gradient, with zeros between its
    pixels where the strides are larger than one, by the kernel turned around; else each remainder of the inputs' places
    modulo the strides is a convolution with the taps that reach it.
    """
    grad, kernel = node.inputs
    dtype, channels_last, item = grad.dtype, node.attrs["channels_last"], np.dtype(grad.dtype).itemsize
    turned, depth, lanes = g.turned(), depthwise.applies(g), planner.kernels.lanes[dtype]
    inside = min(map(min, turned.padding)) >= 0
    if depth and (g.filters > 1 or math.prod(g.strides) > 1):
        depth = not grouped.side_by_side(g.groups, g.filters, g.channels, dtype, lanes)
    dots = few.applies(dtype, lanes, groups=g.groups, channels=g.filters, filters=g.channels,
                       taps=max(1, math.prod(g.window) // math.prod(g.strides)))
    if math.prod(g.strides) > (4 if dots else 1) * MOST_PHASES or depth and not (inside and g.filters == 1):
        return False
    tensor, bias, relu = planner.epilogue(node, len(grad.shape) - 1 if channels_last else 1)
    source, weights = channels_at_end(planner, grad, channels_last), planner.rep(kernel, None)
    common = dict(dtype=dtype, bias=None if bias is None else planner.rep(bias, None), relu=relu)
    with Result(planner, tensor, channels_last) as target:
        if depth:
            line = g.groups
            flipped = Buffer(weights.nbytes)
            planner.copy(weights, flipped, item, [math.prod(g.window), line], [-line, 1], [line, 1],
                         source_start=(math.prod(g.window) - 1) * line)
            depthwise.run_plain(planner, turned, source=_spread(planner, g, source, turned.sizes, item), target=target,
                                weights=flipped, **common)
        elif not dots and inside and g.strides == (1, 1, 1) and use_plain(dilated.undilated(turned), dtype, lanes,
                                                             planner.settled(kernel)):
            _run_winograd(planner, turned, dilated.undilated(turned), source=source, target=target, weights=weights,
                          other=None, turned=True, **common)
        else:
            # Of few channels, those of the results, the filters lie side by side already.
            _run_phases(planner, g, source=source, target=target, dots=dots,
                        weights=weights if dots else _exchanged(planner, g, weights, dtype), **common)
    return True


def _run_winograd(planner, g, parts, *, dtype, source, target, other, **options):
    """Add the work of a convolution by Winograd's algorithm; parts: without its dilation."""
    source = dilated.apart(planner, g, parts, source, dtype, g.channels)
    other = dilated.apart(planner, g, parts, other, dtype, g.filters, outputs=True)
    target, join = dilated.whole(planner, g, parts, target, dtype, g.filters)
    run_plain(planner, parts, source=source, target=target, other=other, **options)
    join()


def _spread(planner, g, source, sizes, item):
    """The gradient with zeros between its pixels."""
    if sizes == g.outputs:
        return source
    spread, pixel = Buffer(g.batch * math.prod(sizes) * g.groups * g.filters * item), g.groups * g.filters
    planner.fill(spread, "float32" if item == 4 else "float64")
    old, apart = (g.batch, *g.outputs, pixel), (1, *g.strides, 1)
    planner.copy(source, spread, item, old, memory.strides(old, None),
                 [s * n for s, n in zip(apart, memory.strides((g.batch, *sizes, pixel), None), strict=True)])
    return spread


def _run_phases(planner, g, *, dtype, source, target, weights, bias, relu, dots):
    """Add the work of the gradient for the input by its definition; weights: [tap][filter][channel], or, with sums
    along the lanes (dots), [tap][channel][filter]."""
    item, axes = np.dtype(dtype).itemsize, g.backward()
    all_channels, all_filters = g.channels * g.groups, g.filters * g.groups
    source, padded, low = _with_border(planner, source, axes, g.outputs, g.batch, all_filters * item)
    steps = memory.strides((g.batch, *padded, all_filters), None)
    places = memory.strides((g.batch, *g.sizes, all_channels), None)
    for phases in itertools.product(*(axis[0] for axis in axes)):
        taps = list(itertools.product(*(phase[3] for phase in phases)))
        taps_x = [sum((q + n) * s for (_, q), n, s in zip(tap, low, steps[1:4], strict=True)) for tap in taps]
        taps_w = [tap_number([k for k, _ in tap], g.window) * g.filters * all_channels for tap in taps]
        each, first = np.arange(g.filters), sum(phase[0] * s for phase, s in zip(phases, places[1:4], strict=True))
        _add_direct(planner, dtype=dtype, source=source, weights=weights, bias=bias, other=None, relu=relu,
                    target=target, origin=first * item,
                    taps_x=np.add.outer(np.array(taps_x, np.int64), each).ravel(),
                    taps_w=np.add.outer(np.array(taps_w, np.int64), each * all_channels).ravel(),
                    wc=all_channels, dots=dots,
                    batch=g.batch, groups=g.groups, channels=g.filters, filters=g.channels,
                    outputs=tuple(phase[1] for phase in phases), steps=[*steps[1:4], steps[0]],
                    places=[*(phase[2] * s for phase, s in zip(phases, places[1:4], strict=True)), places[0]])


def kernel_gradient(planner, node, g):
    """The gradient for the kernel.

    For each row of the kernel a product of matrices: all its columns and channels times the pixels that they meet,
    times the pixels' gradients. The pixels go by in parts of some rows, all of the same form.
    """
    x, grad = node.inputs
    dtype, channels_last, item = x.dtype, node.attrs["channels_last"], np.dtype(x.dtype).itemsize
    source, gradient = (channels_at_end(planner, t, channels_last) for t in (x, grad))
    if depthwise.applies(g):
        if g.filters > 1:
            source = _repeated(planner, source, math.prod(g.sizes) * g.batch, g.groups, g.filters, item)
        return depthwise.run_plain_kernel_gradient(planner, g.repeated(), dtype=dtype, source=source,
                                                   gradient=gradient, target=planner.define(node.output))
    all_channels, all_filters = g.channels * g.groups, g.filters * g.groups
    source, padded, low = _with_border(planner, source, g.forward(), g.sizes, g.batch, all_channels * item)
    row, depth = padded[2] * all_channels, padded[1] * padded[2] * all_channels
    steps = [g.strides[0] * depth, g.strides[1] * row, g.strides[2] * all_channels]
    offsets = [(low[i] - g.padding[i][0] + np.arange(g.window[i]) * g.dilation[i]) * step
               for i, step in enumerate((depth, row, all_channels))]
    side = grouped.side_by_side(g.groups, g.channels, g.filters, dtype, planner.kernels.lanes[dtype])
    if side:
        lines = [np.arange(n) * step for n, step in zip((g.batch, *g.outputs[:2]), (padded[0] * depth, *steps[:2]),
                                                        strict=True)]
        return grouped.run_kernel_gradient(
            planner, g, side, source=source, gradient=gradient, target=planner.define(node.output),
            rows=np.add.outer(np.add.outer(*lines[:2]), lines[2]).ravel(),
            taps=np.add.outer(np.add.outer(*offsets[:2]), offsets[2]).ravel())
    rows = max(n for n in range(1, g.outputs[1] + 1) if g.outputs[1] % n == 0 and (n * g.outputs[2] <= 512 or n == 1))
    pixels = rows * g.outputs[2]
    sections = np.add.outer(np.add.outer(
        np.arange(g.batch, dtype=np.int64) * padded[0] * depth, np.arange(g.outputs[0]) * steps[0]),
        np.arange(0, g.outputs[1], rows) * steps[1]).ravel()
    a_taps = planner.table(np.add.outer(np.arange(rows) * steps[1], np.arange(g.outputs[2]) * steps[2]))
    b_taps = planner.table(np.arange(pixels) * all_filters)
    # Columns and channels are one axis if they lie side by side.
    together = g.groups == 1 and g.dilation[2] == 1
    columns = offsets[2][:1] if together else offsets[2]
    taps = np.add.outer(np.add.outer(*offsets[:2]), columns).ravel()
    m, lanes = g.channels * (g.window[2] if together else 1), planner.kernels.lanes[dtype]
    each = _together(sections, pixels * (g.strides[1] * g.strides[2] * all_channels + all_filters) * item,
                     node.output.size * item)
    parts, sections, begin = len(sections) // each, planner.table(sections[:each], np.int64), sections[::each]
    if g.groups == 1 and 2 * g.filters * -(-m // lanes) < m * -(-g.filters // lanes):
        return _transposed_kernel_gradient(planner, g, node.output, source, gradient, sections=sections, begin=begin,
                                           columns=m, pixels=a_taps, taps=taps)
    a_batch = planner.table(np.add.outer(begin, np.add.outer(np.arange(g.groups) * g.channels, taps)).ravel(), np.int64)
    b_batch = planner.table(np.add.outer(np.arange(parts) * each * pixels * all_filters, np.repeat(
        np.arange(g.groups) * g.filters, len(taps))).ravel(), np.int64)
    vectors = -(-g.filters // lanes)
    cb, xb = gemm_tile(planner.kernels.strided, m, vectors)
    target = planner.define(node.output)
    sums = target if g.groups == 1 else Buffer(target.nbytes)
    partial = Buffer(sums.nbytes * parts) if parts > 1 else sums
    k = pixels * each

    def make():
        return planner.kernels.matmul.gemm(
            dtype, source.whole(), gradient.whole(), partial.whole(), NOWHERE, m=m, n=g.filters, k=k, a_row=1,
            a_taps=a_taps, b_taps=b_taps, a_batch=a_batch, b_batch=b_batch, rows=max(cb, 32 // cb * cb),
            cols=max(xb, 4 // xb * xb), cb=cb, xb=xb, relu=False, sections=sections, b_section=pixels * all_filters)
    planner.add(make, [source, gradient], [partial], cost=len(a_batch) * m * k * vectors * 0.35)
    if parts > 1:
        planner.combine("sum", dtype, partial, sums, node.output.size, parts)
    if g.groups > 1:
        count = math.prod(g.window) * g.channels
        planner.copy(sums, target, item, [g.groups, count, g.filters], [count * g.filters, g.filters, 1],
                     [g.filters, all_filters, 1])


def _together(sections, size, sums) -> int:
    """How many sections of pixels, of `size` bytes each, are summed at a time, if they are too many for a cache: all
    taps then find them there. All parts have the same form. sections: where they begin. sums: bytes of a part's."""
    n, most = len(sections), max(PART, sums)
    if n * size <= LARGE:
        return n

    def alike(k):
        parts = sections.reshape(-1, k)
        return not (parts - parts[:, :1] != parts[0] - parts[0, 0]).any()
    return max(k for k in range(1, n + 1) if n % k == 0 and (k == 1 or k * size <= most and alike(k)))


def _transposed_kernel_gradient(planner, g, tensor, source, gradient, *, sections, begin, columns, pixels, taps):
    """Few filters: the pixels' gradients times what the pixels meet, `columns` numbers of each row of the kernel, which
    fill the lanes. pixels: where those of a section, and taps: where the kernel's rows begin in the source; begin:
    where the sections of each part do."""
    dtype, filters = tensor.dtype, g.filters
    vectors, count, item = -(-columns // planner.kernels.lanes[dtype]), len(taps), np.dtype(dtype).itemsize
    cb, xb = gemm_tile(planner.kernels.strided, filters, vectors)
    sums, k = Buffer(count * filters * columns * item), pixels.size * len(sections)
    partial = Buffer(sums.nbytes * len(begin)) if len(begin) > 1 else sums
    starts = planner.table(np.arange(len(sections)) * pixels.size * filters, np.int64)
    a_taps, b_taps = planner.table(np.arange(pixels.size) * filters), planner.table(pixels.ravel())
    a_batch = planner.table(np.repeat(np.arange(len(begin)) * k * filters, count), np.int64)
    b_batch = planner.table(np.add.outer(begin, taps).ravel(), np.int64)

    def make():
        return planner.kernels.matmul.gemm(
            dtype, gradient.whole(), source.whole(), partial.whole(), NOWHERE, m=filters, n=columns, k=k, a_row=1,
            a_taps=a_taps, b_taps=b_taps, a_batch=a_batch, b_batch=b_batch, rows=max(cb, filters), cols=xb, cb=cb,
            xb=xb, relu=False, sections=starts, b_sections=sections)
    planner.add(make, [source, gradient], [partial], cost=len(a_batch) * filters * k * vectors * 0.35)
    if partial is not sums:
        planner.combine("sum", dtype, partial, sums, count * filters * columns, len(begin))
    planner.copy(sums, planner.define(tensor), item, [count, filters, columns], [filters * columns, columns, 1],
                 [columns * filters, 1, filters])


def _exchanged(planner, g, weights, dtype):
    """The kernel with channels and filters exchanged (within their groups)."""
    item, lanes, taps = np.dtype(dtype).itemsize, planner.kernels.lanes[dtype], math.prod(g.window)
    line = g.channels * g.filters * g.groups
    target = Buffer((taps * line + lanes) * item)           # the last ones are read as a whole vector
    planner.fill_idle(weights, target, item, [lanes], [1], taps * line)
    if g.channels % lanes or g.filters * g.groups < lanes or taps > 9:
        planner.copy(weights, target, item, [taps, g.groups, g.channels, g.filters],
                     [line, g.filters, g.filters * g.groups, 1],
                     [g.filters * g.channels * g.groups, g.channels, 1, g.channels * g.groups])
        return target
    # A tap's matrix is turned in squares, as samples are brought into the lanes.
    order = np.arange(g.filters * g.groups).reshape(g.filters, g.groups).T.ravel() * (g.channels // lanes)
    order = planner.table(order)
    for k in range(taps):
        def make(k=k):
            (x, _, x_place), (y, _, y_place) = weights.whole(), target.whole()
            return planner.kernels.layout.to_lanes(
                item, (x + k * line * item, 0, x_place), (y + k * line * item, lanes * item, y_place),
                samples=g.channels, features=g.filters * g.groups, lanes=lanes, order=order)
        planner.add(make, [weights], [target], cost=line * item / 8)
    return target


class Result:
    """Within it a buffer for a tensor with its channels last; afterwards the tensor is known in its own order."""

    def __init__(self, planner, tensor, channels_last):
        self.planner, self.tensor, self.channels_last = planner, tensor, channels_last

    def __enter__(self):
        shape = self.tensor.shape
        if self.channels_last:
            return self.planner.define(self.tensor)
        self.shape = (shape[0], *shape[2:], shape[1])
        self.buffer = Buffer.for_tensor(shape, self.tensor.dtype, None)
        return self.buffer

    def __exit__(self, *error):
        if not self.channels_last and error[0] is None:
            axes = (0, len(self.shape) - 1, *range(1, len(self.shape) - 1))
            self.planner.define(self.tensor, None, permuted(self.planner, self.buffer, self.shape, axes,
                                                            np.dtype(self.tensor.dtype).itemsize))


def channels_at_end(planner, tensor, channels_last):
    """The plain tensor with its channels last."""
    buffer, rank = planner.rep(tensor, None), len(tensor.shape)
    return buffer if channels_last else permuted(planner, buffer, tensor.shape, (0, *range(2, rank), 1),
                                                 np.dtype(tensor.dtype).itemsize)


def _with_border(planner, source, axes, sizes, batch, pixel):
    """What a convolution of these axes reads, with zeros around it, its sizes then, and how many are before it.

    pixel: bytes of its channels.
    """
    low, padded = border(axes, sizes)
    if tuple(padded) == tuple(sizes):
        return source, padded, low
    small, wide = math.prod(sizes) * pixel, Buffer(batch * math.prod(padded) * pixel)

    def add_border():
        return planner.kernels.convolution.add_border(
            (source.base, small, source.place), (wide.base, wide.nbytes // batch, wide.place), samples=batch,
            sizes=sizes, low=low, padded=padded, pixel=pixel)
    planner.add(add_border, [source], [wide], cost=wide.nbytes / 16)
    return wide, padded, low


def _run_direct(planner, g, *, dtype, source, target, weights, bias, other, relu, pooled, dots, settled):
    """Add the work of a convolution by its definition; dots: with sums along the lanes; settled: the weights change
    between runs only."""
    if math.prod(g.window) == math.prod(g.strides) == 1 and not any(map(any, g.padding)) and not pooled:
        g = g.in_a_row()
        if settled and not dots and pointwise.applies_to_plain(planner, g, dtype):
            return pointwise.run_plain(planner, g, source=source, target=target, weights=weights, bias=bias,
                                       other=other, relu=relu)
    lanes, item, axes = planner.kernels.lanes[dtype], np.dtype(dtype).itemsize, g.forward()
    all_channels, all_filters = g.channels * g.groups, g.filters * g.groups
    source, padded, low = _with_border(planner, source, axes, g.sizes, g.batch, all_channels * item)
    row, depth = padded[2] * all_channels, padded[1] * padded[2] * all_channels
    taps_x, taps_w = [], []
    for k in itertools.product(*map(range, g.window)):
        q = [axes[i][0][0][3][k[i]][1] + low[i] for i in range(3)]
        for c in range(g.channels):
            taps_x.append(q[0] * depth + q[1] * row + q[2] * all_channels + c)
            taps_w.append((tap_number(k, g.window) * g.channels + c) * all_filters)
    taps_x, taps_w = np.array(taps_x, np.int64), np.array(taps_w, np.int64)
    outputs = (1, g.outputs[1] // 2, g.outputs[2] // 2) if pooled else g.outputs
    steps = [g.strides[0] * depth, g.strides[1] * row, g.strides[2] * all_channels, padded[0] * depth]
    if dots:
        weights = few.exchanged(planner, g, weights)
    elif _in_pairs(g, dtype, lanes) and other is None:
        return _run_pairs(planner, g, source=source, target=target, weights=weights, bias=bias, outputs=outputs,
                          steps=steps, taps_x=planner.table(taps_x), relu=relu, pooled=pooled, lanes=lanes)
    _add_direct(planner, dtype=dtype, source=source, target=target, weights=weights, bias=bias, other=other, relu=relu,
                taps_x=taps_x, taps_w=taps_w, wc=all_filters, batch=g.batch, groups=g.groups, channels=g.channels,
                filters=g.filters, outputs=outputs, steps=steps, pooled=pooled, dots=dots, settled=settled)


def _add_direct(planner, *, dtype, source, target, weights, bias, other, relu, taps_x, taps_w, wc, batch, groups,
                channels, filters, outputs, steps, pooled=False, places=None, origin=0, dots=False, settled=False):
    """Add the work of one convolution, arguments as the kernel has them; origin: where in target its results begin.

    wc: elements of the weights from channel to channel. dots: with sums along the lanes, the weights' channels side by
    side.
    """
    if places is None:
        ys = memory.strides((batch, *outputs, groups * filters), None)
        places = [*ys[1:4], ys[0]]
    common = dict(source=source, target=target, origin=origin, weights=weights, bias=bias, relu=relu, batch=batch,
                  channels=channels, filters=filters, outputs=outputs, steps=steps, places=places,
                  taps_x=taps_x[::channels], taps_w=taps_w[::channels])
    if dots:
        return few.run(planner, **common)
    side = 0 if pooled else grouped.side_by_side(groups, channels, filters, dtype, planner.kernels.lanes[dtype])
    if side:
        return grouped.run(planner, side, other=other, groups=groups, wc=wc, **common)
    taps_x, taps_w = planner.table(taps_x), planner.table(taps_w)
    vectors, sums = -(-filters // planner.kernels.lanes[dtype]), 4 if pooled else 1
    macs = batch * math.prod(outputs) * sums * len(taps_x) * groups * vectors
    cb, xb = plain_tile(planner.kernels.windows if pooled else planner.kernels.strided, outputs[2], vectors, sums)
    packed = settled and groups == 1 and vectors > xb
    if packed:
        # A tile's weights side by side: rows of weights are often powers of two apart, and push each other out of the
        # first-level cache.
        wide = xb * planner.kernels.lanes[dtype]
        weights = packed_columns(planner, weights, len(taps_x), filters, wide, np.dtype(dtype).itemsize)
        taps_w = planner.table(np.arange(len(taps_x)) * wide)
    lines = batch * outputs[0] * outputs[1]
    cuts = max(1, min(-(-min(64, macs // FINE) // lines), -(-outputs[2] // cb) // 4))

    def make():
        y, _, where = target.whole()
        return planner.kernels.convolution_plain.conv_plain(
            dtype, source.whole(), weights.whole(), (y + origin, 0, where), bias.whole() if bias else NOWHERE,
            other.whole() if other else NOWHERE, samples=batch, outputs=outputs, steps=steps, groups=groups,
            channels=channels, filters=filters, taps_x=taps_x, taps_w=taps_w, cb=cb, xb=xb, cuts=cuts, relu=relu,
            pooled=pooled, places=places, packed=packed)
    planner.add(make, [source, weights, *(b for b in (bias, other) if b)], [target], cost=macs * 0.35)


def _in_pairs(g, dtype, lanes) -> bool:
    """Whether two pixels and half as many filters as there are lanes fill them better."""
    return dtype == "float32" and g.groups == g.channels == g.strides[2] == 1 and lanes >= 8 \
        and -(-2 * g.filters // lanes) < 2 * -(-g.filters // lanes) and g.outputs[2] > 1


def _run_pairs(planner, g, *, source, target, weights, bias, outputs, steps, taps_x, relu, pooled, lanes):
    """Add the work of a forward convolution of a single channel, with two pixels side by side in the lanes."""
    filters, taps = g.filters, math.prod(g.window)
    wide = -(-2 * filters // lanes) * lanes

    def twice(buffer, count):
        copy = Buffer(count * wide * 4)
        planner.copy(buffer, copy, 4, [count, filters, 2], [filters, 1, 0], [wide, 2, 1])
        planner.fill_idle(buffer, copy, 4, [count, wide - 2 * filters], [wide, 1], 2 * filters)
        return copy
    w, b = twice(weights, taps), bias and twice(bias, 1)

    def make():
        return planner.kernels.convolution_plain.conv_pairs(
            source.whole(), w.whole(), target.whole(), b.whole() if b else NOWHERE, samples=g.batch, outputs=outputs,
            steps=steps, filters=filters, taps_x=taps_x, relu=relu, pooled=pooled)
    planner.add(make, [source, w, *([b] if b else [])], [target],
                cost=g.batch * math.prod(g.outputs) / 2 * taps * wide / lanes * 0.35)


def plain_tile(tiles, width, vectors, sums):
    """(pixels, vectors of filters) of a tile for rows of `width` pixels; sums: how many a pixel has."""
    def cost(tile):
        wide, rest = divmod(vectors, tile[1])
        parts = [(c, v, times * count) for c, times in sizes_of(width, tile[0])
                 for v, count in ((tile[1], wide), (rest, 1 if rest else 0))]
        return (sum((max(sums * c * v, sums * c + v, 6) + 1) * count for c, v, count in parts),
                sum((sums * c + v) * count for c, v, count in parts))
    usable = [t for t in tiles if all((i, j) in tiles for i in range(1, t[0] + 1) for j in range(1, t[1] + 1))]
    return min(sorted(usable, reverse=True), key=cost)


def gemm_tile(tiles, rows, vectors):
    """(rows, vectors) of a strided tile for a product of matrices."""
    def cost(tile):
        cb, xb = min(tile[0], rows), min(tile[1], vectors)
        return (-(-rows // tile[0]) * cb * -(-vectors // tile[1]) * xb
                * max(1.0, (cb + xb) / (cb * xb), 6 / (cb * xb)))           # two loads for two products
    usable = [t for t in tiles if t[0] <= max(1, rows) and t[1] <= vectors
              and all((i, j) in tiles for i in range(1, t[0] + 1) for j in range(1, t[1] + 1))]
    return min(sorted(usable, reverse=True), key=cost)


def packed_columns(planner, source, k, n, wide, item):
    """A plain matrix (k, n) as [n / wide][k][wide]."""
    target, whole = Buffer(-(-n // wide) * k * wide * item), n // wide
    planner.copy(source, target, item, [whole, k, wide], [wide, n, 1], [k * wide, wide, 1])
    planner.copy(source, target, item, [k, n - whole * wide], [n, 1], [wide, 1], source_start=whole * wide,
                 target_start=whole * k * wide)
    planner.fill_idle(source, target, item, [k, -n % wide], [wide, 1], whole * k * wide + n % wide)
    return target


def sizes_of(n, most):
    """n in as few parts of at most `most` as possible, each as large as the others (within 1): (size, how many)."""
    parts = -(-n // most)
    if parts > 64:
        return [(n / parts, parts)]
    size, larger = divmod(n, parts)
    return [(size, parts - larger), (size + 1, larger)]


def permuted(planner, source, shape, axes, item):
    """A copy of a plain buffer with its axes in another order."""
    sizes, step = [shape[a] for a in axes], memory.strides(shape, None)
    target = Buffer(math.prod(shape) * item)
    planner.copy(source, target, item, sizes, [step[a] for a in axes], memory.strides(sizes, None))
    return target


def _repeated(planner, source, pixels, channels, times, item):
    """A copy of a plain buffer, channels last, with each channel several times side by side."""
    target = Buffer(pixels * channels * times * item)
    planner.copy(source, target, item, [pixels, channels, times], [channels, 1, 0], [channels * times, times, 1])
    return target
