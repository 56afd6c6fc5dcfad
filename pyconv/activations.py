"""Activation functions, under Keras's names. Each takes a tensor or array of any shape.

Most are those of `pyconv.ops`; here are also the ones whose arguments differ there.
"""

from __future__ import annotations

from . import ops
from .ops import (celu, elu, glu, hard_shrink, hard_sigmoid, hard_silu, hard_swish, hard_tanh, leaky_relu, log_sigmoid,
                  log_softmax, relu6, selu, sigmoid, silu, soft_shrink, softmax, softplus, softsign, sparse_plus,
                  sparse_sigmoid, sparsemax, squareplus, swish, tanh, tanh_shrink, threshold)
from .ops.base import operation
from .utils.configurable import describe
from .utils.configurable import lookup as _lookup
from .utils.registry import CustomObjectScope

__all__ = ["linear", "relu", "relu6", "leaky_relu", "elu", "selu", "celu", "gelu", "glu", "silu", "swish", "mish",
           "sigmoid", "hard_sigmoid", "hard_silu", "hard_swish", "hard_tanh", "log_sigmoid", "tanh",
           "tanh_shrink", "soft_shrink", "hard_shrink", "softplus", "softsign", "sparse_plus", "sparse_sigmoid",
           "sparsemax", "squareplus", "exponential", "softmax", "log_softmax", "threshold", "get", "serialize",
           "deserialize"]


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
def gelu(x, approximate=False):
    """``x * P(X <= x)`` for standard normal X, or its tanh form (Hendrycks and Gimpel, 2016)."""
    return ops.gelu(x, approximate)


@operation
def mish(x):
    """``x * tanh(softplus(x))`` (Misra, 2019)."""
    return x * ops.tanh(ops.softplus(x))


def exponential(x):
    """``exp(x)``."""
    return ops.exp(x)


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
