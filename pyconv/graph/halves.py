"""Half precision for backends that store float32 alone: the same graph with halves as rounded float32 tensors."""

from __future__ import annotations

from .dtypes import HALVES, as_dtype, is_half
from .tensor import Constant, Node, Spec
from .trace import Graph

__all__ = ["has_halves", "widen"]

# Ops whose results are among the numbers of their inputs, or as exact as these: nothing is to be rounded.
EXACT = {"negative", "absolute", "sign", "floor", "round", "relu", "maximum", "minimum", "where", "check_finite",
         "stop_gradient", "max", "min", "reshape", "transpose", "broadcast_to", "slice", "slice_gradient",
         "concatenate", "flip", "max_pool", "take"}


def has_halves(graph: Graph) -> bool:
    types = {t.dtype for node in graph.nodes() for t in node.outputs}
    return not types.union(t.dtype for t in graph.inputs).isdisjoint(HALVES)


def _wide(spec: Spec) -> Spec:
    return Spec(spec.shape, "float32") if is_half(spec.dtype) else spec


def _rounded(tensor, dtype, layer):
    return Node(f"round_{dtype}", (tensor,), {}, [tensor.spec], layer).output


def widen(graph: Graph) -> Graph:
    """The graph with float32 in the place of float16 and bfloat16: each result is rounded to the numbers of its type.

    Its inputs and outputs that were halves are float32 too.
    """
    new: dict = {}          # id of a tensor -> the tensor in its stead
    for tensor in graph.inputs:
        if is_half(tensor.dtype):
            node = Node("placeholder", (), tensor.node.attrs, [_wide(tensor.spec)])
            new[id(tensor)] = node.output
    inputs = [new.get(id(t), t) for t in graph.inputs]
    # An array given for bfloat16 is float32 and may have other numbers.
    new.update({id(t): _rounded(new[id(t)], t.dtype, None) for t in graph.inputs if t.dtype == "bfloat16"})
    for node in graph.nodes():
        if any(id(t) in new for t in node.outputs):
            continue
        halves = any(is_half(t.dtype) for t in (*node.inputs, *node.outputs))
        args = [new[id(t)] for t in node.inputs]
        if not halves and all(a is b for a, b in zip(args, node.inputs, strict=True)):
            new.update((id(t), t) for t in node.outputs)
            continue
        dtype, attrs = node.output.dtype, node.attrs
        if node.op == "constant":
            value = Constant(as_dtype(attrs["value"].array, "float32"))
            new[id(node.output)] = Node("constant", (), {"value": value}, [_wide(node.output.spec)]).output
            continue
        if node.op == "cast":
            (x,), wide = args, _wide(node.output.spec).dtype
            if x.dtype != wide:
                x = Node("cast", (x,), {"dtype": wide}, [_wide(node.output.spec)], node.layer).output
            new[id(node.output)] = _rounded(x, dtype, node.layer) if is_half(dtype) else x
            continue
        if is_half(attrs.get("dtype", "")):
            attrs = {**attrs, "dtype": "float32"}
        made = Node(node.op, args, attrs, [_wide(t.spec) for t in node.outputs], node.layer)
        for old, tensor in zip(node.outputs, made.outputs, strict=True):
            new[id(old)] = _rounded(tensor, old.dtype, node.layer) if is_half(old.dtype) and node.op not in EXACT \
                else tensor
    return Graph(inputs, [new[id(t)] for t in graph.outputs], [(v, new[id(t)]) for v, t in graph.updates])
