"""Half precision on the device: which nodes have kernels that read and write it, and what is done with the others.

An elementwise node is computed in float32 and rounded within its kernel, and products go through the tensor cores. Any
other node is computed in float32 between casts, which fuse with what is around them: a sum reads halves, too.
"""

from __future__ import annotations

import math

import numpy as np

from ...graph import LEAVES, Graph, Node, Spec, has_halves, is_half, simplify
from .elementwise import EXPRESSIONS

__all__ = ["TENSOR_CORES", "convolution", "prepare", "product", "tiles"]

INNER = 32                  # as in kernels/tensor.cu
TENSOR_CORES = ("conv", "conv_input_gradient", "conv_kernel_gradient", "matmul")
# Ops whose kernels take halves; MOVES only copy bits.
MOVES = ("transpose", "flip", "slice", "slice_gradient", "pad", "concatenate", "take", "reshape", "stop_gradient")
NATIVE = {*EXPRESSIONS, *MOVES, *TENSOR_CORES, "max", "min", "max_pool", "max_pool_gradient", "avg_pool",
          "avg_pool_gradient"} - {"round_float16", "round_bfloat16"}


def _node(op, inputs, attrs, spec, layer):
    return Node(op, inputs, attrs, [spec], layer).output


def _cast(x, dtype, layer):
    return x if x.dtype == dtype else _node("cast", (x,), {"dtype": dtype}, Spec(x.shape, dtype), layer)


def _channels_last(node, inputs):
    """A convolution whose channels are second, by one whose channels are last, between transpositions."""
    rank = len(node.inputs[0].shape if node.op != "conv_input_gradient" else node.output.shape)
    there, back = (0, *range(2, rank), 1), (0, rank - 1, *range(1, rank - 1))

    def moved(x, axes):
        shape = tuple(x.shape[a] for a in axes)
        return _node("transpose", (x,), {"axes": axes}, Spec(shape, x.dtype), node.layer)
    kernel = node.op == "conv_kernel_gradient"
    inputs = [moved(x, there) if i == 0 or kernel else x for i, x in enumerate(inputs)]
    attrs, shape = {**node.attrs, "channels_last": True}, node.output.shape
    if not kernel:
        shape = tuple(shape[a] for a in there)
    if node.op == "conv_input_gradient":
        attrs["shape"] = shape
    out = _node(node.op, inputs, attrs, Spec(shape, node.output.dtype), node.layer)
    return out if kernel else moved(out, back)


def prepare(graph: Graph, cores) -> Graph:
    """The same computation in nodes that have kernels. cores: the half types that the tensor cores multiply.

    bfloat16 inputs and outputs become float32, as NumPy has no such type.
    """
    if not has_halves(graph):
        return graph
    new: dict = {}          # id of a tensor -> the tensor in its stead
    inputs = []
    for tensor in graph.inputs:
        if tensor.dtype == "bfloat16":
            wide = _node("placeholder", (), tensor.node.attrs, Spec(tensor.shape, "float32"), None)
            new[id(tensor)] = _cast(wide, "bfloat16", None)
            inputs.append(wide)
        else:
            inputs.append(tensor)
    for node in graph.nodes():
        if any(id(t) in new for t in node.outputs):
            continue
        args = [new[id(t)] for t in node.inputs]
        halves = [t.dtype for t in (*node.inputs, *node.outputs) if is_half(t.dtype)]
        native = node.op in NATIVE and (node.op not in TENSOR_CORES or halves[:1] == [] or halves[0] in cores)
        if node.op in LEAVES or not halves and all(a is b for a, b in zip(args, node.inputs, strict=True)):
            outputs = node.outputs
        elif halves and not native:
            wide = [_cast(x, "float32", node.layer) if is_half(x.dtype) else x for x in args]
            attrs = {**node.attrs, "dtype": "float32"} if is_half(node.attrs.get("dtype", "")) else node.attrs
            made = Node(node.op, wide, attrs, [Spec(t.shape, "float32" if is_half(t.dtype) else t.dtype)
                                               for t in node.outputs], node.layer).outputs
            outputs = [_cast(t, old.dtype, node.layer) for t, old in zip(made, node.outputs, strict=True)]
        elif halves and node.op in TENSOR_CORES[:3] and not node.attrs["channels_last"] \
                and (node.attrs["groups"] == 1 or min(_group(node)) >= 8):
            outputs = [_channels_last(node, args)]
        else:
            outputs = Node(node.op, args, node.attrs, [t.spec for t in node.outputs], node.layer).outputs
        for old, tensor in zip(node.outputs, outputs, strict=True):
            new[id(old)] = tensor
    outputs = [new[id(t)] for t in graph.outputs]
    outputs = [_cast(t, "float32", None) if t.dtype == "bfloat16" else t for t in outputs]
    return simplify(Graph(inputs, outputs, [(v, new[id(t)]) for v, t in graph.updates]))


def _group(node) -> tuple:
    """Channels and filters of a group."""
    kernel = node.output.shape if node.op == "conv_kernel_gradient" else node.inputs[1].shape
    return kernel[-2], kernel[-1] // node.attrs["groups"]


# Launches of kernels/tensor.cu -----------------------------------------------------------------------------------

def tiles(rows, columns, plain=False) -> tuple:
    """The tile (SM, SN) of a block and (WM, WN) of a warp for a product of this size.

    plain: for `product`, whose largest tile would spill registers where two blocks are to be resident.
    """
    if columns <= 16:
        return 128, 16, 16, 16
    if columns > 64 and rows >= 128 * 128 and not plain:
        return 128, 128, 64, 32
    if rows >= 64 * 128:
        return 128, 64, 32, 32
    return 64, 64, 32, 16


def words(*flags) -> str:
    return ", ".join(str(bool(f)).lower() for f in flags)


def convolution(mode, c_type, depth, each, tile, parts) -> str:
    """The instance of `convolve`."""
    gathered = each if mode == 1 else depth
    return (f"convolve<{c_type}, {('FORWARD', 'INPUT', 'KERNEL')[mode]}, {words(gathered % 8 == 0, each % 8 == 0)}, "
            f"{', '.join(map(str, tile))}, {'float' if parts > 1 else c_type}>")


def product(planner, x, y, out, c_type, transposed, which, sizes):
    """Launch `product` for many matrices; `which`: where these begin, in elements. sizes: (batch, m, n, k)."""
    (ta, tb), (batch, m, n, k) = transposed, sizes
    tile = tiles(m, n, True)
    aligned = (m if ta else k) % 8 == 0, (k if tb else n) % 8 == 0
    planner.launch("tensor", f"product<{c_type}, {words(ta, tb, *aligned)}, {', '.join(map(str, tile))}>",
                   (math.ceil(m / tile[0]), math.ceil(n / tile[1]), min(batch, 1 << 15)), (256,),
                   (x, y, out, planner.constant(np.concatenate(which), "int64"), np.int32(batch), np.int32(m),
                    np.int32(n), np.int32(k)), [out])

