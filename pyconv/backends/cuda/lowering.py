"""How each op becomes launches. Elementwise ops are in elementwise.py."""

from __future__ import annotations

import math

import numpy as np

from ...graph import is_half
from ...graph.dtypes import itemsize
from . import depthwise, halves, implicit
from .elementwise import BLOCK, TYPES
from .geometry import geometry, table_of, three
from .memory import View, strides
from .planner import NULL, NUMPY, UNSIGNED, blocks_for
from .sums import PARTS, joined, power_of_two, shared_out, split, split_axes, sums

__all__ = ["LOWERING"]

LOWERING: dict = {}             # name of an op -> function (planner, node)


def lowers(*names):
    def register(function):
        LOWERING.update(dict.fromkeys(names, function))
        return function
    return register


def result(planner, node) -> View:
    """The node's result as an argument."""
    return View(planner.define(node.output), node.output.dtype)


def bits(view) -> tuple:
    """A view of the elements as unsigned integers, and the C type of these."""
    item = itemsize(view.dtype)
    return view._replace(dtype=f"uint{8 * item}"), UNSIGNED[item]


def small(node, *tensors):
    """Refuse arrays whose elements cannot be counted in 31 bits."""
    for tensor in tensors:
        if math.prod(tensor.shape) >= 2**31 - 2**20:
            raise ValueError(f"{node.op}: an array of shape {tensor.shape} is too large for the CUDA kernels, which "
                             f"count its elements in 31 bits. Use smaller batches.")


# Shapes ---------------------------------------------------------------------------------------------------------

@lowers("transpose")
def transpose(planner, node):
    x, axes = node.inputs[0], node.attrs["axes"]
    step = strides(x.shape)
    planner.copy(planner.view(x), result(planner, node), node.output.shape, [step[a] for a in axes],
                 strides(node.output.shape))


@lowers("flip")
def flip(planner, node):
    x, axes, step = node.inputs[0], node.attrs["axes"], strides(node.output.shape)
    planner.copy(planner.view(x), result(planner, node), x.shape,
                 [-s if i in axes else s for i, s in enumerate(step)], step,
                 sum((x.shape[a] - 1) * step[a] for a in axes))


@lowers("slice")
def slice_(planner, node):
    x, starts, steps = node.inputs[0], node.attrs["starts"], node.attrs["steps"]
    step, shape = strides(x.shape), node.output.shape
    planner.copy(planner.view(x), result(planner, node), shape, [s * k for s, k in zip(step, steps, strict=True)],
                 strides(shape), first_a=sum(a * s for a, s in zip(starts, step, strict=True)))


@lowers("slice_gradient")
def slice_gradient(planner, node):
    x, starts, steps = node.inputs[0], node.attrs["starts"], node.attrs["steps"]
    out, step = result(planner, node), strides(node.output.shape)
    planner.fill(out, 0)
    planner.copy(planner.view(x), out, x.shape, strides(x.shape), [s * k for s, k in zip(step, steps, strict=True)],
                 first_b=sum(a * s for a, s in zip(starts, step, strict=True)))


@lowers("pad")
def pad(planner, node):
    x, pads = node.inputs[0], node.attrs["pads"]
    out, step = result(planner, node), strides(node.output.shape)
    planner.fill(out, node.attrs["value"])
    planner.copy(planner.view(x), out, x.shape, strides(x.shape), step,
                 first_b=sum(a * s for (a, _), s in zip(pads, step, strict=True)))


@lowers("concatenate")
def concatenate(planner, node):
    axis, at = node.attrs["axis"], 0
    parts = [planner.view(x) for x in node.inputs]
    out, step = result(planner, node), strides(node.output.shape)
    for x, part in zip(node.inputs, parts, strict=True):
        planner.copy(part, out, x.shape, strides(x.shape), step, first_b=at * step[axis])
        at += x.shape[axis]


# Reductions -----------------------------------------------------------------------------------------------------

def reduce(planner, kind, source, target, kept, reduced):
    """Reduce over the `reduced` axes of an array; both are lists of (size, stride)."""
    kept, reduced = joined(kept), joined(reduced)
    outputs, count = (math.prod(n for n, _ in axes) for axes in (kept, reduced))
    index = planner.index(outputs * count)
    columns, lanes, blocks, parts, each = shared_out(kept, reduced)
    number, within = NUMPY[index], "float32" if is_half(target.dtype) or is_half(source.dtype) else target.dtype
    first = target if parts == 1 else planner.temporary(parts * outputs, within)
    types = (source.dtype, first.dtype)
    types = "".join(f", {TYPES[t]}" for t in types) if any(map(is_half, types)) else ""
    tables = [planner.constant([v for column in zip(*axes, strict=True) for v in column], number)
              for axes in (kept, reduced)]
    planner.launch("reduction", f"reduce<{kind}, {str(columns).lower()}, {TYPES[within]}, {index}{types}>",
                   (blocks, parts), (256,),
                   (source, first, tables[0], np.int32(len(kept)), tables[1], np.int32(len(reduced)), number(outputs),
                    number(count), number(each), np.int32(lanes)), [first])
    if parts > 1:
        reduce(planner, kind, first, target, [(outputs, 1)], [(parts, outputs)])


LOWERING["sum"] = sums


@lowers("max", "min")
def extremum(planner, node):
    kept, reduced = split_axes(node)
    reduce(planner, node.op.capitalize(), planner.view(node.inputs[0]), result(planner, node), kept, reduced)


@lowers("argmax", "argmin")
def argmax(planner, node):
    x, axis = node.inputs[0], node.attrs["axis"]
    source, inner, count = planner.view(x), math.prod(x.shape[axis + 1:]), x.shape[axis]
    outputs = math.prod(node.output.shape)
    index, out = planner.index(outputs * count), result(planner, node)
    lanes = power_of_two(count, 256) if inner == 1 else 1
    number = NUMPY[index]
    planner.launch("reduction", f"arg<{'Max' if node.op == 'argmax' else 'Min'}, {TYPES[x.dtype]}, {index}>",
                   (-(-outputs // (256 // lanes)),), (256,),
                   (source, out, number(outputs), number(count), number(inner), np.int32(lanes)), [out])


# Matrix products ------------------------------------------------------------------------------------------------

SMALL = 1024, 1 << 22           # most elements along the inner axis, and most products, for which no library is asked


@lowers("matmul")
def matmul(planner, node):
    a, b = node.inputs
    ta, tb = node.attrs["transpose_a"], node.attrs["transpose_b"]
    x, y, shape = planner.view(a), planner.view(b), node.output.shape
    m, n, k = *shape[-2:], a.shape[-2] if ta else a.shape[-1]
    batch, batch_a, batch_b = (math.prod(s[:-2]) for s in (shape, a.shape, b.shape))
    if batch_b == 1 and (batch == 1 or not ta):         # one product: the rows of all matrices a, times b
        rows = batch * m
        if a.dtype in ("float32", "float64") and k <= SMALL[0] and rows * n * k <= SMALL[1]:
            flags = ", ".join(str(f).lower() for f in (ta, tb, (rows if ta else k) % 4 == 0))
            planner.hosting("matmul", f"small_matmul<{TYPES[a.dtype]}, {flags}>", (-(-rows // 16), -(-n // 32)),
                            (BLOCK,), (x, y, NULL, np.int32(rows), np.int32(n), np.int32(k)), node, 2)
            return
        out = result(planner, node)
        if a.dtype == "bfloat16":       # which CuPy's matmul does not take
            halves.product(planner, x, y, out, TYPES[a.dtype], (ta, tb), [[0], [0]], (1, rows, n, k))
            return
        planner.call(planner.driver.matmul,
                     (x._replace(shape=(k, rows) if ta else (rows, k), swapped=ta),
                      y._replace(shape=(n, k) if tb else (k, n), swapped=tb), out._replace(shape=(rows, n))), [out])
        return
    out = result(planner, node)
    which = [np.broadcast_to(np.arange(count).reshape(s[:-2]), shape[:-2]).ravel() * size
             for s, count, size in ((a.shape, batch_a, m * k), (b.shape, batch_b, k * n))]
    if is_half(a.dtype):
        halves.product(planner, x, y, out, TYPES[a.dtype], (ta, tb), which, (batch, m, n, k))
        return
    planner.launch("matmul", f"matmul<{TYPES[a.dtype]}, {str(ta).lower()}, {str(tb).lower()}>",
                   (-(-m // 64), -(-n // 64), min(batch, 1 << 15)), (256,),
                   (x, y, out, planner.constant(np.concatenate(which), "int64"), np.int32(batch), np.int32(m),
                    np.int32(n), np.int32(k)), [out])


# Convolution ----------------------------------------------------------------------------------------------------

def tiles(rows, columns, dtype) -> tuple:
    """The tile (SM, SN, SK) for a product of this size."""
    if columns <= 16:
        return 128, 16, 16
    if dtype == "float32" and columns > 64 and rows >= 128 * 128:
        return 128, 128, 8
    return 64, 64, 16


def in_parts(planner, node, family, expression, grid, args, parts):
    """Launch a kernel for a gradient that is the sum of `parts`. None among args: where these go."""
    dtype = node.output.dtype
    target = result(planner, node) if parts == 1 else planner.in_parts(
        node.output, parts, "float32" if is_half(dtype) else dtype)
    planner.launch(family, expression, grid, (BLOCK,), [target if a is None else a for a in args], [target])


def convolve(planner, mode, node, left, right, x, y, kernel):
    """mode: 0 forward, 1 gradient for the input, 2 for the kernel. x, y, kernel: shapes."""
    small(node, *node.inputs, node.output)
    attrs, batch, dtype = node.attrs, x[0], node.output.dtype
    groups, c_type, count = attrs["groups"], TYPES[dtype], math.prod(node.output.shape)
    args, numbers = (planner.view(left), planner.view(right)), geometry(x, y, kernel[:-2], attrs)
    _, _, depth, each, last, *spatial = numbers
    sizes, outs, window = (math.prod(spatial[i:i + 3]) for i in (0, 3, 6))
    own = depthwise.plan(mode, numbers, dtype)
    if own is not None:
        table = planner.constant(own.table, "int32")
        if mode == 2:
            in_parts(planner, node, "depthwise", own.kernel, own.work, (*args, None, table, *own.numbers), own.parts)
        else:
            planner.hosting("depthwise", own.kernel, (-(-own.work // BLOCK),), (BLOCK,),
                            (*args, NULL, table, np.int32(own.work)), node, 2)
        return
    table = planner.constant(table_of(numbers), "int32")
    own = implicit.plan(mode, numbers, dtype)
    if own is not None:
        share = np.int32(own.part_size)
        if mode == 2:
            in_parts(planner, node, "implicit", own.kernel, own.grid, (*args, None, table, share), own.parts)
        else:
            planner.hosting("implicit", own.kernel, own.grid, (BLOCK,), (*args, NULL, table, share), node, 2)
        return
    if groups > 1 and min(depth, each) < 8:
        if mode != 2:
            planner.hosting("convolution", f"{('direct_forward', 'direct_input')[mode]}<{c_type}>", blocks_for(count),
                            (BLOCK,), (*args, NULL, table, np.int32(count)), node, 2)
            return
        filters = each * groups
        lanes = min(32, 1 << (filters - 1).bit_length()) if last else 1
        blocks = -(-filters // lanes), window * depth
        parts, part_size = split(batch * outs, 2 * PARTS // math.prod(blocks), 16 * (256 // lanes))
        within = "float" if is_half(dtype) and parts > 1 else c_type
        in_parts(planner, node, "convolution", f"direct_kernel<{c_type}, {within}>", (*blocks, parts),
                 (*args, None, table, np.int32(lanes), np.int32(part_size)), parts)
        return
    rows = (batch * outs, batch * sizes, window * depth)[mode]
    columns = (each, depth, each)[mode]
    inner = (window * depth, window * each, batch * outs)[mode]
    half = is_half(dtype)
    tile = halves.tiles(rows, columns) if half else tiles(rows, columns, dtype)
    sm, sn, sk = (*tile[:2], halves.INNER) if half else tile
    blocks = -(-rows // sm) * -(-columns // sn)
    parts, part_size = split(inner, 2 * PARTS // (blocks * groups) if mode == 2 else 1, 16 * sk)
    name = ("FORWARD", "INPUT", "KERNEL")[mode]
    wide = 4 if last and depth % 4 == each % 4 == 0 else 1
    family, expression = ("tensor", halves.convolution(mode, c_type, depth, each, tile, parts)) if half else (
        "convolution", f"tiled<{c_type}, {name}, {str(bool(last)).lower()}, {sm}, {sn}, {sk}, {wide}>")
    grid = (-(-rows // sm), -(-columns // sn), groups * parts)
    if mode != 2:
        planner.hosting(family, expression, grid, (256,),
                        (*args, NULL, table, np.int32(parts), np.int32(part_size)), node, 2)
        return
    in_parts(planner, node, family, expression, grid, (*args, None, table, np.int32(parts), np.int32(part_size)), parts)


@lowers("conv")
def conv(planner, node):
    x, kernel = node.inputs
    convolve(planner, 0, node, x, kernel, x.shape, node.output.shape, kernel.shape)


@lowers("conv_input_gradient")
def conv_input_gradient(planner, node):
    grad, kernel = node.inputs
    convolve(planner, 1, node, grad, kernel, node.output.shape, grad.shape, kernel.shape)


@lowers("conv_kernel_gradient")
def conv_kernel_gradient(planner, node):
    x, grad = node.inputs
    convolve(planner, 2, node, x, grad, x.shape, grad.shape, node.output.shape)


# Pooling --------------------------------------------------------------------------------------------------------

def pool_table(planner, node, x, y) -> View:
    """The Geometry of kernels/pooling.cu, for an input of shape x and a result of shape y."""
    attrs = node.attrs
    last = attrs["channels_last"]
    size, out, channels = (x[1:-1], y[1:-1], x[-1]) if last else (x[2:], y[2:], x[1])
    return planner.constant([x[0], channels, int(last), *three(size, 1), *three(out, 1), *three(attrs["window"], 1),
                             *three(attrs["strides"], 1), *three(attrs["dilation"], 1),
                             *three([p for p, _ in attrs["padding"]], 0)], "int32")


def pool_key(planner, x, attrs) -> tuple:
    """What the places of maxima follow from."""
    return "maxima", id(planner.root(x)), tuple(sorted(attrs.items()))


def maxima(planner, node, x, y_shape, out) -> View | None:
    """Launch the pooling; gives the places of the maxima if a gradient of the graph will ask for them."""
    key, n = pool_key(planner, x, node.attrs), math.prod(y_shape)
    asked = node.op == "max_pool_gradient" or any(
        other.op == "max_pool_gradient" and pool_key(planner, other.inputs[0], other.attrs) == key
        for other in planner.nodes)
    where = planner.temporary(n, "int32") if asked else None
    args = (planner.view(x), *(NULL if v is None else v for v in (out, where)),
            pool_table(planner, node, x.shape, y_shape), np.int32(n))
    planner.launch("pooling", f"max_pool<{TYPES[x.dtype]}>", blocks_for(n), (BLOCK,), args,
                   [v for v in (out, where) if v is not None])
    planner.found[key] = where
    return where


@lowers("max_pool")
def max_pool(planner, node):
    (x,) = node.inputs
    small(node, x, node.output)
    planner.view(x)
    maxima(planner, node, x, node.output.shape, result(planner, node))


@lowers("max_pool_gradient")
def max_pool_gradient(planner, node):
    x, grad = node.inputs
    small(node, x, grad)
    incoming = planner.view(grad)
    where = planner.found.get(pool_key(planner, x, node.attrs)) or maxima(planner, node, x, grad.shape, None)
    out, n = result(planner, node), math.prod(x.shape)
    planner.launch("pooling", f"max_pool_gradient<{TYPES[x.dtype]}>", blocks_for(n), (BLOCK,),
                   (where, incoming, out, pool_table(planner, node, x.shape, grad.shape), np.int32(n)), [out])


DIVISORS = {"one": 0, "window": 1, "elements": 2}


@lowers("avg_pool", "avg_pool_gradient")
def avg_pool(planner, node):
    (x,) = node.inputs
    small(node, x, node.output)
    shapes = (x.shape, node.output.shape) if node.op == "avg_pool" else (node.output.shape, x.shape)
    source, table, out = planner.view(x), pool_table(planner, node, *shapes), result(planner, node)
    n = math.prod(node.output.shape)
    planner.launch("pooling", f"{node.op}<{TYPES[x.dtype]}>", blocks_for(n), (BLOCK,),
                   (source, out, table, np.int32(DIVISORS[node.attrs["divisor"]]), np.int32(n)), [out])


# Indices --------------------------------------------------------------------------------------------------------

def checked(planner, indices, size, text) -> View:
    """The indices as int32, in range; the run fails with `text` if one is not."""
    key = ("checked", id(planner.root(indices)), size, text)
    if key in planner.found:
        return planner.found[key]
    n, source = math.prod(indices.shape), planner.view(indices)
    safe, status = planner.temporary(n, "int32"), planner.status_view()
    planner.launch("indexing", f"check<{TYPES[indices.dtype]}>", (1,), (256,),
                   (source, safe, status, np.int32(planner.message(text)), np.int64(size), np.int32(n)), [safe, status])
    planner.found[key] = safe
    return safe


def checked_indices(planner, indices, size) -> View:
    return checked(planner, indices, size, f"An index is {{value}}, but along an axis of {size} elements indices must "
                                           f"be from 0 to {size - 1}.")


@lowers("take")
def take(planner, node):
    x, indices = node.inputs
    axis, size = node.attrs["axis"], x.shape[node.attrs["axis"]]
    source, c_type = bits(planner.view(x))
    safe, out = checked_indices(planner, indices, size), result(planner, node)
    n = math.prod(node.output.shape)
    planner.launch("indexing", f"take<{c_type}>", blocks_for(n), (BLOCK,),
                   (source, safe, bits(out)[0], np.int64(size), np.int64(math.prod(indices.shape)),
                    np.int64(math.prod(x.shape[axis + 1:])), np.int64(n)), [out])


@lowers("take_gradient")
def take_gradient(planner, node):
    grad, indices = node.inputs
    axis, shape = node.attrs["axis"], node.attrs["shape"]
    small(node, grad, node.output)
    source, safe = planner.view(grad), checked_indices(planner, indices, shape[axis])
    out, inner, outer = result(planner, node), math.prod(shape[axis + 1:]), math.prod(shape[:axis])
    grid = (shape[axis], min(-(-outer * inner // 256), 1 << 15))
    planner.launch("indexing", f"take_gradient<{TYPES[grad.dtype]}>", grid, (256,),
                   (source, safe, out, np.int32(shape[axis]), np.int32(math.prod(indices.shape)), np.int32(inner),
                    np.int32(outer * inner)), [out])


@lowers("argsort")
def argsort(planner, node):
    x, n = node.inputs[0], node.inputs[0].shape[-1]
    small(node, x)
    source, out, total = planner.view(x), result(planner, node), math.prod(x.shape)
    planner.launch("sorting", f"argsort<{TYPES[x.dtype]}>", blocks_for(total), (BLOCK,),
                   (source, out, np.int32(n), np.int64(total)), [out])


@lowers("sparse_softmax_cross_entropy", "sparse_softmax_cross_entropy_gradient")
def cross_entropy(planner, node):
    logits, labels, *grad = node.inputs
    rows, classes = math.prod(labels.shape), logits.shape[-1]
    source, incoming = planner.view(logits), [planner.view(g) for g in grad]
    safe = checked(planner, labels, classes, f"A label is {{value}}, but with {classes} classes labels must be from 0 "
                                             f"to {classes - 1}. Check the labels, or give the last layer more units.")
    out, name = result(planner, node), "cross_entropy_gradient" if grad else "cross_entropy"
    planner.launch("softmax", f"{name}<{TYPES[logits.dtype]}>", (-(-rows // 8),), (32, 8),
                   (source, safe, *incoming, out, np.int32(rows), np.int32(classes)), [out])


# Images read between their pixels -------------------------------------------------------------------------------

FILL_MODES = ("constant", "nearest", "wrap", "mirror", "reflect")      # in the order of kernels/sampling.cu


@lowers("sample_images", "sample_images_gradient", "sample_places_gradient")
def sampling(planner, node):
    small(node, *node.inputs, *node.outputs)
    attrs, last = node.attrs, node.attrs["channels_last"]
    shape, places = attrs.get("shape", node.inputs[0].shape), math.prod(node.inputs[1].shape[1:])
    height, width, channels = shape[1:] if last else (*shape[2:], shape[1])
    args = [planner.view(x) for x in node.inputs]
    outs = [View(planner.define(t), t.dtype) for t in node.outputs]
    dtype = node.output.dtype
    fill = [planner.constant(attrs["fill_value"], dtype)] if "fill_value" in attrs else []
    bilinear = [] if node.op == "sample_places_gradient" else [np.int32(attrs["interpolation"] == "bilinear")]
    n = shape[0] * height * channels if node.op == "sample_images_gradient" else math.prod(node.output.shape)
    planner.launch("sampling", f"{node.op}<{TYPES[dtype]}>", blocks_for(n), (BLOCK,),
                   (*args, *outs, *fill, *map(np.int32, (height, width, channels, places, last)), *bilinear,
                    np.int32(FILL_MODES.index(attrs["fill_mode"])), np.int32(n)), outs)


# Random numbers -------------------------------------------------------------------------------------------------

@lowers("random_uniform", "random_normal")
def random(planner, node):
    n, state = math.prod(node.output.shape), planner.view(node.inputs[0])
    out = result(planner, node)
    planner.launch("random", f"{node.op}<{TYPES[node.output.dtype]}>", blocks_for(-(-n // 4)), (BLOCK,),
                   (state, out, np.int64(n)), [out])
