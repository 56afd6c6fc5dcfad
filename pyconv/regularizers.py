"""Penalties on weights that are added to the loss."""

from __future__ import annotations

import numpy as np

from . import ops
from .utils.configurable import Configurable, describe, lookup
from .utils.configurable import serialize as _serialize
from .utils.registry import CustomObjectScope

__all__ = ["Regularizer", "L1", "L2", "L1L2", "OrthogonalRegularizer", "l1", "l2", "l1_l2",
           "orthogonal_regularizer", "get", "serialize", "deserialize"]


class Regularizer(Configurable):
    """Base of all regularizers. A subclass defines ``__call__(self, x)``, a scalar, in terms of
    `pyconv.ops`."""

    def __call__(self, x):
        raise NotImplementedError(f"{type(self).__name__} defines no __call__(self, x).")


class L1(Regularizer):
    """``l1 * sum(abs(x))``; default l1=0.01."""

    def __init__(self, l1=0.01):
        self.l1 = float(self._number("l1", 0.01 if l1 is None else l1, 0))

    def __call__(self, x):
        return self.l1 * ops.sum(ops.absolute(x))


class L2(Regularizer):
    """``l2 * sum(x * x)``; default l2=0.01."""

    def __init__(self, l2=0.01):
        self.l2 = float(self._number("l2", 0.01 if l2 is None else l2, 0))

    def __call__(self, x):
        return self.l2 * ops.sum(ops.square(x))


class L1L2(Regularizer):
    """``l1 * sum(abs(x)) + l2 * sum(x * x)``; defaults 0."""

    def __init__(self, l1=0.0, l2=0.0):
        self.l1 = float(self._number("l1", 0.0 if l1 is None else l1, 0))
        self.l2 = float(self._number("l2", 0.0 if l2 is None else l2, 0))

    def __call__(self, x):
        return self.l1 * ops.sum(ops.absolute(x)) + self.l2 * ops.sum(ops.square(x))


class OrthogonalRegularizer(Regularizer):
    """``factor * mean(abs(cosine of the angle))`` over all pairs of different rows, or columns, of a matrix.

    Parameters
    ----------
    factor: float
        At least 0; default 0.01.
    mode: str
        "rows" (default) or "columns": what is driven towards right angles.

    Raises
    ------
    ValueError
        For other modes, and weights without exactly two axes or with fewer than two rows (columns).
    """

    def __init__(self, factor=0.01, mode="rows"):
        self.factor = float(self._number("factor", factor, 0))
        if mode not in ("rows", "columns"):
            raise ValueError(f"OrthogonalRegularizer: mode={describe(mode)} is not known; expected 'rows' or "
                             f"'columns'.")
        self.mode = mode

    def __call__(self, x):
        if len(x.shape) != 2 or x.shape[self.mode == "columns"] < 2:
            raise ValueError(f"OrthogonalRegularizer: the weight needs 2 axes and at least 2 {self.mode}, "
                             f"got shape {tuple(x.shape)}.")
        if self.mode == "columns":
            x = ops.transpose(x, (1, 0))
        count = x.shape[0]
        x = x / ops.sqrt(ops.maximum(ops.sum(ops.square(x), 1, keepdims=True), 1e-24))
        cosines = ops.matmul(x, ops.transpose(x, (1, 0)))
        others = (1.0 - np.eye(count)).astype(str(x.dtype))
        return self.factor * (ops.sum(ops.absolute(cosines * others)) / float(count * (count - 1)))


l1, l2, orthogonal_regularizer = L1, L2, OrthogonalRegularizer


l1_l2 = L1L2


def get(identifier):
    """A regularizer from a name ("l2"), a configuration, a class or a callable."""
    return lookup("regularizer", identifier, {"l1_l2": L1L2, **Regularizer.family})


def serialize(regularizer):
    """A regularizer as a dictionary of its class name and configuration; a function as its name."""
    return _serialize(regularizer)


def deserialize(config, custom_objects=None):
    """The regularizer that `serialize` described. custom_objects: dict, name -> class or function of one's own."""
    with CustomObjectScope(custom_objects):
        return get(config)
