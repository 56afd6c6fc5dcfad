"""Folding at inference: a scale per channel goes into the kernel of the convolution or dense layer before it.

``(conv(x, W) + b) * f + s`` becomes ``conv(x, W * f) + (b * f + s)`` where b, f and s have one number per channel and
come from weights alone, as in batch normalization with its moving averages (Jacob et al., *Quantization and training
of neural networks for efficient integer-arithmetic-only inference*, 2018, section 3.2). The weights are scaled by the
program, so that it never holds stale ones; where it does so in each run, kernels with more elements than the result
has stay as they are.
"""

from __future__ import annotations

import math

from .tensor import LEAVES, Node, Tensor, make_node
from .trace import Graph

__all__ = ["fold"]

# op -> the axis of its kernel along which the channels of its result lie, counted from the end
_KERNELS = {"conv": -1, "conv_input_gradient": -2, "matmul": -1}


def fold(graph: Graph, large=False) -> Graph:
    """The same graph with scales and offsets per channel moved into what comes before them.

    large: whether kernels with more elements than the result are scaled too.
    """
    users: dict = {}
    for node in graph.nodes():
        for tensor in node.inputs:
            users[id(tensor)] = users.get(id(tensor), 0) + 1
    for tensor in graph.results:
        users[id(tensor)] = users.get(id(tensor), 0) + 1
    new: dict = {}           # id of an old tensor -> its new tensor
    open_: dict = {}         # id of a new tensor -> _Affine that it is the result of, where one consumer is left
    fixed: set = set()       # ids of new tensors that come from weights and constants alone

    for node in graph.nodes():
        inputs = [new[id(t)] for t in node.inputs]
        affine = _extended(node, inputs, open_, fixed)
        if affine is not None:
            tensor = affine.tensor()
        elif node.op in LEAVES or all(a is b for a, b in zip(inputs, node.inputs, strict=True)):
            tensor = node.output
        else:
            tensor = Node(node.op, inputs, node.attrs, [t.spec for t in node.outputs], node.layer).output
        for old, t in zip(node.outputs, tensor.node.outputs, strict=True):
            new[id(old)] = t
        if node.op != "placeholder" and all(id(t) in fixed for t in inputs):
            fixed.add(id(tensor))
        if affine is None:
            affine = _begun(node, inputs, tensor, fixed, large)
        if affine is not None and users.get(id(node.output)) == 1:
            open_[id(tensor)] = affine
    return Graph(graph.inputs, [new[id(t)] for t in graph.outputs], [(v, new[id(t)]) for v, t in graph.updates])


class _Affine:
    """``op(x, kernel) + bias``: the node it comes from, its inputs now, and the axis of its result's channels."""

    def __init__(self, node, kernel, bias, axis):
        self.node, self.kernel, self.bias, self.axis = node, kernel, bias, axis

    def channels(self, tensor) -> bool:
        """Whether the tensor has one number per channel of the result, or one for all."""
        shape = self.node.output.shape
        wide = (1,) * (len(shape) - len(tensor.shape)) + tuple(tensor.shape)
        return len(wide) == len(shape) and all(n == 1 or i == self.axis and n == shape[i]
                                               for i, n in enumerate(wide))

    def scaled(self, factor):
        rank, at = len(self.kernel.shape), _KERNELS[self.node.op]
        size = math.prod(factor.shape)
        along = make_node("reshape", [factor], {"shape": tuple(size if i == rank + at else 1 for i in range(rank))})
        bias = None if self.bias is None else make_node("multiply", [self.bias, factor], {})
        return _Affine(self.node, make_node("multiply", [self.kernel, along], {}), bias, self.axis)

    def shifted(self, offset):
        bias = offset if self.bias is None else make_node("add", [self.bias, offset], {})
        return _Affine(self.node, self.kernel, bias, self.axis)

    def tensor(self) -> Tensor:
        """The result; the bias comes first, so that a planner meets it ahead of the product that it is added to."""
        result = make_node(self.node.op, [self.node.inputs[0], self.kernel], self.node.attrs, self.node.layer)
        return result if self.bias is None else make_node("add", [self.bias, result], {})


def _begun(node, inputs, tensor, fixed, large):
    """A product with a kernel that comes from weights alone, and is small enough to be scaled."""
    if node.op not in _KERNELS or id(inputs[1]) not in fixed or id(inputs[0]) in fixed:
        return None
    if node.op == "matmul" and (node.attrs["transpose_b"] or len(inputs[1].shape) != 2):
        return None
    if not large and math.prod(inputs[1].shape) > math.prod(node.output.shape):
        return None
    rank = len(node.output.shape)
    axis = 1 if node.attrs.get("channels_last") is False else rank - 1
    return _Affine(tensor.node, inputs[1], None, axis)


def _extended(node, inputs, open_, fixed):
    """The product before `node` with the sum or scale that `node` is taken in, or None."""
    if node.op not in ("add", "multiply") or len(inputs) != 2:
        return None
    for tensor, other in (inputs, inputs[::-1]):
        before = open_.get(id(tensor))
        if before is not None and id(other) in fixed and before.channels(other) and node.output.spec == tensor.spec:
            return before.scaled(other) if node.op == "multiply" else before.shifted(other)
    return None
