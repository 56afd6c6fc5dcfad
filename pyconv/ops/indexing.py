"""Elements picked by indices that are computed: `take` and its gradient."""

from __future__ import annotations

import math

from ..graph import Op, Spec, is_float
from .base import apply, canonical_axis, operation, spec_of

__all__ = ["take"]


class Take(Op):
    """The parts of x at the given indices along one axis, which the axes of the indices replace.

    An index outside of 0 to size - 1 stops the run with a ValueError before any variable is changed.
    """

    name = "take"

    def infer(self, x, indices, *, axis):
        if is_float(indices.dtype) or indices.dtype == "bool":
            raise TypeError(f"take needs integers as indices, got {indices.dtype}.")
        return Spec(x.shape[:axis] + indices.shape + x.shape[axis + 1:], x.dtype)

    def gradient(self, node, grad):
        x, indices = node.inputs
        return apply("take_gradient", grad, indices, shape=x.shape, axis=node.attrs["axis"]), None

    def draw(self, draw, kit):
        x, indices, _, axis = kit.take(draw)
        return [x, indices], {"axis": axis}


class TakeGradient(Op):
    """The gradient of `take` for its input of shape `shape`: each part added where it came from.

    Parts that came from the same place are added in the order of the indices.
    """

    name = "take_gradient"

    def infer(self, grad, indices, *, shape, axis):
        if is_float(indices.dtype) or indices.dtype == "bool":
            raise TypeError(f"take_gradient needs integers as indices, got {indices.dtype}.")
        if not is_float(grad.dtype):
            raise TypeError(f"take_gradient needs float32 or float64, got {grad.dtype}.")
        expected = tuple(shape[:axis]) + indices.shape + tuple(shape[axis + 1:])
        if grad.shape != expected:
            raise ValueError(f"take_gradient: the gradient has shape {grad.shape}; expected {expected}.")
        return Spec(tuple(shape), grad.dtype)

    def gradient(self, node, grad):
        return apply("take", grad, node.inputs[1], axis=node.attrs["axis"]), None

    def draw(self, draw, kit):
        x, indices, taken, axis = kit.take(draw, floats=True)
        return [taken, indices], {"shape": x.shape, "axis": axis}


@operation
def take(x, indices, axis=None):
    """The parts of `x` at integer `indices` along `axis` (of the flattened tensor if None).

    x: (..., n, ...). indices: integers from 0 to n - 1, of any shape. The result has the axes of the indices
    in the place of `axis`. Others stop the run with a ValueError. The gradient adds up parts that were taken
    several times in the order of the indices, so its bits do not depend on the number of threads.
    """
    if axis is None:
        x, axis = apply("reshape", x, shape=(math.prod(spec_of(x).shape),)), 0
    return apply("take", x, indices, axis=canonical_axis(axis, len(spec_of(x).shape)))
