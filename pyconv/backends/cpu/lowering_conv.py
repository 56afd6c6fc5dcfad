"""How convolutions and pooling become work: which taps reach which outputs, tiles, borders, layouts."""

from __future__ import annotations

import itertools
import math

import numpy as np

from . import lowering_depthwise as depthwise
from . import lowering_dilated as dilated
from . import lowering_dots as dots
from . import lowering_plain as plain
from . import lowering_pointwise as pointwise
from .buffers import CACHE, NOWHERE, SERIAL, Buffer
from .geometry import TAPS_AHEAD, Geometry, border, lines_of, pack_rows, tap_number, three
from .lowering_plain import permuted, sizes_of
from .lowering_pooled import alone, fits, new_spots, pool_with_spots, pooling_of, run_conv_pool, run_spotted, spotted
from .lowering_winograd import (add_partial_sums, bands_of, fits_chain, least_task, phases_of_gradient, pools,
                                run_kernel_gradient, run_winograd, split_kernel_gradient, tasks_of, transposed_sizes,
                                use_depth, use_for_kernel, use_winograd)
from .slices import Sliced

LOWERING: dict = {}
GROUPS = 16                     # of so many at most, each is a Winograd convolution of its own
BAND = CACHE // 4               # bytes of a band of input rows


def lowers(*names):
    def register(function):
        for name in names:
            LOWERING[name] = function
        return function
    return register


def conv_tile(tiles, filters, widths, apart=False):
    """(rows of filters, columns) of the packed tile that takes the fewest cycles for lines of these lengths.

    apart: each vector has a line of the cache for itself, and fewer for a tap are better.
    """
    return _conv_tile(tiles, filters, widths, apart)[0]


def _conv_tile(tiles, filters, widths, apart=False):
    """The same, and how many cycles a tap takes."""
    def cost(tile):
        cb, xb = tile
        total = 0.0
        for width in widths:
            n = -(-width // xb)
            for i in range(n):
                x = width * (i + 1) // n - width * i // n
                total += max(cb * x, 6) + (cb / 4 + x if apart else (cb + x) / 2)
        return total * -(-filters // cb)
    usable = [t for t in tiles if all((t[0], k) in tiles for k in range(1, t[1] + 1))]
    best = min(sorted(usable, reverse=True), key=cost)
    return best, cost(best)


def run_conv(planner, *, dtype, source, target, weights, axes, sizes, outputs, groups, channels, filters, sources_of,
             row_stride, bias=None, relu=False):
    """Add the work of a convolution with samples in the lanes.

    axes: as Geometry.forward gives them. sizes, outputs: three ints each. channels, filters: per group, of what is
    read and of what is computed. sources_of(group, taps): where the taps' first weights lie, channel outermost.
    """
    lanes, item = planner.kernels.lanes[dtype], np.dtype(dtype).itemsize
    if all(axis == ([(0, n, 1, [(0, 0)])], 1) for axis, n in zip(axes, sizes, strict=True)):
        # 1 x 1, one output per input: the pixels may be cut into rows of any length.
        count = math.prod(sizes)
        most = max(1, min(64, BAND // (channels * lanes * item)))
        line = min((n for n in range(1, most + 1) if count % n == 0), key=lambda n: (
            _conv_tile(planner.kernels.packed, filters, [n])[1] / n, n))
        sizes = outputs = (1, count // line, line)
        axes = [([(0, n, 1, [(0, 0)])], 1) for n in sizes]
    low, padded = border(axes, sizes)
    # Bands of rows whose input fits into the second-level cache.
    rows, step = max(phase[1] for phase in axes[1][0]), axes[1][1]
    reach = low[1] + max((q for phase in axes[1][0] for _, q in phase[3]), default=0)
    line = channels * padded[0] * padded[2] * lanes * item
    band = max(1, min(rows, (BAND // line - reach - 1) // step + 1))
    each = channels * groups * sum(len(z[3]) * z[1] * len(y[3]) * y[1] * len(x[3]) * x[1] for z, y, x in
                                   itertools.product(*(a[0] for a in axes)))        # operations of a filter in a block
    band = -(-rows // max(-(-rows // band), bands_of(source.blocks, rows, each * filters)))
    copy = tuple(padded) != tuple(sizes) or band < rows and filters >= 16
    band_rows = ((band - 1) * step + reach + 1) if copy else padded[1]
    narrow = lanes * item == 32
    if narrow and channels >= 16 and filters >= 16 and not padded[0] * band_rows * padded[2] * lanes * item % 4096:
        copy, padded[2] = True, padded[2] + 1       # planes whole pages apart share a few places in the nearest cache
        band_rows = min(band_rows, (band - 1) * step + reach + 1)
    row, depth = padded[2] * lanes, band_rows * padded[2] * lanes
    plane_in = padded[0] * depth
    out_row, out_depth = outputs[2] * lanes, outputs[1] * outputs[2] * lanes
    steps = [a[1] for a in axes]
    phases, offsets, taps_of, lines = [], [], [], []
    for z, y, x in itertools.product(*(a[0] for a in axes)):
        taps = [(kz, ky, kx) for kz in z[3] for ky in y[3] for kx in x[3]]
        at = [(kz[1] + low[0]) * depth + (ky[1] + low[1]) * row + (kx[1] + low[2]) * lanes for kz, ky, kx in taps]
        order = _tap_order(channels, len(z[3]) * len(y[3]), len(x[3]))
        phases.append([sum(map(len, offsets)), len(taps) * channels,
                       z[0] * out_depth + y[0] * out_row + x[0] * lanes,
                       z[1], y[1], x[1], z[2] * out_depth, y[2] * out_row, x[2] * lanes,
                       steps[0] * depth, steps[1] * row, steps[2] * lanes, len(lines)])
        offsets.append(np.add.outer(np.arange(channels) * plane_in, np.array(at, np.int64)).ravel()[order])
        taps_of.append(([tuple(k[0] for k in tap) for tap in taps], order))
        lines += lines_of(z, y, steps, sizes, channels * len(x[3]))
    total = sum(map(len, offsets))
    phases.append([total] + [0] * 12)
    cb, xb = conv_tile(planner.kernels.packed, filters, sorted({p[5] for p in phases[:-1]}), narrow and steps[2] > 1)
    packed = Buffer(max(1, total * groups * -(-filters // cb) * cb * item))
    sections = [sources_of(g, taps)[order] for g in range(groups) for taps, order in taps_of]
    pack_rows(planner, dtype, weights, packed, sections, filters, cb, row_stride)
    table = planner.table(np.concatenate([*offsets, np.zeros(TAPS_AHEAD)]))
    phases, lines = planner.table(phases, np.int64), planner.table(lines)
    macs = each * -(-filters // cb) * cb
    parts = 1 if fits_chain(source, target) else tasks_of(min(-(-rows // band), macs // least_task(source.blocks)))

    def make():
        return planner.kernels.convolution.conv(
            dtype, source.at(), packed.whole(), target.at(), bias.whole() if bias else NOWHERE, blocks=source.blocks,
            parts=parts, sizes=sizes, low=low, padded=padded, groups=groups, channels=channels, filters=filters, cb=cb,
            xb=xb, plane=outputs[0] * out_depth, phases=phases, xo=table, lines=lines, rows=rows, band=band,
            band_rows=band_rows, step=step, copy=copy, relu=relu)
    planner.add(make, [source, packed, *([bias] if bias else [])], [target], blocks=source.blocks if parts == 1 else 0,
                cost=macs * source.blocks * 0.3)


def _tap_order(channels, rows, columns):
    """From (channel, kernel row, kernel column) to (kernel row, channel, kernel column)."""
    return np.arange(channels * rows * columns).reshape(channels, rows, columns).transpose(1, 0, 2).ravel()


@lowers("conv")
def conv(planner, node):
    x, kernel = node.inputs
    geometry = Geometry(x.shape, kernel.shape, **node.attrs)
    channels_last = node.attrs["channels_last"]
    lanes = planner.kernels.lanes[x.dtype]
    if not planner.fills(x.shape[0], lanes):
        return plain.conv(planner, node, geometry)
    layout = planner.channels_first(len(x.shape), channels_last, lanes)
    source, weights = planner.rep(x, layout), planner.rep(kernel, None)
    g, all_filters, w = geometry, kernel.shape[-1], dilated.undilated(geometry, lanes)
    winograd = g.groups <= GROUPS and not depthwise.applies(g) \
        and use_winograd(w.alone(), x.dtype, lanes, w.outputs, g.channels, g.filters)
    tensor, bias, relu, other = planner.epilogue_and_sum(node, len(x.shape) - 1 if channels_last else 1,
                                                         winograd and g.dilation == (1, 1, 1), layout)
    bias_buffer = None if bias is None else planner.rep(bias, None)
    other = None if other is None else planner.rep(other, layout)
    pooled = None if other else pooling_of(planner, tensor)
    pooled = pooled if pooled and alone(planner, tensor, pooled[0]) else None
    if depthwise.applies(g):
        depthwise.run(planner, g, dtype=x.dtype, source=source, target=planner.define(tensor, layout), weights=weights,
                      axes=g.forward(), sizes=g.sizes, outputs=g.outputs, results=all_filters, sharing=g.filters,
                      summed=1, bias=bias_buffer, relu=relu)
        return
    if winograd and pooled and pools(g):
        planner.done.add(id(pooled[0]))
        target = planner.define(pooled[0].output, layout)
        return run_winograd(planner, g, source=source, target=target, weights=weights,
                            channels=g.channels, filters=g.filters, in_sizes=g.sizes, out_sizes=g.outputs,
                            low=[p for p, _ in g.padding], across_filters=True, w_other=all_filters,
                            w_tap=g.channels * all_filters, origin=0, bias=bias_buffer, relu=relu, pooled=True,
                            spots=new_spots(planner, tensor, target) if pooled[1] else None)
    if winograd:
        source = dilated.apart(planner, g, w, source, x.dtype, g.channels * g.groups, lanes)
        target, join = dilated.whole(planner, g, w, planner.define(tensor, layout), x.dtype, all_filters, lanes)
        deep = use_depth(w, w.outputs, g.channels, g.filters)
        for k in range(g.groups):
            run_winograd(planner, w.alone(), source=source.part(k, g.groups),
                         target=target.part(k, g.groups), weights=weights, channels=g.channels, filters=g.filters,
                         in_sizes=w.sizes, out_sizes=w.outputs, low=[p for p, _ in w.padding], across_filters=True,
                         w_other=all_filters, w_tap=g.channels * all_filters, origin=k * g.filters,
                         bias=bias_buffer and bias_buffer.part(k, g.groups),
                         other=other and other.part(k, g.groups), relu=relu, deep=deep)
        planner.products[id(node)] *= g.groups
        return join()
    if pointwise.applies(planner, g, x.dtype, g.filters):
        return pointwise.run(planner, g, source=source, target=planner.define(tensor, layout), weights=weights,
                             channels=g.channels, filters=g.filters, ws=all_filters, wc=1, bias=bias_buffer, relu=relu)
    if pooled and fits(g):
        planner.done.add(id(pooled[0]))
        return run_conv_pool(planner, g, tensor, *pooled, layout=layout, source=source, weights=weights,
                             bias=bias_buffer, relu=relu)

    def sources_of(group, taps):
        at = np.array([tap_number(k, g.window) * g.channels * all_filters for k in taps], np.int64)
        return np.add.outer(np.arange(g.channels) * all_filters, at).ravel() + group * g.filters
    run_conv(planner, dtype=x.dtype, source=source, target=planner.define(tensor, layout), weights=weights,
             axes=g.forward(), sizes=g.sizes, outputs=g.outputs, groups=g.groups, channels=g.channels,
             filters=g.filters, sources_of=sources_of, row_stride=1, bias=bias_buffer, relu=relu)


@lowers("conv_input_gradient")
def input_gradient(planner, node):
    grad, kernel = node.inputs
    attrs = {k: v for k, v in node.attrs.items() if k != "shape"}
    g, all_filters = Geometry(node.output.shape, kernel.shape, **attrs), kernel.shape[-1]
    layout = planner.channels_first(len(grad.shape), attrs["channels_last"], planner.kernels.lanes[grad.dtype])
    if not planner.fills(g.batch, layout.lanes) and plain.input_gradient(planner, node, g):
        return
    if depthwise.applies(g):
        return depthwise.run_input_gradient(planner, g, dtype=grad.dtype, source=planner.rep(grad, layout),
                                            target=planner.define(node.output, layout),
                                            weights=planner.rep(kernel, None))
    w, lanes = dilated.undilated(g, layout.lanes), layout.lanes
    if g.groups <= GROUPS and g.strides == (1, 1, 1) \
            and use_winograd(w.alone(), grad.dtype, lanes, w.sizes, g.filters, g.channels):
        # The kernel turned around, from its last tap, with channels and filters exchanged.
        line, low = g.channels * all_filters, [k - 1 - p for k, (p, _) in zip(g.window, w.padding, strict=True)]
        options = dict(w_tap=-line, origin=(math.prod(g.window) - 1) * line, low=low)
        deep = use_depth(w, w.sizes, g.filters, g.channels)
        tiled = transposed_sizes(w, deep)
        if tiled and deep:
            options = dict(w_tap=line, origin=0, transposed=tiled, low=[p for p, _ in w.padding])
        elif tiled:
            # Turned around in its depth alone.
            plane = g.window[1] * g.window[2] * line
            options = dict(w_tap=line, w_slice=-plane, origin=(g.window[0] - 1) * plane, transposed=tiled,
                           low=[low[0], *(p for p, _ in w.padding[1:])])
        source = dilated.apart(planner, g, w, planner.rep(grad, layout), grad.dtype, all_filters, lanes, outputs=True)
        target, join = dilated.whole(planner, g, w, planner.define(node.output, layout), grad.dtype,
                                     g.channels * g.groups, lanes, outputs=False)
        origin = options.pop("origin")
        for k in range(g.groups):
            run_winograd(planner, w.alone(), source=source.part(k, g.groups),
                         target=target.part(k, g.groups), weights=planner.rep(kernel, None), channels=g.filters,
                         filters=g.channels, in_sizes=w.outputs, out_sizes=w.sizes, across_filters=False,
                         w_other=all_filters, origin=origin + k * g.filters, deep=deep, **options)
        planner.products[id(node)] *= g.groups
        return join()

    if pointwise.applies(planner, g, grad.dtype, g.channels):
        return pointwise.run(planner, g, source=planner.rep(grad, layout), target=planner.define(node.output, layout),
                             weights=planner.rep(kernel, None), channels=g.filters, filters=g.channels, ws=1,
                             wc=all_filters, backward=True)
    phases = phases_of_gradient(g.alone(), grad.dtype, lanes) if g.groups <= GROUPS else None
    if phases:
        one, low, back = phases
        source, target = planner.rep(grad, layout), planner.define(node.output, layout)
        for k in range(g.groups):
            run_winograd(planner, one, source=source.part(k, g.groups),
                         target=target.part(k, g.groups), weights=planner.rep(kernel, None), channels=g.filters,
                         filters=g.channels, in_sizes=g.outputs, out_sizes=one.outputs, low=low, across_filters=False,
                         w_other=all_filters, w_tap=g.channels * all_filters, origin=k * g.filters,
                         back=back)
        planner.products[id(node)] *= g.groups
        return

    def sources_of(group, taps):
        at = np.array([tap_number(k, g.window) * g.channels * all_filters for k in taps], np.int64)
        return np.add.outer(np.arange(g.filters) + group * g.filters, at).ravel()
    run_conv(planner, dtype=grad.dtype, source=planner.rep(grad, layout), target=planner.define(node.output, layout),
             weights=planner.rep(kernel, None), axes=g.backward(), sizes=g.outputs, outputs=g.sizes, groups=g.groups,
             channels=g.filters, filters=g.channels, sources_of=sources_of, row_stride=all_filters)


@lowers("conv_kernel_gradient")
def kernel_gradient(planner, node):
    x, grad = node.inputs
    attrs = {k: v for k, v in node.attrs.items() if k != "shape"}
    shape, dtype = node.output.shape, x.dtype
    g, lanes, item = Geometry(x.shape, shape, **attrs), planner.kernels.lanes[x.dtype], np.dtype(x.dtype).itemsize
    layout = planner.channels_first(len(x.shape), attrs["channels_last"], lanes)
    if spotted(planner, node):
        return run_spotted(planner, g, node, layout)
    if not planner.fills(g.batch, lanes):
        return plain.kernel_gradient(planner, node, g)
    source, gradient = planner.rep(x, layout), planner.rep(grad, layout)
    if depthwise.applies(g):
        depthwise.run_kernel_gradient(planner, g, dtype=dtype, source=source, gradient=gradient,
                                      target=planner.define(node.output))
        return
    if dots.applies(g, dtype, lanes, source, gradient):
        return dots.run(planner, g, source=source, gradient=gradient, target=planner.define(node.output))
    w = dilated.undilated(g, lanes)
    if g.groups <= GROUPS and use_for_kernel(w.alone(), dtype, lanes, dilated.copying(g, w, lanes)):
        source = dilated.apart(planner, g, w, source, dtype, g.channels * g.groups, lanes)
        gradient = dilated.apart(planner, g, w, gradient, dtype, g.filters * g.groups, lanes, outputs=True)
        target = planner.define(node.output)
        for k in range(g.groups):
            run_kernel_gradient(planner, w.alone(), source=source.part(k, g.groups),
                                gradient=gradient.part(k, g.groups), target=target, row=shape[-1], first=k * g.filters)
        planner.products[id(node)] *= g.groups
        return
    if pointwise.applies_to_kernel(g, dtype, source, gradient, lanes):
        return pointwise.run_kernel_gradient(planner, g, source=source, gradient=gradient,
                                             target=planner.define(node.output))
    if _wide(g, source, gradient, lanes):
        return wide_kernel_gradient(planner, g, dtype=dtype, source=source, gradient=gradient,
                                    target=planner.define(node.output))
    axes = g.forward()
    low, padded = border(axes, g.sizes)
    row, depth = padded[2] * lanes, padded[1] * padded[2] * lanes
    at, targets, xrow, grow, begin = [], [], [], [], [0]
    z_taps, y_taps, x_taps = (a[0][0][3] for a in axes)
    for (kz, qz), (ky, qy) in itertools.product(z_taps, y_taps):
        for channel, (kx, qx) in itertools.product(range(g.channels), x_taps):
            at.append((channel * padded[0] + qz + low[0]) * depth + (qy + low[1]) * row + (qx + low[2]) * lanes)
            targets.append((tap_number((kz, ky, kx), g.window) * g.channels + channel) * shape[-1])
        for z, y in itertools.product(range(g.outputs[0]), range(g.outputs[1])):
            if 0 <= z * g.strides[0] + qz < g.sizes[0] and 0 <= y * g.strides[1] + qy < g.sizes[1]:
                xrow.append(z * g.strides[0] * depth + y * g.strides[1] * row)
                grow.append((z * g.outputs[1] + y) * g.outputs[2] * lanes)
        begin.append(len(xrow))
    xo, begin = planner.table(at), planner.table(begin)
    xrow, grow = planner.table(xrow or [0]), planner.table(grow or [0])
    plane = math.prod(g.outputs) * lanes
    # Partial sums per task, so that they are added in one order whoever makes them; not too many of large kernels.
    blocks = source.blocks
    parts = min(blocks, max(8, (64 << 20) // (math.prod(shape) * item)))
    per_task = -(-blocks // parts)
    parts = -(-blocks // per_task)
    partial = Buffer(math.prod(shape) * item, parts)
    partial.shared = True
    target = planner.define(node.output)
    tb, cb = dot_tile(planner.kernels.dot, g.channels * g.window[2], g.filters)

    def make():
        return planner.kernels.convolution.kernel_gradient(
            dtype, source.at(), gradient.at(), partial.at(), samples=x.shape[0], blocks=blocks, per_task=per_task,
            sizes=g.sizes, low=low, padded=padded, groups=g.groups, channels=g.channels, filters=g.filters, tb=tb,
            cb=cb, plane=plane, xo=xo, xrow=xrow, grow=grow, begin=begin, cols=g.outputs[2], xstep=g.strides[2] * lanes)
    macs = len(at) * g.filters * math.prod(g.outputs) * blocks * g.groups
    planner.add(make, [source, gradient], [partial], blocks=blocks if per_task == 1 else 0, cost=macs * 0.3)
    if per_task > 1:
        source.shared = gradient.shared = True
    all_targets = planner.table([t + group * g.filters for group in range(g.groups) for t in targets])
    step = partial.block_bytes // item
    planner.add(lambda: planner.kernels.convolution.gather(dtype, partial.whole(), target.whole(), all_targets,
                                                           g.filters, parts, step),
                [partial], [target], cost=len(all_targets) * g.filters * parts / 8)


def _wide(g, source, gradient, lanes) -> bool:
    """Whether the gradient for the kernel has its filters in the lanes: if they fill them, or if blocks are too large
    for tiles of sums that each read whole planes."""
    full = g.filters / (-(-g.filters // lanes) * lanes)
    large = source.block_bytes + gradient.block_bytes > CACHE
    return g.groups == 1 and math.prod(g.window) * g.channels >= 4 and full >= (0.5 if large else 0.85)


def wide_kernel_gradient(planner, g, *, dtype, source, gradient, target):
    """The gradient for the kernel with the filters in the lanes."""
    lanes, item, taps = planner.kernels.lanes[dtype], np.dtype(dtype).itemsize, math.prod(g.window)
    pixels, lines = math.prod(g.outputs) * source.blocks, g.outputs[0] * g.outputs[1] * source.blocks

    def cost(parts, channel_groups, groups, wide):
        return pixels * (taps * g.channels * wide + 6 * wide * channel_groups + 4 * taps * g.channels * groups) \
            + parts * taps * g.channels * wide
    parts, channel_groups, width, chained = split_kernel_gradient(
        source, gradient, cost, rows=g.channels, most=lines, filters=g.filters, lanes=lanes, item=item,
        weights=taps * g.channels * g.filters, sums=taps * item)
    chunk = min(g.outputs[2], 8)

    def make(partial):
        return planner.kernels.convolution.kernel_gradient_wide(
            dtype, source.at(), gradient.at(), partial.at(), samples=g.batch, blocks=source.blocks, parts=parts,
            channel_groups=channel_groups, width=width, chunk=chunk, channels=g.channels, filters=g.filters,
            sizes=g.sizes, outputs=g.outputs, window=g.window, strides=g.strides, dilation=g.dilation,
            low=[p for p, _ in g.padding])
    add_partial_sums(planner, make, dtype=dtype, source=source, gradient=gradient, target=target, parts=parts,
                     chained=chained, taps=taps * g.channels, filters=g.filters,
                     cost=pixels * taps * g.channels * g.filters * 0.35)


def dot_tile(tiles, taps, filters):
    """(taps, filters) of a tile of sums: full tiles first, then those that divide well."""
    def cost(tile):
        tb, cb = tile
        return sum((max(t * c, (t + c) / 2, 6) + 2) * i * j
                   for (t, i), (c, j) in itertools.product(sizes_of(taps, tb), sizes_of(filters, cb)))
    usable = [t for t in tiles if all((i, j) in tiles for i in range(1, t[0] + 1) for j in range(1, t[1] + 1))]
    return min(sorted(usable, reverse=True), key=cost)


@lowers("max_pool", "max_pool_gradient")
def max_pool(planner, node):
    x, *rest = node.inputs
    in_lanes = id(x) in planner.spots or planner.layout(x) is not None or planner.image_layout
    _pool(planner, node, planner.kernels.pooling.max_pool, x, rest[0] if rest else None, x.shape, in_lanes)


@lowers("avg_pool")
def avg_pool(planner, node):
    (tensor,), attrs = node.inputs, node.attrs
    x, grad = (None, tensor) if node.op == "avg_pool_gradient" else (tensor, None)
    _pool(planner, node, planner.kernels.pooling.avg_pool, x, grad, attrs.get("shape", tensor.shape), True,
          divisor=("one", "window", "elements").index(attrs["divisor"]))


def _pool(planner, node, kernel, x, grad, shape, in_lanes, **options):
    """Pooling of inputs of `shape`; with `grad`, its gradient. in_lanes: whether a batch that fills lanes uses them."""
    attrs, dtype, rank = node.attrs, node.output.dtype, len(shape)
    lanes, item = planner.kernels.lanes[dtype], np.dtype(dtype).itemsize
    channels_last = attrs["channels_last"]
    sizes = shape[1:-1] if channels_last else shape[2:]
    channels = shape[-1] if channels_last else shape[1]
    window, strides = three(attrs["window"], 1), three(attrs["strides"], 1)
    dilation, padding = three(attrs["dilation"], 1), three(attrs["padding"], (0, 0))
    sizes = three(sizes, 1)
    outputs = tuple((n + p + q - d * (k - 1) - 1) // s + 1
                    for n, k, s, (p, q), d in zip(sizes, window, strides, padding, dilation, strict=True))
    options.update(channels=channels, sizes=sizes, outputs=outputs, window=window, strides=strides, dilation=dilation,
                   low=[p for p, _ in padding])
    given = [t for t in (x, grad) if t is not None]
    cost = math.prod(shape)
    if planner.fills(shape[0], lanes) and in_lanes:
        layout = planner.channels_first(rank, channels_last, lanes)
        if node.op.startswith("max_pool") and pool_with_spots(planner, node, layout):
            return
        source, upper = (None if t is None else planner.rep(t, layout) for t in (x, grad))
        target = planner.define(node.output, layout)
        blocks = target.blocks
        reads = [planner.rep(t, layout) for t in given]

        def make():
            far = source is not None and source.nbytes >= CACHE and not any(w in (work.run or ())
                                                                            for w in source.writers)
            return kernel(dtype, source and source.at(), upper and upper.at(), target.at(), tasks=blocks,
                          in_lanes=True, far=far, **options)
        work = planner.add(make, reads, [target], blocks=blocks, cost=cost * item / 16)
        work.sliced = Sliced(channels, frozenset(map(id, (*reads, target))))
        return
    # Plain: channels last. A task is a sample, or a band of its outermost axis where nothing is padded along that.
    to_last, to_first = (0, *range(2, rank), 1), (0, rank - 1, *range(1, rank - 1))

    def plain(tensor):
        buffer = planner.rep(tensor, None)
        return buffer if channels_last else permuted(planner, buffer, tensor.shape, to_last, item)
    source, upper = (None if t is None else plain(t) for t in (x, grad))
    out_shape = node.output.shape if channels_last else tuple(node.output.shape[a] for a in to_last)
    target = planner.define(node.output) if channels_last else Buffer.for_tensor(out_shape, dtype, None)

    def each(buffer, n, parts=1):
        return buffer and (buffer.base, math.prod(n) * channels * item // parts, buffer.place)
    bands, axis = 1, 0 if outputs[0] > 1 else 1
    if grad is None and cost / 4 >= SERIAL and (axis == 0 or sizes[0] == 1) and padding[axis] == (0, 0) \
            and (shape[0] == 1 or outputs[axis] * strides[axis] == sizes[axis]):
        bands = max(n for n in range(1, 17) if outputs[axis] % n == 0)
        rows = outputs[axis] // bands

        def banded(whole, n):
            return (*whole[:axis], n, *whole[axis + 1:])
        in_step = banded(sizes, rows * strides[axis])
        options.update(sizes=banded(sizes, (rows - 1) * strides[axis] + (window[axis] - 1) * dilation[axis] + 1),
                       outputs=banded(outputs, rows))
    else:
        in_step = sizes
    planner.add(lambda: kernel(dtype, each(source, in_step), each(upper, outputs),
                               each(target, outputs, bands) if grad is None else each(target, sizes),
                               tasks=shape[0] * bands, in_lanes=False, **options),
                [b for b in (source, upper) if b is not None], [target], cost=cost / 4)
    if not channels_last:
        planner.define(node.output, None, permuted(planner, target, out_shape, to_first, item))
