"""Order: the op `argsort`, and what follows from it: sort, top_k, elements taken along an axis, quantiles."""

from __future__ import annotations

import math

import numpy as np

from ..graph import Op, Spec, is_float
from .arranging import moveaxis, ravel
from .base import apply, canonical_axis, operation, spec_of
from .elementwise import cast, where
from .indexing import take
from .shape import flip, getitem, reshape

__all__ = ["argsort", "sort", "top_k", "in_top_k", "take_along_axis", "median", "quantile"]


class Argsort(Op):
    """The places (int32) of the elements of the last axis in ascending order; equal ones stay in order, NaN is last."""

    name, differentiable = "argsort", False

    def infer(self, x):
        if not x.shape:
            raise ValueError("argsort needs at least one axis, got a scalar.")
        if x.shape[-1] > np.iinfo("int32").max:
            raise ValueError(f"argsort: the last axis of shape {x.shape} is too long for int32.")
        return Spec(x.shape, "int32")

    def draw(self, draw, kit):
        return [kit.array(draw, least_rank=1)], {}


@operation
def argsort(x, axis=-1):
    """The places (int32) of the elements of `x` in ascending order along `axis` (flattened if None).

    Equal elements stay in order, NaN comes last.
    """
    if axis is None:
        return apply("argsort", ravel(x))
    axis = canonical_axis(axis, len(spec_of(x).shape))
    return moveaxis(apply("argsort", moveaxis(x, axis, -1)), -1, axis)


@operation
def sort(x, axis=-1):
    """`x` in ascending order along `axis` (flattened if None); NaN comes last."""
    if axis is None:
        x, axis = ravel(x), 0
    return take_along_axis(x, argsort(x, axis), axis)


@operation
def top_k(x, k, sorted=True):
    """The k largest elements along the last axis, largest first, and their places (int32): (values, indices).

    Of equal elements the first comes first. They are sorted whether `sorted` says so or not.
    """
    shape = spec_of(x).shape
    if not shape or not 1 <= k <= shape[-1]:
        raise ValueError(f"top_k: k={k} must be from 1 to the size of the last axis of shape {shape}.")
    # Descending, with the first of equal ones first: ascending from the end, and places counted from there.
    back = argsort(flip(x, -1), -1)
    places = shape[-1] - 1 - getitem(flip(back, -1), (..., np.s_[:k]))
    return take_along_axis(x, places, -1), places


@operation
def in_top_k(targets, predictions, k):
    """Whether fewer than k numbers of a row of `predictions` (batch, classes) exceed that of the class in `targets`."""
    from .reductions import sum
    truth = take_along_axis(predictions, reshape(targets, (-1, 1)), -1)
    return sum(cast(predictions > truth, "int32"), -1) < k


@operation
def take_along_axis(x, indices, axis=None):
    """The elements of `x` at integer `indices` along `axis` (both flattened if None).

    `indices` has the shape of `x` but along the axis. Negative ones count from the end. Others that do not exist stop
    the run with a ValueError.
    """
    if is_float(spec_of(indices).dtype):
        raise TypeError(f"take_along_axis needs integers as indices, got {spec_of(indices).dtype}.")
    if axis is None:
        x, indices, axis = ravel(x), ravel(indices), 0
    shape, places = spec_of(x).shape, spec_of(indices).shape
    axis = canonical_axis(axis, len(shape))
    if len(places) != len(shape) or any(n not in (m, 1) for i, (n, m) in enumerate(zip(places, shape, strict=True))
                                        if i != axis):
        raise ValueError(f"take_along_axis: indices of shape {places} do not fit x of shape {shape} along axis={axis}.")
    indices = cast(indices, "int64")
    indices = where(indices < 0, indices + shape[axis], indices)
    # Checked here: once they are places among all elements, a wrong one might be another row's.
    n, wide = shape[axis], tuple(m if i != axis else k for i, (m, k) in enumerate(zip(shape, places, strict=True)))
    from .shape import broadcast_to
    indices = broadcast_to(indices, wide)
    inside = (indices >= 0) & (indices < n)
    base = np.zeros((), "int64")
    step = 1
    for i in reversed(range(len(shape))):
        if i != axis:
            base = base + (np.arange(shape[i], dtype="int64") * step).reshape([-1 if j == i else 1
                                                                               for j in range(len(shape))])
        else:
            stride = step
        step *= shape[i]
    flat = where(inside, base + indices * stride, -1)
    return take(ravel(x), flat, 0)


@operation
def quantile(x, q, axis=None, method="linear", keepdims=False):
    """The value below which the fraction `q` (a number from 0 to 1) of the elements over `axis` lies.

    axis: an int, or None for all. method: "linear" (between the two neighbours), "lower", "higher", "midpoint" or
    "nearest".
    """
    if not isinstance(q, (int, float)) or not 0 <= q <= 1:
        raise ValueError(f"quantile: q={q!r} must be a number from 0 to 1.")
    if method not in ("linear", "lower", "higher", "midpoint", "nearest"):
        raise ValueError(f"quantile: method={method!r} must be 'linear', 'lower', 'higher', 'midpoint' or 'nearest'.")
    from ..config import floatx
    x = x if is_float(spec_of(x).dtype) else cast(x, floatx())
    rank = len(spec_of(x).shape)
    if axis is None:
        x, at = ravel(x), 0
    else:
        at = canonical_axis(axis, rank)
    n = spec_of(x).shape[at]
    if not n:
        raise ValueError(f"quantile over no elements: the shape is {spec_of(x).shape}.")
    ordered, place = sort(x, at), q * (n - 1)
    low, high = math.floor(place), math.ceil(place)
    share = {"linear": place - low, "lower": 0.0, "higher": 1.0, "midpoint": 0.5 if low != high else 0.0,
             "nearest": float(round(place) - low)}[method]
    lead = (np.s_[:],) * at
    a, b = (getitem(ordered, (*lead, np.s_[i:i + 1])) for i in (low, high))
    found = a if share == 0 else b if share == 1 else a * (1.0 - share) + b * share
    if keepdims:
        return reshape(found, (1,) * rank) if axis is None else found
    return getitem(found, (*lead, 0))


@operation
def median(x, axis=None, keepdims=False):
    """The middle element over `axis` (an int, or None for all), the mean of two if their number is even."""
    return quantile(x, 0.5, axis, keepdims=keepdims)
