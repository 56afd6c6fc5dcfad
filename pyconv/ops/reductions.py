"""Reductions: sum, mean, max, min over axes; argmax."""

from __future__ import annotations

import math

from ..graph import Op, Spec, is_float
from .base import apply, canonical_axes, canonical_axis, operation, precisely, spec_of

__all__ = ["sum", "mean", "max", "min", "argmax", "argmin", "variance", "logsumexp"]


def reduced(shape, axes, keepdims) -> tuple:
    return tuple(1 if i in axes else n for i, n in enumerate(shape) if keepdims or i not in axes)


def expanded(x, shape, axes):
    """A reduced tensor with the axes of length 1 put back."""
    return apply("reshape", x, shape=reduced(shape, axes, True))


class _Reduction(Op):
    def infer(self, x, *, axes, keepdims):
        return Spec(reduced(x.shape, axes, keepdims), x.dtype)

    def draw(self, draw, kit):
        return kit.reduction(draw, nonempty=True)


class Sum(_Reduction):
    """Integers are summed in their own type, except bool and small ones, which the function casts first."""

    name = "sum"

    def gradient(self, node, grad):
        x = node.inputs[0]
        return (apply("broadcast_to", expanded(grad, x.shape, node.attrs["axes"]), shape=x.shape),)

    def draw(self, draw, kit):
        return kit.reduction(draw, dtypes=kit.SUMMABLE)


class _Extremum(_Reduction):
    """The gradient is shared equally by all elements that reach the extremum."""

    def infer(self, x, *, axes, keepdims):
        if math.prod(x.shape[a] for a in axes) == 0:
            raise ValueError(f"{self.name} over no elements: the shape is {x.shape}, the axes {axes}.")
        return super().infer(x, axes=axes, keepdims=keepdims)

    def gradient(self, node, grad):
        x, axes = node.inputs[0], node.attrs["axes"]
        hit = apply("cast", apply("equal", x, expanded(node.output, x.shape, axes)), dtype=x.dtype)
        count = apply("sum", hit, axes=axes, keepdims=True)
        return (hit * (expanded(grad, x.shape, axes) / count),)


class Max(_Extremum):
    name = "max"


class Min(_Extremum):
    name = "min"


class Variance(_Reduction):
    """The population variance; computed with differences from the mean, so that it is never negative."""

    name = "variance"

    def infer(self, x, *, axes, keepdims):
        if not is_float(x.dtype):
            raise TypeError(f"variance needs float32 or float64, got {x.dtype}.")
        if math.prod(x.shape[a] for a in axes) == 0:
            raise ValueError(f"variance over no elements: the shape is {x.shape}, the axes {axes}.")
        return super().infer(x, axes=axes, keepdims=keepdims)

    def gradient(self, node, grad):
        x, axes = node.inputs[0], node.attrs["axes"]
        count = math.prod(x.shape[a] for a in axes)
        return ((x - mean(x, axes, keepdims=True)) * (expanded(grad, x.shape, axes) * (2.0 / count)),)

    def draw(self, draw, kit):
        return kit.reduction(draw, nonempty=True, dtypes=kit.FLOATS)


class _ArgExtremum(Op):
    """The index of the first extremum along one axis, int32."""

    differentiable = False

    def infer(self, x, *, axis):
        if x.shape[axis] == 0:
            raise ValueError(f"{self.name} over no elements: the shape is {x.shape}, the axis {axis}.")
        return Spec(x.shape[:axis] + x.shape[axis + 1:], "int32")

    def draw(self, draw, kit):
        arrays, attrs = kit.reduction(draw, nonempty=True, single=True)
        return arrays, {"axis": attrs["axes"][0]}


class Argmax(_ArgExtremum):
    name = "argmax"


class Argmin(_ArgExtremum):
    name = "argmin"


def sum_to_shape(x, shape):
    """Undo broadcasting: the sum of x over the axes along which `shape` was spread."""
    if x.shape == shape:
        return x
    lead = len(x.shape) - len(shape)
    axes = tuple(i for i, n in enumerate(x.shape) if i < lead or (shape[i - lead] == 1 and n != 1))
    return apply("reshape", apply("sum", x, axes=axes, keepdims=True), shape=shape)


def _reduction(name, doc):
    @operation
    def function(x, axis=None, keepdims=False):
        from .elementwise import cast
        spec = spec_of(x)
        if name == "sum" and spec.dtype in ("bool", "uint8", "int8", "uint16", "int16"):
            x = cast(x, "int32")
        return apply(name, x, axes=canonical_axes(axis, len(spec.shape)), keepdims=bool(keepdims))
    function.__name__ = function.__qualname__ = name
    function.__doc__ = doc + "\n\naxis: int, tuple or None (all axes). keepdims: keep them with length 1."
    return function


sum = _reduction("sum", "The sum over axes; small integers and bool are summed as int32.")
max = _reduction("max", "The largest element over axes; equal ones share the gradient.")
min = _reduction("min", "The smallest element over axes; equal ones share the gradient.")


@operation
@precisely
def mean(x, axis=None, keepdims=False):
    """The mean over axes; integers are converted to the default float type.

    axis: int, tuple or None (all axes). keepdims: keep them with length 1.
    """
    from ..config import floatx
    from .elementwise import cast
    spec = spec_of(x)
    if not is_float(spec.dtype):
        x = cast(x, floatx())
    axes = canonical_axes(axis, len(spec.shape))
    count = math.prod(spec.shape[a] for a in axes)
    if count == 0:
        raise ValueError(f"mean over no elements: the shape is {spec.shape}, the axes {axes}.")
    return sum(x, axes, keepdims) * (1.0 / count)


@operation
def variance(x, axis=None, keepdims=False):
    """The population variance (division by the count) over axes, of differences from the mean.

    axis: int, tuple or None (all axes). keepdims: keep them with length 1.
    """
    from ..config import floatx
    from .elementwise import cast
    spec = spec_of(x)
    if not is_float(spec.dtype):
        x = cast(x, floatx())
    return apply("variance", x, axes=canonical_axes(axis, len(spec.shape)), keepdims=bool(keepdims))


@operation
@precisely
def logsumexp(x, axis=None, keepdims=False):
    """``log(sum(exp(x)))`` over axes, without overflow."""
    from .elementwise import exp, log
    axes = canonical_axes(axis, len(spec_of(x).shape))
    top = stop_gradient(max(x, axes, keepdims=True))
    total = log(sum(exp(x - top), axes, keepdims=True)) + top
    return total if keepdims else apply("reshape", total, shape=reduced(spec_of(x).shape, axes, False))


class StopGradient(Op):
    """The identity, with a derivative of zero."""

    name, differentiable = "stop_gradient", False

    def infer(self, x):
        return x

    def draw(self, draw, kit):
        return kit.broadcastable(draw, 1, -3.0, 3.0), {}


@operation
def stop_gradient(x):
    """`x`, taken as a constant by differentiation."""
    return apply("stop_gradient", x)


@operation
def argmax(x, axis=None, keepdims=False):
    """The index (int32) of the first largest element along `axis`; of the flattened tensor if it is None."""
    return _arg("argmax", x, axis, keepdims)


@operation
def argmin(x, axis=None, keepdims=False):
    """The index (int32) of the first smallest element along `axis`; of the flattened tensor if it is None."""
    return _arg("argmin", x, axis, keepdims)


def _arg(name, x, axis, keepdims):
    shape = whole = spec_of(x).shape
    if axis is None:
        x, shape, at = apply("reshape", x, shape=(math.prod(shape),)), (math.prod(shape),), 0
    else:
        at = canonical_axis(axis, len(shape))
    found = apply(name, x, axis=at)
    if not keepdims:
        return found
    return apply("reshape", found, shape=tuple(1 if axis is None or i == at else n for i, n in enumerate(whole)))


__all__ += ["stop_gradient"]
