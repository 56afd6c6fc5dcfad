"""Losses of numbers: squared, absolute and relative errors, and what lies between."""

from __future__ import annotations

import math

from .. import ops
from ..config import epsilon
from ..ops.base import operation
from .loss import LossFunctionWrapper, LossWithArguments, check_axis, mean_last, pair

__all__ = ["CosineSimilarity", "Huber", "LogCosh", "MeanAbsoluteError", "MeanAbsolutePercentageError",
           "MeanSquaredError", "MeanSquaredLogarithmicError", "cosine_similarity", "huber", "log_cosh",
           "mean_absolute_error", "mean_absolute_percentage_error", "mean_squared_error",
           "mean_squared_logarithmic_error"]


@operation
def mean_squared_error(y_true, y_pred):
    """``mean((y_true - y_pred)**2)`` over the last axis.

    y_true, y_pred: (..., d); a (N,) beside a (N, 1) counts as (N, 1). Result: (...).
    Raises ValueError for other shapes that differ.
    """
    y_true, y_pred = pair("mean_squared_error", y_true, y_pred)
    return mean_last(ops.square(y_true - y_pred))


@operation
def mean_absolute_error(y_true, y_pred):
    """``mean(abs(y_true - y_pred))`` over the last axis.

    y_true, y_pred: (..., d); a (N,) beside a (N, 1) counts as (N, 1). Result: (...).
    Raises ValueError for other shapes that differ.
    """
    y_true, y_pred = pair("mean_absolute_error", y_true, y_pred)
    return mean_last(ops.absolute(y_true - y_pred))


@operation
def mean_absolute_percentage_error(y_true, y_pred):
    """``100 * mean(abs(y_true - y_pred) / max(abs(y_true), epsilon))`` over the last axis.

    y_true, y_pred: (..., d); a (N,) beside a (N, 1) counts as (N, 1). Result: (...).
    Raises ValueError for other shapes that differ.
    """
    y_true, y_pred = pair("mean_absolute_percentage_error", y_true, y_pred)
    return mean_last(ops.absolute(y_true - y_pred) / ops.maximum(ops.absolute(y_true), epsilon())) * 100.0


@operation
def mean_squared_logarithmic_error(y_true, y_pred):
    """``mean((log(y_true + 1) - log(y_pred + 1))**2)`` over the last axis; what is below epsilon counts as
    epsilon.

    y_true, y_pred: (..., d); a (N,) beside a (N, 1) counts as (N, 1). Result: (...).
    Raises ValueError for other shapes that differ.
    """
    y_true, y_pred = pair("mean_squared_logarithmic_error", y_true, y_pred)
    logs = [ops.log1p(ops.maximum(y, epsilon())) for y in (y_pred, y_true)]
    return mean_last(ops.square(logs[0] - logs[1]))


@operation
def huber(y_true, y_pred, delta=1.0):
    """The mean over the last axis of ``e**2 / 2`` where the error e is at most `delta`, and of
    ``delta * abs(e) - delta**2 / 2`` elsewhere (Huber, *Robust estimation of a location parameter*, 1964).

    y_true, y_pred: (..., d); a (N,) beside a (N, 1) counts as (N, 1). Result: (...).
    Raises ValueError for other shapes that differ.
    """
    y_true, y_pred = pair("huber", y_true, y_pred)
    error = y_pred - y_true
    size = ops.absolute(error)
    return mean_last(ops.where(ops.less_equal(size, delta), 0.5 * ops.square(error),
                               delta * size - 0.5 * delta * delta))


@operation
def log_cosh(y_true, y_pred):
    """``mean(log(cosh(y_pred - y_true)))`` over the last axis, without overflow: near ``e**2 / 2`` for small
    errors e, near ``abs(e) - log(2)`` for large ones.

    y_true, y_pred: (..., d); a (N,) beside a (N, 1) counts as (N, 1). Result: (...).
    Raises ValueError for other shapes that differ.
    """
    y_true, y_pred = pair("log_cosh", y_true, y_pred)
    error = y_pred - y_true
    return mean_last(error + ops.softplus(error * -2.0) - math.log(2.0))


def _unit(x, axis):
    """x divided by its norm along the axis; the null vector stays."""
    return x / ops.sqrt(ops.maximum(ops.sum(ops.square(x), axis, keepdims=True), 1e-24))


@operation
def cosine_similarity(y_true, y_pred, axis=-1):
    """Minus the cosine of the angle between `y_true` and `y_pred` along `axis`: -1 for the same direction, 0
    for a right angle or a null vector, 1 for opposite directions.

    y_true, y_pred: (..., d); a (N,) beside a (N, 1) counts as (N, 1). Result: the shape without `axis`.
    Raises ValueError for other shapes that differ.
    """
    y_true, y_pred = pair("cosine_similarity", y_true, y_pred)
    check_axis(axis, y_pred)
    return -ops.sum(_unit(y_true, axis) * _unit(y_pred, axis), axis)


# ---- reduced

class MeanSquaredError(LossFunctionWrapper):
    """``mean((y_true - y_pred)**2)``. Shapes: see `mean_squared_error`; arguments: see `Loss`."""

    def __init__(self, reduction="sum_over_batch_size", name="mean_squared_error", dtype=None):
        super().__init__(mean_squared_error, reduction, name, dtype)


class MeanAbsoluteError(LossFunctionWrapper):
    """``mean(abs(y_true - y_pred))``. Shapes: see `mean_absolute_error`; arguments: see `Loss`."""

    def __init__(self, reduction="sum_over_batch_size", name="mean_absolute_error", dtype=None):
        super().__init__(mean_absolute_error, reduction, name, dtype)


class MeanAbsolutePercentageError(LossFunctionWrapper):
    """The error in percent of the truth. Shapes: see `mean_absolute_percentage_error`; arguments: see
    `Loss`."""

    def __init__(self, reduction="sum_over_batch_size", name="mean_absolute_percentage_error", dtype=None):
        super().__init__(mean_absolute_percentage_error, reduction, name, dtype)


class MeanSquaredLogarithmicError(LossFunctionWrapper):
    """The squared difference of the logarithms. Shapes: see `mean_squared_logarithmic_error`; arguments: see
    `Loss`."""

    def __init__(self, reduction="sum_over_batch_size", name="mean_squared_logarithmic_error", dtype=None):
        super().__init__(mean_squared_logarithmic_error, reduction, name, dtype)


class Huber(LossWithArguments):
    """Squared for small errors, straight for large ones.

    delta: where the one goes over into the other, above 0; default 1. Shapes: see `huber`; reduction, name,
    dtype: see `Loss`.
    """

    def __init__(self, delta=1.0, reduction="sum_over_batch_size", name="huber_loss", dtype=None):
        if not delta > 0:
            raise ValueError(f"Huber: delta={delta} must be above 0.")
        super().__init__(huber, reduction, name, dtype, delta=delta)


class LogCosh(LossFunctionWrapper):
    """The logarithm of the hyperbolic cosine of the error. Shapes: see `log_cosh`; arguments: see `Loss`."""

    def __init__(self, reduction="sum_over_batch_size", name="log_cosh", dtype=None):
        super().__init__(log_cosh, reduction, name, dtype)


class CosineSimilarity(LossWithArguments):
    """Minus the cosine of the angle. axis: default the last. Shapes: see `cosine_similarity`; reduction,
    name, dtype: see `Loss`."""

    def __init__(self, axis=-1, reduction="sum_over_batch_size", name="cosine_similarity", dtype=None):
        super().__init__(cosine_similarity, reduction, name, dtype, axis=axis)
