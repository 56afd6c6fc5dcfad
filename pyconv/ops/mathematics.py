"""Functions made of elementwise ops and reductions: powers and angles, products and norms, running sums."""

from __future__ import annotations

import math

import numpy as np

from ..graph import is_float, limits
from .arranging import moveaxis, ravel
from .base import canonical_axes, canonical_axis, in_type, match, operation, spec_of
from .elementwise import (absolute, arctan2, cast, cos, divide, equal, exp, floor, less_equal, log, log1p, logical_and,
                          logical_or, maximum, multiply, negative, not_equal, power, sign, sin, sqrt, square,
                          subtract, where)
from .linear import matmul
from .reductions import max, mean, min, sum, variance
from .shape import broadcast_to, concatenate, expand_dims, getitem, pad, reshape

__all__ = ["ceil", "trunc", "reciprocal", "log2", "log10", "exp2", "logaddexp", "tan", "sinh", "cosh", "arcsin",
           "arccos", "arctan", "hypot", "mod", "floor_divide", "true_divide", "isnan", "isinf", "isclose",
           "logical_xor", "nan_to_num", "deg2rad", "rad2deg", "any", "all", "amax", "amin", "ptp", "prod", "std", "var",
           "moments", "average", "count_nonzero", "norm", "normalize", "cumsum", "cumprod", "dot", "vdot", "inner",
           "outer", "tensordot", "select", "erfc"]


def _float(x):
    from ..config import floatx
    return x if is_float(spec_of(x).dtype) else cast(x, floatx())


@operation
def ceil(x):
    """The smallest integer that is not below x."""
    return negative(floor(negative(_float(x))))


@operation
def trunc(x):
    """`x` without its fraction."""
    return sign(x) * floor(absolute(x))


@operation
def reciprocal(x):
    """``1 / x``."""
    return 1.0 / _float(x)


@operation
def log2(x):
    """The logarithm to base 2."""
    return log(x) * (1 / math.log(2))


@operation
def log10(x):
    """The logarithm to base 10."""
    return log(x) * (1 / math.log(10))


@operation
def exp2(x):
    """``2 ** x``."""
    return exp(_float(x) * math.log(2))


@operation
def logaddexp(x1, x2):
    """``log(exp(x1) + exp(x2))``, without overflow."""
    x1, x2 = match(_float(x1), _float(x2))
    return maximum(x1, x2) + log1p(exp(negative(absolute(x1 - x2))))


@operation
def erfc(x):
    """``1 - erf(x)``; below 1e-7 in single precision it is lost in rounding."""
    from .elementwise import erf
    return 1.0 - erf(x)


@operation
def tan(x):
    """The tangent; x in radians."""
    return sin(x) / cos(x)


@operation
def sinh(x):
    """The hyperbolic sine."""
    from .elementwise import expm1
    e = expm1(x)
    return 0.5 * (e + e / (e + 1.0))


@operation
def cosh(x):
    """The hyperbolic cosine."""
    return 0.5 * (exp(x) + exp(negative(x)))


@operation
def arcsin(x):
    """The angle in radians, from -pi / 2 to pi / 2, whose sine is x."""
    x = _float(x)
    return arctan2(x, sqrt((1.0 - x) * (1.0 + x)))


@operation
def arccos(x):
    """The angle in radians, from 0 to pi, whose cosine is x."""
    x = _float(x)
    return arctan2(sqrt((1.0 - x) * (1.0 + x)), x)


@operation
def arctan(x):
    """The angle in radians, from -pi / 2 to pi / 2, whose tangent is x."""
    return arctan2(_float(x), 1.0)


@operation
def hypot(x1, x2):
    """``sqrt(x1 ** 2 + x2 ** 2)``."""
    return sqrt(square(_float(x1)) + square(_float(x2)))


@operation
def floor_divide(x1, x2):
    """The largest integer that is not above ``x1 / x2``; whole numbers up to 2 ** 53 stay whole."""
    x1, x2 = match(x1, x2)
    dtype = spec_of(x1).dtype
    if is_float(dtype):
        return floor(divide(x1, x2))
    return cast(floor(divide(cast(x1, "float64"), cast(x2, "float64"))), "int32" if dtype == "bool" else dtype)


@operation
def mod(x1, x2):
    """The rest of the division ``x1 / x2``, with the sign of x2."""
    x1, x2 = match(x1, x2)
    return x1 - floor_divide(x1, x2) * x2


@operation
def true_divide(x1, x2):
    """``x1 / x2``."""
    return divide(x1, x2)


@operation
def isnan(x):
    """True where x is NaN."""
    return not_equal(x, x)


@operation
def isinf(x):
    """True where x is plus or minus infinity."""
    return equal(absolute(_float(x)), math.inf)


@operation
def isclose(x1, x2, rtol=1e-5, atol=1e-8, equal_nan=False):
    """True where ``abs(x1 - x2) <= atol + rtol * abs(x2)``, or both are the same infinity (or NaN, if wanted)."""
    x1, x2 = match(_float(x1), _float(x2))
    size = absolute(x2)
    near = logical_and(less_equal(absolute(subtract(x1, x2)), atol + rtol * size), size < math.inf)
    same = logical_or(near, equal(x1, x2))
    return logical_or(same, logical_and(isnan(x1), isnan(x2))) if equal_nan else same


@operation
def logical_xor(x1, x2):
    """True where exactly one is true (not zero)."""
    return not_equal(cast(x1, "bool"), cast(x2, "bool"))


@operation
def nan_to_num(x, nan=0.0, posinf=None, neginf=None):
    """`x` with numbers for NaN and the infinities: by default 0, the largest and the smallest finite number."""
    dtype = spec_of(x).dtype
    if not is_float(dtype):
        return x
    most = limits(dtype).max
    x = where(isnan(x), nan, x)
    x = where(equal(x, math.inf), most if posinf is None else posinf, x)
    return where(equal(x, -math.inf), -most if neginf is None else neginf, x)


@operation
def deg2rad(x):
    """Degrees as radians."""
    return _float(x) * (math.pi / 180)


@operation
def rad2deg(x):
    """Radians as degrees."""
    return _float(x) * (180 / math.pi)


@operation
def select(condlist, choicelist, default=0):
    """From each place of the tensors in `choicelist` the one whose condition is the first that is true."""
    if len(condlist) != len(choicelist) or not condlist:
        raise ValueError(f"select: {len(condlist)} conditions need as many choices, got {len(choicelist)}.")
    out = default
    for condition, choice in zip(reversed(condlist), reversed(choicelist), strict=True):
        out = where(condition, choice, out)
    return out


# Reductions ---------------------------------------------------------------------------------------------------

def _truth(x):
    return cast(cast(x, "bool"), "int32")


@operation
def any(x, axis=None, keepdims=False):
    """Whether an element over the axes is true (not zero)."""
    return cast(sum(_truth(x), axis, keepdims), "bool")


@operation
def all(x, axis=None, keepdims=False):
    """Whether all elements over the axes are true (not zero)."""
    return equal(sum(1 - _truth(x), axis, keepdims), 0)


@operation
def amax(x, axis=None, keepdims=False):
    """The largest element over axes."""
    return max(x, axis, keepdims)


@operation
def amin(x, axis=None, keepdims=False):
    """The smallest element over axes."""
    return min(x, axis, keepdims)


@operation
def ptp(x, axis=None, keepdims=False):
    """The difference of the largest and the smallest element over axes."""
    return max(x, axis, keepdims) - min(x, axis, keepdims)


@operation
def prod(x, axis=None, keepdims=False, dtype=None):
    """The product over axes; small integers and bool as int32. The gradient is exact, also where elements are 0."""
    spec = spec_of(x)
    x = cast(x, dtype) if dtype else cast(x, "int32") if spec.dtype in ("bool", "uint8", "int8", "uint16", "int16") \
        else x
    axes = canonical_axes(axis, len(spec.shape))
    for a in axes:
        x = _along(x, a, multiply, 1)
    return x if keepdims else reshape(x, [n for i, n in enumerate(spec.shape) if i not in axes])


def _along(x, axis, function, neutral):
    """All elements along one axis joined by a function of two, in halves; the axis stays, with length 1."""
    lead = (np.s_[:],) * axis
    n = spec_of(x).shape[axis]
    if not n:
        shape = spec_of(x).shape
        return in_type(np.full((*shape[:axis], 1, *shape[axis + 1:]), neutral), spec_of(x).dtype)
    while n > 1:
        half = n // 2
        joined = function(getitem(x, (*lead, np.s_[:half])), getitem(x, (*lead, np.s_[half:2 * half])))
        x = concatenate([joined, getitem(x, (*lead, np.s_[2 * half:]))], axis) if n % 2 else joined
        n = half + n % 2
    return x


@operation
def var(x, axis=None, keepdims=False):
    """The population variance (division by the count) over axes."""
    return variance(x, axis, keepdims)


@operation
def std(x, axis=None, keepdims=False):
    """The population standard deviation over axes."""
    return sqrt(variance(x, axis, keepdims))


@operation
def moments(x, axes, keepdims=False, synchronized=False):
    """The mean and the population variance over `axes`. `synchronized` is accepted and changes nothing."""
    return mean(x, axes, keepdims), variance(x, axes, keepdims)


@operation
def average(x, axis=None, weights=None):
    """The mean over axes, with `weights` of the shape of `x`, or one for each element of a single axis."""
    if weights is None:
        return mean(x, axis)
    x, weights = match(_float(x), _float(weights))
    shape = spec_of(x).shape
    if spec_of(weights).shape != shape:
        if not isinstance(axis, (int, np.integer)) or spec_of(weights).shape != (shape[axis],):
            raise ValueError(f"average: weights of shape {spec_of(weights).shape} fit neither x of shape {shape} nor "
                             f"axis={axis}.")
        at = canonical_axis(axis, len(shape))
        weights = reshape(weights, [-1 if i == at else 1 for i in range(len(shape))])
    return sum(x * weights, axis) / sum(broadcast_to(weights, shape), axis)


@operation
def count_nonzero(x, axis=None):
    """How many elements over the axes are not zero, int32."""
    return sum(_truth(x), axis)


@operation
def norm(x, ord=None, axis=None, keepdims=False):
    """The norm of vectors along one axis, or of matrices along two (the flattened tensor if `axis` is None).

    ord: None or 2 (vectors: the root of the sum of squares), 1, math.inf, -math.inf, 0 (how many are not zero) or
    another number p ``sum(abs(x) ** p) ** (1 / p)``. For matrices None or "fro", the root of the sum of squares, 1 or
    math.inf, the largest sum of a column or row of absolute values, and their negatives, the smallest.
    """
    x = _float(x)
    shape = spec_of(x).shape
    if axis is None and ord is None:
        total = sqrt(sum(square(x)))
        return reshape(total, (1,) * len(shape)) if keepdims else total
    axes = tuple(range(len(shape))) if axis is None else axis if isinstance(axis, (tuple, list)) else (axis,)
    if len(axes) == 2:
        rows, columns = (canonical_axis(a, len(shape)) for a in axes)
        if ord in (None, "fro"):
            return sqrt(sum(square(x), (rows, columns), keepdims))
        if ord in (1, -1, math.inf, -math.inf):
            inner, outer_ = (rows, columns) if ord in (1, -1) else (columns, rows)
            sums = sum(absolute(x), inner, keepdims=True)
            found = (max if ord > 0 else min)(sums, outer_, keepdims=True)
            return found if keepdims else reshape(found, [n for i, n in enumerate(shape) if i not in (rows, columns)])
        raise ValueError(f"norm: ord={ord!r} is not offered for matrices; expected None, 'fro', 1, -1, inf or -inf.")
    if len(axes) != 1 or isinstance(ord, str):
        raise ValueError(f"norm: axis={axis} and ord={ord!r} do not fit: expected one axis and a number, or two axes.")
    if ord in (None, 2):
        return sqrt(sum(square(x), axes, keepdims))
    size = absolute(x)
    if ord == 0:
        return sum(cast(not_equal(x, 0.0), spec_of(x).dtype), axes, keepdims)
    if ord in (math.inf, -math.inf):
        return (max if ord > 0 else min)(size, axes, keepdims)
    return sum(size, axes, keepdims) if ord == 1 else power(sum(power(size, float(ord)), axes, keepdims), 1.0 / ord)


@operation
def normalize(x, axis=-1, order=2, epsilon=None):
    """`x` divided by its norms along `axis`, which count as at least `epsilon`; default `pyconv.config.epsilon()`."""
    from ..config import epsilon as default
    least = default() if epsilon is None else epsilon
    x = _float(x)
    if order == 2:      # the root has no derivative at zero
        return x / sqrt(maximum(sum(square(x), axis, keepdims=True), least ** 2))
    return x / maximum(norm(x, order, axis, keepdims=True), least)


# Running sums -------------------------------------------------------------------------------------------------

def _running(x, axis, dtype, function, neutral):
    """Joins of the elements up to each place: in step k those 2 ** k before it are added."""
    small = ("bool", "uint8", "int8", "uint16", "int16")
    x = cast(x, dtype) if dtype else cast(x, "int32") if spec_of(x).dtype in small else x
    if axis is None:
        x, axis = ravel(x), 0
    shape = spec_of(x).shape
    axis = canonical_axis(axis, len(shape))
    lead, step = (np.s_[:],) * axis, 1
    while step < shape[axis]:
        earlier = pad(getitem(x, (*lead, np.s_[:-step])),
                      [(step if i == axis else 0, 0) for i in range(len(shape))], constant_values=neutral)
        x = function(x, earlier)
        step *= 2
    return x


@operation
def cumsum(x, axis=None, dtype=None):
    """The sum of all elements up to each along `axis` (flattened if None); small integers and bool as int32."""
    return _running(x, axis, dtype, lambda a, b: a + b, 0)


@operation
def cumprod(x, axis=None, dtype=None):
    """The product of all elements up to each along `axis` (flattened if None); small integers and bool as int32."""
    return _running(x, axis, dtype, multiply, 1)


# Products -----------------------------------------------------------------------------------------------------

def _pair(x1, x2):
    """Both in one float type: products of whole numbers are taken in double precision, exact up to 2 ** 53."""
    x1, x2 = match(x1, x2)
    dtype = spec_of(x1).dtype
    if is_float(dtype):
        return x1, x2, None
    return cast(x1, "float64"), cast(x2, "float64"), "int32" if dtype == "bool" else dtype


@operation
def tensordot(x1, x2, axes=2):
    """Sums of products over axes of both tensors.

    axes: so many of the last of x1 and the first of x2, or a pair of axes, or of lists of axes. The result has the
    other axes of x1, then those of x2.
    """
    x1, x2, whole = _pair(x1, x2)
    a, b = len(spec_of(x1).shape), len(spec_of(x2).shape)
    if isinstance(axes, (int, np.integer)):
        first, second = list(range(a - axes, a)), list(range(axes))
    else:
        first, second = ([canonical_axis(i, n, "axes") for i in (v if isinstance(v, (tuple, list)) else (v,))]
                         for v, n in zip(axes, (a, b), strict=True))
    sizes = [tuple(spec_of(x).shape[i] for i in at) for x, at in ((x1, first), (x2, second))]
    if sizes[0] != sizes[1]:
        raise ValueError(f"tensordot: axes={axes} have sizes {sizes[0]} and {sizes[1]} in shapes {spec_of(x1).shape} "
                         f"and {spec_of(x2).shape}.")
    left = moveaxis(x1, first, list(range(a - len(first), a)))
    right = moveaxis(x2, second, list(range(len(second))))
    rest = spec_of(left).shape[:a - len(first)] + spec_of(right).shape[len(second):]
    summed = math.prod(sizes[0])
    y = matmul(reshape(left, (math.prod(spec_of(left).shape[:a - len(first)]), summed)),
               reshape(right, (summed, math.prod(spec_of(right).shape[len(second):]))))
    y = reshape(y, rest)
    return y if whole is None else cast(y, whole)


@operation
def dot(x1, x2):
    """NumPy's dot: over the last axis of x1 and the last but one of x2 (the only one of a vector)."""
    a, b = len(spec_of(x1).shape), len(spec_of(x2).shape)
    return multiply(x1, x2) if not a or not b else tensordot(x1, x2, (-1, -2 if b > 1 else -1))


@operation
def inner(x1, x2):
    """Sums of products over the last axes of both."""
    a, b = len(spec_of(x1).shape), len(spec_of(x2).shape)
    return multiply(x1, x2) if not a or not b else tensordot(x1, x2, (-1, -1))


@operation
def vdot(x1, x2):
    """The sum of the products of all elements of two tensors of one size."""
    return dot(ravel(x1), ravel(x2))


@operation
def outer(x1, x2):
    """The products of each element of x1 (rows) with each of x2 (columns), both flattened."""
    return multiply(expand_dims(ravel(x1), 1), expand_dims(ravel(x2), 0))
