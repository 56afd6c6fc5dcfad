"""How images read between their pixels, and images of another size, become work."""

from __future__ import annotations

import math

import numpy as np

from .buffers import Buffer
from .lowering_conv import avg_pool as pool
from .lowering_conv import lowers

PLACES = 4096          # that a task reads, about
ELEMENTS = 1 << 14     # of the results of a task, about


@lowers("sample_images", "sample_images_gradient", "sample_places_gradient")
def sample(planner, node):
    attrs, (first, y, *_) = node.attrs, node.inputs
    images, channels_last = attrs.get("shape", first.shape), attrs["channels_last"]
    height, width = images[1:3] if channels_last else images[2:]
    channels = images[3] if channels_last else images[1]
    rows, columns = y.shape[1:]
    reads = [planner.rep(t, None) for t in node.inputs]
    targets = [planner.define(t) for t in node.outputs]
    # Only one task may add to a sample's pixels; the other ops can share its rows.
    chunk = rows if node.op == "sample_images_gradient" else max(1, min(rows, PLACES // max(1, columns)))

    def make():
        return planner.kernels.sampling.sample(
            node.op, first.dtype, [b.whole() for b in reads], [b.whole() for b in targets], batch=images[0],
            height=height, width=width, channels=channels, rows=rows, columns=columns, chunk=chunk,
            bilinear=attrs["interpolation"] == "bilinear", fill_mode=attrs["fill_mode"],
            fill_value=attrs.get("fill_value", 0.0), channels_last=channels_last)
    planner.add(make, reads, targets, cost=math.prod(y.shape) * (6 + 3 * channels))


# Another size --------------------------------------------------------------------------------------------------

def resized(planner, x, follower) -> bool:
    """Take over what follows from x by products with constant matrices that have few numbers in each row, as resizing
    and pooling to a given size are made of: reshape, product, reshape and so on, from the node `follower` on.

    Returns whether anything was. The axes are those of x, wherever its layout has them.
    """
    shape, at, steps, nodes, found = list(x.shape), x, [], [], None
    while follower is not None:
        if follower.op == "matmul":
            step = _step(follower, at, shape)
            if step is None:
                break
            steps = [*steps, step]
            shape[step[0]] = len(step[1][2])
        elif follower.op != "reshape":
            break
        nodes.append(follower)
        at = follower.output
        if steps and list(at.shape) == shape:
            found = len(nodes), steps, at
        follower = planner.only_consumer(at)
    if found is None:
        return False
    count, steps, tensor = found
    planner.done.update(map(id, nodes[:count]))
    layout = planner.layout(x)
    _run_steps(planner, x, steps, tensor, None if any(axis == 0 for axis, _ in steps) else layout)
    return True


@lowers("avg_pool_gradient")
def upsample(planner, node):
    """Pixels repeated, if that is what the sums' gradient means."""
    (x,), attrs = node.inputs, node.attrs
    first, window = 1 if attrs["channels_last"] else 2, attrs["window"]
    sizes = x.shape[first:first + len(window)]
    if attrs["divisor"] != "one" or attrs["strides"] != window or any(map(any, attrs["padding"])) \
            or any(d > 1 for d in attrs["dilation"]) or max(window) == 1 \
            or node.output.shape[first:first + len(window)] != tuple(n * k for n, k in zip(sizes, window, strict=True)):
        return pool(planner, node)
    steps = [(axis, (n, np.arange(n * k, dtype=np.int32) // k, np.ones((n * k, 1), x.dtype)))
             for axis, (n, k) in enumerate(zip(sizes, window, strict=True), first) if k > 1]
    lanes = planner.kernels.lanes[x.dtype]
    layout = planner.channels_first(len(x.shape), attrs["channels_last"], lanes)
    _run_steps(planner, x, steps, node.output, layout if planner.fills(x.shape[0], lanes) else None)


def _run_steps(planner, x, steps, tensor, layout):
    """Add the work of resizing x by steps (axis, bands) to `tensor`, in one layout; two neighbours are one pass."""
    order = list(range(len(x.shape))) if layout is None else [0, *(a + 1 for a in layout.order)]
    source, sizes = planner.rep(x, layout), list(x.shape)
    while steps:
        places = sorted((order.index(axis), bands) for axis, bands in steps[:2])
        if places[-1][0] - places[0][0] != 1:
            places = [(order.index(axis), bands) for axis, bands in steps[:1]]
        steps = steps[len(places):]
        for place, bands in places:
            sizes[order[place]] = len(bands[2])
        target = Buffer.for_tensor(tuple(sizes), x.dtype, layout) if steps else planner.define(tensor, layout)
        _run(planner, source, target, [bands for _, bands in places], [sizes[a] for a in order], places[0][0],
             0 if layout is None else layout.lanes)
        source = target


def _step(node, x, shape):
    """(axis, bands) that a product of x, a tensor of `shape` reshaped, with a constant means, or None."""
    a, b = node.inputs
    left = b is x
    constant, turned = (a, node.attrs["transpose_a"]) if left else (b, not node.attrs["transpose_b"])
    if constant.node.op != "constant" or len(constant.shape) != 2 or constant.dtype != x.dtype or len(x.shape) < 2 \
            or node.attrs["transpose_b" if left else "transpose_a"]:
        return None
    cut = len(x.shape) - (2 if left else 1)
    parts = math.prod(x.shape[:cut]), x.shape[cut], math.prod(x.shape[cut + 1:])
    axis = next((i for i, n in enumerate(shape) if (math.prod(shape[:i]), n, math.prod(shape[i + 1:])) == parts), None)
    matrix = constant.node.attrs["value"].array
    bands = None if axis is None else _bands(matrix.T if turned else matrix)
    return bands and (axis, bands)


def _bands(matrix):
    """(columns, where in each row the numbers begin that count, these numbers), or None if they are too many."""
    counts, columns = matrix != 0, matrix.shape[1]
    first, last = counts.argmax(1), columns - 1 - counts[:, ::-1].argmax(1)
    width = int(np.max(np.where(counts.any(1), last - first + 1, 1)))
    if width > max(4, columns // 2):
        return None
    first = np.minimum(first, columns - width).astype(np.int32)
    return columns, first, np.ascontiguousarray(np.take_along_axis(matrix, first[:, None] + np.arange(width), 1))


def _run(planner, source, target, bands, sizes, place, lanes):
    """Add the work of resizing one axis, or two, that are at `place` of those of the target, whose sizes are `sizes`,
    in their order in memory."""
    outer, inner = math.prod(sizes[1 if lanes else 0:place]), math.prod(sizes[place + len(bands):]) * max(1, lanes)
    line = inner * (len(bands[1][2]) if len(bands) > 1 else 1)

    def make():
        x, y = (source.at(), target.at()) if lanes else (source.whole(), target.whole())
        return planner.kernels.sampling.resize(x, y, bands, blocks=target.blocks, outer=outer, inner=inner,
                                               chunk=max(1, ELEMENTS // line))
    planner.add(make, [source], [target], blocks=target.blocks,
                cost=target.nbytes / 16 * sum(b[2].shape[1] for b in bands))
