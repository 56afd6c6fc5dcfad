"""Hinge losses: nothing is lost once an answer is right by a margin."""

from __future__ import annotations

from .. import ops
from ..ops.base import operation
from .loss import LossFunctionWrapper, mean_last, pair

__all__ = ["CategoricalHinge", "Hinge", "SquaredHinge", "categorical_hinge", "hinge", "squared_hinge"]


def _signs(y_true):
    """Labels -1 and 1; labels of which all are 0 or 1 are turned into these, as in Keras."""
    binary = ops.logical_or(ops.equal(y_true, 0.0), ops.equal(y_true, 1.0))
    others = ops.sum(ops.cast(ops.logical_not(binary), str(y_true.dtype)))
    return ops.where(ops.equal(others, 0.0), 2.0 * y_true - 1.0, y_true)


@operation
def hinge(y_true, y_pred):
    """``mean(max(1 - y_true * y_pred, 0))`` over the last axis.

    y_true, y_pred: (..., d), labels -1 and 1 (or all of them 0 and 1); a (N,) beside a (N, 1) counts as
    (N, 1). Result: (...). Raises ValueError for other shapes that differ.
    """
    y_true, y_pred = pair("hinge", y_true, y_pred)
    return mean_last(ops.maximum(1.0 - _signs(y_true) * y_pred, 0.0))


@operation
def squared_hinge(y_true, y_pred):
    """``mean(max(1 - y_true * y_pred, 0)**2)`` over the last axis. Labels and shapes as for `hinge`."""
    y_true, y_pred = pair("squared_hinge", y_true, y_pred)
    return mean_last(ops.square(ops.maximum(1.0 - _signs(y_true) * y_pred, 0.0)))


@operation
def categorical_hinge(y_true, y_pred):
    """``max(1 + max((1 - y_true) * y_pred) - sum(y_true * y_pred), 0)`` over the last axis.

    y_true, y_pred: (..., classes), labels one-hot. Result: (...). Raises ValueError for shapes that differ.
    """
    y_true, y_pred = pair("categorical_hinge", y_true, y_pred)
    right, wrong = ops.sum(y_true * y_pred, -1), ops.max((1.0 - y_true) * y_pred, -1)
    return ops.maximum(wrong - right + 1.0, 0.0)


# ---- reduced

class Hinge(LossFunctionWrapper):
    """The hinge loss of yes-or-no labels. Shapes: see `hinge`; arguments: see `Loss`."""

    def __init__(self, reduction="sum_over_batch_size", name="hinge", dtype=None):
        super().__init__(hinge, reduction, name, dtype)


class SquaredHinge(LossFunctionWrapper):
    """The squared hinge loss of yes-or-no labels. Shapes: see `squared_hinge`; arguments: see `Loss`."""

    def __init__(self, reduction="sum_over_batch_size", name="squared_hinge", dtype=None):
        super().__init__(squared_hinge, reduction, name, dtype)


class CategoricalHinge(LossFunctionWrapper):
    """The hinge loss of one-hot labels. Shapes: see `categorical_hinge`; arguments: see `Loss`."""

    def __init__(self, reduction="sum_over_batch_size", name="categorical_hinge", dtype=None):
        super().__init__(categorical_hinge, reduction, name, dtype)
