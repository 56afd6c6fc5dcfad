"""Simplification: the same computation with fewer nodes."""

from __future__ import annotations

import operator

from .dtypes import is_float, is_half
from .tensor import Node, Spec, Tensor
from .trace import Graph

_NEUTRAL = {"add": (0, True), "subtract": (0, False), "multiply": (1, True), "divide": (1, False),
            "power": (1, False)}    # op: (neutral element, on either side)
_FIRST = operator.itemgetter(0)
_SPREADING = ("add", "subtract", "multiply", "divide", "maximum", "minimum", "where", "power")    # inputs broadcast


def _is_constant(tensor: Tensor, value) -> bool:
    if tensor.node.op != "constant":
        return False
    array = tensor.node.attrs["value"].array
    return bool((array == value).all()) if array.shape else array.item() == value


def _shortcut(op, inputs, attrs, spec):
    """An existing tensor that equals the result of the node, or None."""
    x = inputs[0]
    if op in _NEUTRAL:
        neutral, commutes = _NEUTRAL[op]
        if x.spec == spec and _is_constant(inputs[1], neutral):
            return x
        if commutes and inputs[1].spec == spec and _is_constant(x, neutral):
            return inputs[1]
    elif op in ("cast", "reshape", "broadcast_to") and x.spec == spec:
        return x
    elif op == "cast" and x.node.op == "cast" and is_half(spec.dtype) and x.dtype in ("float32", "float64") \
            and x.node.inputs[0].spec == spec:
        return x.node.inputs[0]             # to a wider type and back
    elif op == "transpose" and attrs["axes"] == tuple(range(len(x.shape))):
        return x
    return None


def _even(tensor, shape, axes) -> bool:
    """Whether the tensor, broadcast to the shape, is the same all along the axes."""
    lead = len(shape) - len(tensor.shape)
    return all(a < lead or tensor.shape[a - lead] == 1 for a in axes)


def _unspread(inputs, shape):
    """The inputs of an elementwise op without `broadcast_to`, where the others give the result its shape."""
    out = list(inputs)
    for i, tensor in enumerate(inputs):
        others = out[:i] + out[i + 1:]
        if tensor.node.op == "broadcast_to" and any(t.shape == shape for t in others):
            out[i] = tensor.node.inputs[0]
    return out


class Simplifier:
    """Builds the new graph, node by node."""

    def __init__(self):
        self.known: dict = {}      # key of a node -> node

    def node(self, op, inputs, attrs, specs, layer) -> Node:
        """The node, or an equal one that is there already."""
        key = (op, *map(id, inputs), *(sorted(attrs.items(), key=_FIRST) if len(attrs) > 1 else attrs.items()),
               *[s.dtype for s in specs])           # constants of two types may have the same bytes
        known = self.known.get(key)
        if known is None:
            known = self.known[key] = Node(op, inputs, attrs, specs, layer)
        return known

    def moved_out(self, inputs, attrs, spec, layer):
        """A sum of products with a factor that is even along its axes: the factor times a sum. Likewise of negatives.

        Gradients of broadcasting have many of these, over one and the same tensor.
        """
        inner, axes = inputs[0].node, attrs["axes"]
        if inner.op == "negative":
            sums = self.sum(inner.inputs[0], attrs, layer)
            return self.node("negative", [sums], {}, [spec], layer).output
        if inner.op == "max_pool_gradient":
            # Each element of the incoming gradient is added to exactly one element.
            rank = len(inner.output.shape)
            spatial = range(1, rank - 1) if inner.attrs["channels_last"] else range(2, rank)
            return self.sum(inner.inputs[1], attrs, layer) if set(spatial) <= set(axes) else None
        if inner.op != "multiply" or not is_float(spec.dtype) or not axes:
            return None
        shape = inner.output.shape
        for factor, other in (inner.inputs, inner.inputs[::-1]):
            if other.shape == shape and _even(factor, shape, axes) and not _even(other, shape, axes):
                lead = len(shape) - len(factor.shape)
                if not attrs["keepdims"] and factor.shape:
                    kept = tuple(n for i, n in enumerate(factor.shape) if i + lead not in axes)
                    factor = self.node("reshape", [factor], {"shape": kept}, [Spec(kept, factor.dtype)], layer).output
                sums = self.sum(other, attrs, layer)
                return self.node("multiply", [sums, factor], {}, [spec], layer).output
        return None

    def before_pooling(self, inputs, layer):
        """The gradient of ``max_pool(relu(z))``, masked where y = relu(z) is not above 0: masked before it is spread.

        A window's gradient goes to an element that equals the window's maximum, so one mask stands for the other.
        """
        mask, spread, zero = inputs
        if mask.node.op != "greater" or spread.node.op != "max_pool_gradient" or not _is_constant(zero, 0):
            return None
        x, grad = spread.node.inputs
        y, bound = mask.node.inputs
        if y is not x or not _is_constant(bound, 0) or zero.shape != ():
            return None
        attrs, spec = spread.node.attrs, grad.spec
        top = self.node("max_pool", [x], attrs, [spec], layer).output
        mask = self.node("greater", [top, bound], {}, [Spec(spec.shape, "bool")], layer).output
        grad = self.node("where", [mask, grad, zero], {}, [spec], layer).output
        return self.node("max_pool_gradient", [x, grad], attrs, [x.spec], spread.node.layer).output

    def sum(self, x, attrs, layer):
        shape = tuple(1 if i in attrs["axes"] else n for i, n in enumerate(x.shape)
                      if attrs["keepdims"] or i not in attrs["axes"])
        spec = Spec(shape, x.dtype)
        found = self.moved_out([x], attrs, spec, layer)
        return self.node("sum", [x], attrs, [spec], layer).output if found is None else found


def simplify(graph: Graph) -> Graph:
    """Merge equal nodes, drop those that do nothing, join chains of reshapes and of transposes, and move factors
    out of sums."""
    simplifier = Simplifier()
    new: dict = {}        # id of an old tensor -> its new tensor

    for node in graph.nodes():
        if node.op == "placeholder":
            new[id(node.output)] = node.output
            continue
        op, attrs = node.op, node.attrs
        inputs = [new[id(t)] for t in node.inputs]
        if op == "sum":
            found = simplifier.moved_out(inputs, attrs, node.output.spec, node.layer)
            if found is not None:
                new[id(node.output)] = found
                continue
        elif len(inputs) > 1 and op in _SPREADING:
            inputs = _unspread(inputs, node.output.shape)
            found = simplifier.before_pooling(inputs, node.layer) if op == "where" else None
            if found is not None and found.spec == node.output.spec:
                new[id(node.output)] = found
                continue
        if op in ("reshape", "transpose") and inputs[0].node.op == op:
            below = inputs[0].node
            if op == "transpose":
                attrs = {"axes": tuple(below.attrs["axes"][a] for a in attrs["axes"])}
            inputs = [below.inputs[0]]
        if inputs and len(node.outputs) == 1:
            same = _shortcut(op, inputs, attrs, node.output.spec)
            if same is not None:
                new[id(node.output)] = same
                continue
        found = simplifier.node(op, inputs, attrs, [t.spec for t in node.outputs], node.layer)
        for old, tensor in zip(node.outputs, found.outputs, strict=True):
            new[id(old)] = tensor
    return Graph(graph.inputs, [new[id(t)] for t in graph.outputs], [(v, new[id(t)]) for v, t in graph.updates])
