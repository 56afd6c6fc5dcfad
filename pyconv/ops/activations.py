"""Activation functions under the names that Keras's `ops` have; made of elementwise ops, so their gradients follow."""

from __future__ import annotations

import math

from .base import canonical_axis, in_type, operation, precisely, spec_of
from .elementwise import (absolute, clip, erf, expm1, greater, maximum, minimum, sigmoid, softplus, sqrt,
                          tanh, where)
from .reductions import max, stop_gradient, sum
from .shape import split
from .sorting import sort

__all__ = ["relu6", "leaky_relu", "elu", "selu", "celu", "gelu", "silu", "swish", "hard_sigmoid", "hard_silu",
           "hard_swish", "hard_tanh", "log_sigmoid", "tanh_shrink", "soft_shrink", "hard_shrink", "softsign",
           "squareplus", "threshold", "glu", "sparse_plus", "sparse_sigmoid", "sparsemax"]


@operation
def relu6(x):
    """``min(max(x, 0), 6)``."""
    from .elementwise import relu
    return minimum(relu(x), 6.0)


@operation
def leaky_relu(x, negative_slope=0.2):
    """``x`` where positive, ``negative_slope * x`` elsewhere."""
    return where(x > 0, x, negative_slope * x)


@operation
def elu(x, alpha=1.0):
    """``x`` where positive, ``alpha * (exp(x) - 1)`` elsewhere (Clevert et al., 2016)."""
    return where(x > 0, x, alpha * expm1(minimum(x, 0.0)))


@operation
def selu(x):
    """The self-normalizing exponential unit (Klambauer et al., 2017)."""
    return 1.0507009873554805 * elu(x, 1.6732632423543772)


@operation
def celu(x, alpha=1.0):
    """``max(x, 0) + min(0, alpha * (exp(x / alpha) - 1))`` (Barron, 2017)."""
    return maximum(x, 0.0) + alpha * expm1(minimum(x, 0.0) / alpha)


@operation
def gelu(x, approximate=True):
    """``x * P(X <= x)`` for standard normal X, by default in its tanh form (Hendrycks and Gimpel, 2016)."""
    if approximate:
        return 0.5 * x * (1.0 + tanh(math.sqrt(2 / math.pi) * (x + 0.044715 * x * x * x)))
    return 0.5 * x * (1.0 + erf(x * math.sqrt(0.5)))


@operation
def silu(x):
    """``x * sigmoid(x)``, also known as swish (Ramachandran et al., 2017)."""
    return x * sigmoid(x)


swish = silu


@operation
def hard_sigmoid(x):
    """``min(max(x + 3, 0), 6) / 6``."""
    return clip(x + 3.0, 0.0, 6.0) * (1 / 6)


@operation
def hard_silu(x):
    """``x * hard_sigmoid(x)`` (Howard et al., *MobileNetV3*, 2019)."""
    return x * hard_sigmoid(x)


hard_swish = hard_silu


@operation
def hard_tanh(x):
    """`x` limited to the range from -1 to 1."""
    return clip(x, -1.0, 1.0)


@operation
def log_sigmoid(x):
    """``log(sigmoid(x))``, without overflow."""
    return -softplus(-x)


@operation
def tanh_shrink(x):
    """``x - tanh(x)``."""
    return x - tanh(x)


@operation
def soft_shrink(x, threshold=0.5):
    """`x` moved towards 0 by `threshold`, and 0 where it is nearer than that."""
    return where(x > threshold, x - threshold, where(x < -threshold, x + threshold, 0.0))


@operation
def hard_shrink(x, threshold=0.5):
    """`x` where ``abs(x) > threshold``, 0 elsewhere."""
    return where(absolute(x) > threshold, x, 0.0)


@operation
def softsign(x):
    """``x / (1 + abs(x))``."""
    return x / (1.0 + absolute(x))


@operation
def squareplus(x, b=4):
    """``(x + sqrt(x * x + b)) / 2`` (Barron, 2021)."""
    return 0.5 * (x + sqrt(x * x + float(b)))


@operation
def threshold(x, threshold, default_value):
    """`x` where it is above `threshold`, `default_value` elsewhere."""
    return where(x > threshold, x, default_value)


@operation
def glu(x, axis=-1):
    """The first half of `x` along `axis` times the sigmoid of the second (Dauphin et al., 2017)."""
    shape = spec_of(x).shape
    axis = canonical_axis(axis, len(shape))
    if shape[axis] % 2:
        raise ValueError(f"glu: axis {axis} of shape {shape} must have an even size.")
    a, b = split(x, 2, axis)
    return a * sigmoid(b)


@operation
def sparse_plus(x):
    """0 up to -1, ``(x + 1) ** 2 / 4`` from -1 to 1, `x` above: the integral of `sparse_sigmoid`."""
    inner = clip(x, -1.0, 1.0) + 1.0
    return 0.25 * inner * inner + maximum(x - 1.0, 0.0)


@operation
def sparse_sigmoid(x):
    """0 up to -1, ``(x + 1) / 2`` from -1 to 1, 1 above (Blondel et al., *Fenchel-Young losses*, 2020)."""
    return 0.5 * (clip(x, -1.0, 1.0) + 1.0)


@operation
@precisely
def sparsemax(x, axis=-1):
    """The nearest point to `x` among those with positive numbers of sum 1 along `axis`; many of them are 0.

    Source: Martins and Astudillo, *From softmax to sparsemax*, 2016.
    """
    import numpy as np

    from .elementwise import cast
    from .mathematics import cumsum
    shape, dtype = spec_of(x).shape, spec_of(x).dtype
    axis = canonical_axis(axis, len(shape))
    count = in_type(np.arange(1, shape[axis] + 1).reshape([-1 if i == axis else 1 for i in range(len(shape))]), dtype)
    centred = x - stop_gradient(max(x, axis, keepdims=True))
    # Which elements stay positive: the largest, as long as each is above what they would all have to lose.
    fixed = -sort(-stop_gradient(centred), axis)
    stays = greater(1.0 + count * fixed, cumsum(fixed, axis))
    least = stop_gradient(-max(where(stays, -fixed, -math.inf), axis, keepdims=True))
    member = cast(centred >= least, dtype)
    loss = (sum(member * centred, axis, keepdims=True) - 1.0) / sum(member, axis, keepdims=True)
    return maximum(centred - loss, 0.0)
