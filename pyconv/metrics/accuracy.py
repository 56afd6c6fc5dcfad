"""How often predictions are right."""

from __future__ import annotations

import numpy as np

from .. import ops
from ..config import floatx
from ..losses import as_float, as_values, match_ranks
from ..ops.base import operation
from .metric import MeanMetricWrapper

__all__ = ["Accuracy", "BinaryAccuracy", "CategoricalAccuracy", "SparseCategoricalAccuracy",
           "SparseTopKCategoricalAccuracy", "TopKCategoricalAccuracy", "accuracy", "binary_accuracy",
           "categorical_accuracy", "sparse_categorical_accuracy", "sparse_top_k_categorical_accuracy",
           "top_k_categorical_accuracy"]


def _hits(condition):
    return ops.cast(condition, floatx())


@operation
def accuracy(y_true, y_pred):
    """1.0 where label and prediction are equal. y_true, y_pred: equal shapes, or (N,) beside (N, 1)."""
    y_pred = as_values(y_pred)
    y_true, y_pred = match_ranks(ops.cast(as_values(y_true), str(y_pred.dtype)), y_pred)
    _same_shape("accuracy", y_true, y_pred)
    return _hits(ops.equal(y_true, y_pred))


@operation
def binary_accuracy(y_true, y_pred, threshold=0.5):
    """1.0 where ``y_pred > threshold`` agrees with the label 0 or 1. Shapes as for `accuracy`."""
    y_pred = as_float(y_pred)
    y_true, y_pred = match_ranks(as_float(y_true, str(y_pred.dtype)), y_pred)
    _same_shape("binary_accuracy", y_true, y_pred)
    return _hits(ops.equal(y_true, ops.cast(ops.greater(y_pred, threshold), str(y_pred.dtype))))


@operation
def categorical_accuracy(y_true, y_pred):
    """1.0 where the largest prediction is at the largest label.

    y_true, y_pred: (..., classes). Result: (...).
    """
    y_true, y_pred = as_values(y_true), as_values(y_pred)
    _same_shape("categorical_accuracy", y_true, y_pred, " For class numbers use "
                                                        "'sparse_categorical_accuracy'.")
    return _hits(ops.equal(ops.argmax(y_true, -1), ops.argmax(y_pred, -1)))


@operation
def sparse_categorical_accuracy(y_true, y_pred):
    """1.0 where the largest prediction is at the label. y_true: (...) or (..., 1). y_pred: (..., classes)."""
    y_pred = as_values(y_pred)
    return _hits(ops.equal(_class_numbers("sparse_categorical_accuracy", y_true, y_pred),
                           ops.argmax(y_pred, -1)))


@operation
def top_k_categorical_accuracy(y_true, y_pred, k=5):
    """1.0 where the label's class is among the k largest predictions; ties count.

    Shapes (N, classes). Result: (N,).
    """
    y_true, y_pred = as_values(y_true), as_values(y_pred)
    _same_shape("top_k_categorical_accuracy", y_true, y_pred,
                " For class numbers use 'sparse_top_k_categorical_accuracy'.")
    return _in_top_k(ops.argmax(y_true, -1), y_pred, k)


@operation
def sparse_top_k_categorical_accuracy(y_true, y_pred, k=5, from_sorted_ids=False):
    """1.0 where the label is among the k largest predictions; ties count. y_true: (...) or (..., 1).

    With `from_sorted_ids`, y_pred is class numbers, the likeliest first: it is among the first k of them.
    """
    y_pred = as_values(y_pred)
    if from_sorted_ids:
        first = ops.cast(y_pred[..., :_check_k(k)], "int32")
        labels = _class_numbers("sparse_top_k_categorical_accuracy", y_true, y_pred)
        return _hits(ops.greater(ops.sum(ops.equal(ops.expand_dims(labels, -1), first), -1), 0))
    return _in_top_k(_class_numbers("sparse_top_k_categorical_accuracy", y_true, y_pred), y_pred, k)


def _check_k(k):
    if isinstance(k, bool) or not isinstance(k, (int, np.integer)) or k < 1:
        raise ValueError(f"k={k!r} must be an int of at least 1.")
    return int(k)


def _in_top_k(labels, y_pred, k):
    _check_k(k)
    classes = np.arange(y_pred.shape[-1], dtype="int32")
    here = ops.equal(ops.expand_dims(labels, -1), classes)
    own = ops.sum(ops.where(here, y_pred, 0.0), -1, keepdims=True)
    better = ops.sum(ops.cast(ops.greater(y_pred, own), "int32"), -1)
    known = ops.logical_and(ops.greater_equal(labels, 0), ops.less(labels, y_pred.shape[-1]))
    return _hits(ops.logical_and(known, ops.less(better, int(k))))


def _class_numbers(name, y_true, y_pred):
    y_true, shape = as_values(y_true), tuple(y_pred.shape)
    given = tuple(y_true.shape)
    if given == shape[:-1] + (1,):
        y_true = ops.squeeze(y_true, -1)
    elif given != shape[:-1]:
        hint = " For one-hot labels use the metric without 'sparse_'." if given == shape else ""
        raise ValueError(f"{name}: predictions of shape {shape} need labels of shape {shape[:-1]}, got "
                         f"{given}.{hint}")
    return ops.cast(y_true, "int32")


def _same_shape(name, y_true, y_pred, hint=""):
    if tuple(y_true.shape) != tuple(y_pred.shape):
        raise ValueError(f"{name}: labels of shape {tuple(y_true.shape)} do not fit predictions of shape "
                         f"{tuple(y_pred.shape)}.{hint}")


# ---- as metrics

class Accuracy(MeanMetricWrapper):
    """How often labels and predictions are equal; see `accuracy`."""

    direction = "up"

    def __init__(self, name="accuracy", dtype=None):
        super().__init__(accuracy, name, dtype)


class BinaryAccuracy(MeanMetricWrapper):
    """How often ``prediction > threshold`` (default 0.5) agrees with the label; see `binary_accuracy`."""

    direction = "up"

    def __init__(self, name="binary_accuracy", dtype=None, threshold=0.5):
        super().__init__(binary_accuracy, name, dtype, threshold=threshold)


class CategoricalAccuracy(MeanMetricWrapper):
    """How often the largest prediction is at the one-hot label; see `categorical_accuracy`."""

    direction = "up"

    def __init__(self, name="categorical_accuracy", dtype=None):
        super().__init__(categorical_accuracy, name, dtype)


class SparseCategoricalAccuracy(MeanMetricWrapper):
    """How often the largest prediction is at the label; see `sparse_categorical_accuracy`."""

    direction = "up"

    def __init__(self, name="sparse_categorical_accuracy", dtype=None):
        super().__init__(sparse_categorical_accuracy, name, dtype)


class TopKCategoricalAccuracy(MeanMetricWrapper):
    """How often the one-hot label is among the k (default 5) largest predictions."""

    direction = "up"

    def __init__(self, k=5, name="top_k_categorical_accuracy", dtype=None):
        super().__init__(top_k_categorical_accuracy, name, dtype, k=k)


class SparseTopKCategoricalAccuracy(MeanMetricWrapper):
    """How often the label is among the k (default 5) largest predictions.

    from_sorted_ids: whether predictions are class numbers, the likeliest first; default False.
    """

    direction = "up"

    def __init__(self, k=5, name="sparse_top_k_categorical_accuracy", dtype=None, from_sorted_ids=False):
        super().__init__(sparse_top_k_categorical_accuracy, name, dtype, k=k,
                         from_sorted_ids=bool(from_sorted_ids))
