"""Differentiation: new nodes that compute the gradient of a scalar."""

from __future__ import annotations

from .dtypes import is_float
from .tensor import LEAVES, REGISTRY, Operators, Tensor, constant, labelled
from .trace import topological


def gradients(loss: Tensor, wrt: list[Tensor], seed: Tensor | None = None) -> list:
    """The gradient of `loss` with respect to each tensor of `wrt`; None where it does not depend on it.

    Reverse accumulation (Griewank and Walther, *Evaluating Derivatives*, 2008), written into the graph itself:
    each op's rule gives nodes, so gradients can be differentiated again.

    Parameters
    ----------
    loss: Tensor
        A scalar, unless `seed` is given.
    wrt: list of Tensor
    seed: Tensor, optional
        The gradient that comes in from above, with the shape of `loss`; default 1.
    """
    if seed is None:
        if loss.shape != ():
            raise ValueError(f"Only a scalar has a gradient; the loss has shape {loss.shape}. "
                             f"Reduce it first, for example with pyconv.ops.mean.")
        seed = constant(1, loss.dtype)
    if not is_float(loss.dtype):
        raise TypeError(f"Only floats have gradients; the loss has element type {loss.dtype}.")
    order = topological([loss])
    wanted = {id(t) for t in wrt}
    needed = set()                      # nodes on a path from `wrt` to the loss
    for node in order:
        if any(id(t) in wanted for t in node.outputs) or any(id(t.node) in needed for t in node.inputs):
            needed.add(id(node))

    grads = {id(loss): seed}
    for node in reversed(order):
        if id(node) not in needed or node.op in LEAVES:
            continue
        if not any(id(t.node) in needed for t in node.inputs):      # one of `wrt`, with nothing below that matters
            continue
        incoming = [grads.get(id(t)) for t in node.outputs]
        if all(g is None for g in incoming) or not REGISTRY[node.op].differentiable:
            continue
        with labelled(node.layer and node.layer.rstrip("'") + "'"):
            outgoing = REGISTRY[node.op].gradient(node, *incoming)
        for tensor, grad in zip(node.inputs, outgoing, strict=True):
            if grad is None or not is_float(tensor.dtype) or id(tensor.node) not in needed:
                continue
            if grad.shape != tensor.shape:
                raise AssertionError(f"the gradient rule of {node.op} gave {grad.shape} for an input {tensor.shape}")
            known = grads.get(id(tensor))
            if known is not None:
                with labelled(tensor.node.layer and tensor.node.layer.rstrip("'") + "'"):
                    grad = Operators.functions["add"](known, grad)
            grads[id(tensor)] = grad
    return [grads.get(id(t)) for t in wrt]
