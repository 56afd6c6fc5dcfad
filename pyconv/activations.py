"""Activation functions, under Keras's names. Each takes a tensor or array of any shape."""

from __future__ import annotations

import math

from . import ops
from .ops.base import operation
from .utils.configurable import describe
from .utils.configurable import lookup as _lookup
from .utils.registry import CustomObjectScope

__all__ = ["linear", "relu", "relu6", "leaky_relu", "elu", "selu", "celu", "gelu", "silu", "swish", "mish",
           "sigmoid", "hard_sigmoid", "hard_silu", "hard_swish", "hard_tanh", "log_sigmoid", "tanh",
           "tanh_shrink", "soft_shrink", "hard_shrink", "softplus", "softsign", "squareplus", "exponential",
           "softmax", "log_softmax", "threshold", "get", "serialize", "deserialize"]


def linear(x):
    """`x` itself."""
    return x


@operation
def relu(x, negative_slope=0.0, max_value=None, threshold=0.0):
    """The rectifier: ``x`` from `threshold` up to `max_value`, and ``negative_slope * (x - threshold)``
    below.

    With the defaults ``max(x, 0)``, whose gradient at 0 is 0.
    """
    if negative_slope == 0 and threshold == 0:
        y = ops.relu(x)
    else:
        y = ops.where(x > threshold, x, negative_slope * (x - threshold))
    return y if max_value is None else ops.minimum(y, max_value)


@operation
def relu6(x):
    """``min(max(x, 0), 6)``."""
    return relu(x, max_value=6.0)


@operation
def leaky_relu(x, negative_slope=0.2):
    """``x`` where positive, ``negative_slope * x`` elsewhere."""
    return ops.where(x > 0, x, negative_slope * x)


@operation
def elu(x, alpha=1.0):
    """``x`` where positive, ``alpha * (exp(x) - 1)`` elsewhere (Clevert et al., 2016)."""
    return ops.where(x > 0, x, alpha * ops.expm1(ops.minimum(x, 0.0)))


@operation
def selu(x):
    """The self-normalizing exponential unit (Klambauer et al., 2017)."""
    return 1.0507009873554805 * elu(x, 1.6732632423543772)


@operation
def celu(x, alpha=1.0):
    """``max(x, 0) + min(0, alpha * (exp(x / alpha) - 1))`` (Barron, 2017)."""
    return ops.maximum(x, 0.0) + alpha * ops.expm1(ops.minimum(x, 0.0) / alpha)


@operation
def gelu(x, approximate=False):
    """``x * P(X <= x)`` for standard normal X, or its tanh form (Hendrycks and Gimpel, 2016)."""
    if approximate:
        return 0.5 * x * (1.0 + ops.tanh(math.sqrt(2 / math.pi) * (x + 0.044715 * x * x * x)))
    return 0.5 * x * (1.0 + ops.erf(x * math.sqrt(0.5)))


@operation
def silu(x):
    """``x * sigmoid(x)``, also known as swish (Ramachandran et al., 2017)."""
    return x * ops.sigmoid(x)


swish = silu


@operation
def mish(x):
    """``x * tanh(softplus(x))`` (Misra, 2019)."""
    return x * ops.tanh(ops.softplus(x))


def sigmoid(x):
    """``1 / (1 + exp(-x))``, without overflow."""
    return ops.sigmoid(x)


@operation
def hard_sigmoid(x):
    """``min(max(x + 3, 0), 6) / 6``."""
    return ops.clip(x + 3.0, 0.0, 6.0) * (1 / 6)


@operation
def hard_silu(x):
    """``x * hard_sigmoid(x)`` (Howard et al., *MobileNetV3*, 2019)."""
    return x * hard_sigmoid(x)


hard_swish = hard_silu


@operation
def hard_tanh(x):
    """`x` limited to the range from -1 to 1."""
    return ops.clip(x, -1.0, 1.0)


@operation
def log_sigmoid(x):
    """``log(sigmoid(x))``, without overflow."""
    return -ops.softplus(-x)


def tanh(x):
    """The hyperbolic tangent."""
    return ops.tanh(x)


@operation
def tanh_shrink(x):
    """``x - tanh(x)``."""
    return x - ops.tanh(x)


@operation
def soft_shrink(x, threshold=0.5):
    """`x` moved towards 0 by `threshold`, and 0 where it is nearer than that."""
    return ops.where(x > threshold, x - threshold, ops.where(x < -threshold, x + threshold, 0.0))


@operation
def hard_shrink(x, threshold=0.5):
    """`x` where ``abs(x) > threshold``, 0 elsewhere."""
    return ops.where(ops.absolute(x) > threshold, x, 0.0)


def softplus(x):
    """``log(1 + exp(x))``, without overflow."""
    return ops.softplus(x)


@operation
def softsign(x):
    """``x / (1 + abs(x))``."""
    return x / (1.0 + ops.absolute(x))


@operation
def squareplus(x, b=4):
    """``(x + sqrt(x * x + b)) / 2`` (Barron, 2021)."""
    return 0.5 * (x + ops.sqrt(x * x + float(b)))


def exponential(x):
    """``exp(x)``."""
    return ops.exp(x)


def softmax(x, axis=-1):
    """``exp(x) / sum(exp(x))`` along `axis`, without overflow: positive numbers with sum 1."""
    return ops.softmax(x, axis)


def log_softmax(x, axis=-1):
    """The logarithm of `softmax`."""
    return ops.log_softmax(x, axis)


@operation
def threshold(x, threshold, default_value):
    """`x` where it is above `threshold`, `default_value` elsewhere."""
    return ops.where(x > threshold, x, default_value)


_TABLE = {name: globals()[name] for name in __all__ if name not in ("get", "serialize", "deserialize")}


def get(identifier):
    """An activation function from its name, a callable (returned as it is), or None (`linear`).

    Raises
    ------
    ValueError
        For unknown names; the message tells the nearest one.
    TypeError
        For anything else.
    """
    if identifier is None:
        return linear
    if isinstance(identifier, dict) and identifier.get("module") == "builtins":
        identifier = identifier["config"]
    return _lookup("activation", identifier, _TABLE)


def serialize(activation):
    """The name of an activation function."""
    name = getattr(activation, "__name__", None)
    if name is None:
        raise TypeError(f"activation {describe(activation)} has no name by which a configuration could "
                        "refer to it.")
    return name


def deserialize(config, custom_objects=None):
    """The activation function that `serialize` described. custom_objects: dict, name -> function of one's own."""
    with CustomObjectScope(custom_objects):
        return get(config)
