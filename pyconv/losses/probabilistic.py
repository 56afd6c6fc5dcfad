"""Losses of probabilities: cross-entropies, focal losses, divergences."""

from __future__ import annotations

import numpy as np

from .. import ops
from ..config import epsilon
from ..graph import is_float
from ..ops.base import operation
from .loss import (
    LossFunctionWrapper,
    LossWithArguments,
    as_float,
    as_values,
    check_axis,
    check_fraction,
    mean_last,
    pair,
)

__all__ = ["BinaryCrossentropy", "BinaryFocalCrossentropy", "CategoricalCrossentropy",
           "CategoricalFocalCrossentropy", "CategoricalGeneralizedCrossEntropy", "KLDivergence", "Poisson",
           "SparseCategoricalCrossentropy", "binary_crossentropy", "binary_focal_crossentropy",
           "categorical_crossentropy", "categorical_focal_crossentropy",
           "categorical_generalized_cross_entropy", "kl_divergence", "poisson",
           "sparse_categorical_crossentropy"]


@operation
def binary_crossentropy(y_true, y_pred, from_logits=False, label_smoothing=0.0, axis=-1):
    """``-mean(y log p + (1 - y) log(1 - p))`` over `axis`, y being `y_true` and p `y_pred`.

    Parameters
    ----------
    y_true, y_pred: (..., d)
        Labels from 0 to 1, and probabilities (clipped to [epsilon, 1 - epsilon], by default 1e-7) or logits.
        A (N,) beside a (N, 1) counts as (N, 1).
    from_logits: bool
        Whether `y_pred` are logits, of which the sigmoid is the probability. Precise for any logit.
    label_smoothing: float
        From 0 to 1: labels are drawn towards 1/2 by this fraction.
    axis: int

    Returns
    -------
    tensor of shape (...)
    """
    check_fraction("label_smoothing", label_smoothing)
    y_true, y_pred = pair("binary_crossentropy", y_true, y_pred, " For one class of several per sample use "
                           "'sparse_categorical_crossentropy' (labels as integers) or "
                           "'categorical_crossentropy' (one-hot labels).")
    if label_smoothing:
        y_true = y_true * (1.0 - label_smoothing) + 0.5 * label_smoothing
    if from_logits:
        return mean_last(ops.sigmoid_cross_entropy(y_pred, y_true), axis)
    p = ops.clip(y_pred, epsilon(), 1.0 - epsilon())
    return mean_last(-(y_true * ops.log(p) + (1.0 - y_true) * ops.log(1.0 - p)), axis)


def _classes_last(y, axis):
    """The tensor with its class axis moved to the end."""
    rank = len(y.shape)
    if axis % rank == rank - 1:
        return y
    return ops.transpose(y, [i for i in range(rank) if i != axis % rank] + [axis % rank])


def _log_probabilities(y_pred):
    """The logarithm of probabilities over the last axis, normalized and clipped as Keras does."""
    p = y_pred / ops.sum(y_pred, -1, keepdims=True)
    return ops.log(ops.clip(p, epsilon(), 1.0 - epsilon()))


@operation
def categorical_crossentropy(y_true, y_pred, from_logits=False, label_smoothing=0.0, axis=-1):
    """``-sum(y_true * log(p))`` over the classes.

    Parameters
    ----------
    y_true: (..., classes)
        One-hot labels, or any distribution.
    y_pred: (..., classes)
        Probabilities (divided by their sum, then clipped to [epsilon, 1 - epsilon]) or logits.
    from_logits: bool
        Whether `y_pred` are logits, of which the softmax is the distribution.
    label_smoothing: float
        From 0 to 1: this fraction of each label is spread evenly over the classes.
    axis: int
        The axis of the classes; default the last.

    Returns
    -------
    tensor of shape (...)

    Raises
    ------
    ValueError
        If the shapes differ; integer labels need `sparse_categorical_crossentropy`.
    """
    check_fraction("label_smoothing", label_smoothing)
    y_pred, y_true = as_float(y_pred), as_values(y_true)
    check_axis(axis, y_pred)
    if tuple(y_true.shape) != tuple(y_pred.shape):
        raise ValueError(
            f"categorical_crossentropy needs one-hot labels of the predictions' shape "
            f"{tuple(y_pred.shape)}, got labels of shape {tuple(y_true.shape)}. For labels that are class "
            f"numbers use 'sparse_categorical_crossentropy'.")
    y_true, y_pred = _classes_last(as_float(y_true, str(y_pred.dtype)), axis), _classes_last(y_pred, axis)
    if label_smoothing:
        y_true = y_true * (1.0 - label_smoothing) + label_smoothing / y_pred.shape[-1]
    if from_logits:
        return ops.softmax_cross_entropy(y_pred, y_true)
    return -ops.sum(y_true * _log_probabilities(y_pred), -1)


def _sparse_labels(y_true, y_pred, axis):
    """Class numbers with the shape of the predictions less the class axis, as integers."""
    name, shape, labels = "sparse_categorical_crossentropy", tuple(y_pred.shape), tuple(y_true.shape)
    if not shape:
        raise ValueError(f"{name}: the predictions are a scalar; they need an axis of classes.")
    expected = tuple(n for i, n in enumerate(shape) if i != axis % len(shape))
    if labels != expected:
        if len(labels) == len(shape) and labels[axis] == 1 and shape[axis] != 1:
            y_true = ops.squeeze(y_true, axis)
        if tuple(y_true.shape) != expected and not (shape[axis] == 1 and labels == shape):
            hint = (" These labels look one-hot: use 'categorical_crossentropy', or give class numbers with "
                    "y.argmax(-1)." if labels == shape else "")
            raise ValueError(f"{name} needs one class number per prediction: predictions of shape {shape} "
                             f"go with labels of shape {expected}, got labels of shape {labels}.{hint}")
    if shape[axis] == 1:
        raise ValueError(f"{name}: predictions of shape {shape} have one class only. For yes or no per "
                         f"sample use 'binary_crossentropy', otherwise give the model one output per class.")
    if is_float(str(y_true.dtype)):
        whole = ops.equal(y_true, ops.floor(y_true))
        y_true = ops.check_finite(ops.where(whole, y_true, np.nan),
                                  f"{name}: the labels must be whole numbers (class numbers), but one is "
                                  f"not.")
        return ops.cast(y_true, "int32")
    return ops.cast(y_true, "int32") if str(y_true.dtype) == "bool" else y_true


@operation
def sparse_categorical_crossentropy(y_true, y_pred, from_logits=False, ignore_class=None, axis=-1):
    """``-log(p[label])``: the cross-entropy of labels that are class numbers.

    Parameters
    ----------
    y_true: (...) or (..., 1)
        Class numbers from 0 to classes - 1. Floats that are whole numbers will do.
    y_pred: (..., classes)
        Probabilities (divided by their sum, then clipped to [epsilon, 1 - epsilon]) or logits.
    from_logits: bool
        Whether `y_pred` are logits, of which the softmax is the distribution.
    ignore_class: int, optional
        A label whose elements count with loss 0.
    axis: int
        The axis of the classes; default the last.

    Returns
    -------
    tensor of shape (...)

    Raises
    ------
    ValueError
        If the shapes do not fit (one-hot labels need `categorical_crossentropy`), or, when it runs, a label
        is outside of 0 to classes - 1 or not a whole number.
    """
    y_pred, y_true = as_float(y_pred), as_values(y_true)
    check_axis(axis, y_pred)
    labels = _sparse_labels(y_true, y_pred, axis)
    y_pred = _classes_last(y_pred, axis)
    if ignore_class is not None:
        valid = ops.not_equal(labels, int(ignore_class))
        labels = ops.where(valid, labels, 0)
    # With log-probabilities for logits the op gives -log(p[label]) too: their logsumexp is 0.
    values = ops.sparse_softmax_cross_entropy(y_pred if from_logits else _log_probabilities(y_pred), labels)
    return values if ignore_class is None else ops.where(valid, values, 0.0)


def _raised(x, exponent):
    """``x ** exponent``, by a multiplication where that will do."""
    return ops.square(x) if exponent == 2 else ops.power(x, float(exponent))


@operation
def binary_focal_crossentropy(y_true, y_pred, apply_class_balancing=False, alpha=0.25, gamma=2.0,
                              from_logits=False, label_smoothing=0.0, axis=-1):
    """Binary cross-entropy in which what is predicted well counts less, by the factor ``(1 - p_t)**gamma``;
    p_t is the probability that was given to the right answer (Lin et al., *Focal loss for dense object
    detection*, 2017).

    Parameters
    ----------
    y_true, y_pred, from_logits, label_smoothing, axis:
        See `binary_crossentropy`; of logits the sigmoid is taken.
    apply_class_balancing: bool
        Whether label 1 is weighted by `alpha` and label 0 by ``1 - alpha``; default False.
    alpha: float
        Default 0.25.
    gamma: float
        Default 2; 0 gives `binary_crossentropy`.

    Returns
    -------
    tensor of shape (...)
    """
    check_fraction("label_smoothing", label_smoothing)
    y_true, y_pred = pair("binary_focal_crossentropy", y_true, y_pred)
    if label_smoothing:
        y_true = y_true * (1.0 - label_smoothing) + 0.5 * label_smoothing
    if from_logits:
        y_pred = ops.sigmoid(y_pred)
    p = ops.clip(y_pred, epsilon(), 1.0 - epsilon())
    values = -(y_true * ops.log(p) + (1.0 - y_true) * ops.log(1.0 - p))
    values = values * _raised(1.0 - (y_true * y_pred + (1.0 - y_true) * (1.0 - y_pred)), gamma)
    if apply_class_balancing:
        values = values * (y_true * alpha + (1.0 - y_true) * (1.0 - alpha))
    return mean_last(values, axis)


@operation
def categorical_focal_crossentropy(y_true, y_pred, alpha=0.25, gamma=2.0, from_logits=False,
                                   label_smoothing=0.0, axis=-1):
    """``-sum(alpha * (1 - p)**gamma * y_true * log(p))`` over the classes (Lin et al., *Focal loss*, 2017).

    Parameters
    ----------
    y_true, y_pred, from_logits, label_smoothing, axis:
        See `categorical_crossentropy`; of logits the softmax is taken.
    alpha: float or list of float
        One factor for all classes, or one for each; default 0.25.
    gamma: float
        Default 2.

    Returns
    -------
    tensor of shape (...)

    Raises
    ------
    ValueError
        If the shapes differ.
    """
    check_fraction("label_smoothing", label_smoothing)
    y_true, y_pred = pair("categorical_focal_crossentropy", y_true, y_pred)
    check_axis(axis, y_pred)
    y_true, y_pred = _classes_last(y_true, axis), _classes_last(y_pred, axis)
    if label_smoothing:
        y_true = y_true * (1.0 - label_smoothing) + label_smoothing / y_pred.shape[-1]
    p = ops.softmax(y_pred) if from_logits else y_pred
    p = ops.clip(p / ops.sum(p, -1, keepdims=True), epsilon(), 1.0 - epsilon())
    return -ops.sum(_raised(1.0 - p, gamma) * alpha * (y_true * ops.log(p)), -1)


@operation
def categorical_generalized_cross_entropy(y_true, y_pred, q):
    """``(1 - p[label]**q) / q``: between cross-entropy (q near 0) and the mean absolute error (q near 1),
    less misled by wrong labels (Zhang and Sabuncu, *Generalized cross entropy loss*, 2018).

    y_true: (...), class numbers. y_pred: (..., classes), probabilities. q: float. Result: (...).
    """
    y_pred = as_float(y_pred)
    labels = _sparse_labels(as_values(y_true), y_pred, -1)
    p = ops.sum(y_pred * ops.one_hot(labels, y_pred.shape[-1], dtype=str(y_pred.dtype)), -1)
    return (1.0 - ops.power(p, float(q))) / q


@operation
def kl_divergence(y_true, y_pred):
    """``sum(y_true * log(y_true / y_pred))`` over the last axis; both are clipped to [epsilon, 1] first
    (Kullback and Leibler, *On information and sufficiency*, 1951).

    y_true, y_pred: (..., d), distributions. Result: (...).
    """
    y_true, y_pred = pair("kl_divergence", y_true, y_pred)
    y_true, y_pred = ops.clip(y_true, epsilon(), 1.0), ops.clip(y_pred, epsilon(), 1.0)
    return ops.sum(y_true * ops.log(y_true / y_pred), -1)


@operation
def poisson(y_true, y_pred):
    """``mean(y_pred - y_true * log(y_pred + epsilon))`` over the last axis: the likelihood of counts `y_true`
    for expected counts `y_pred`, without its constant.

    y_true, y_pred: (..., d). Result: (...).
    """
    y_true, y_pred = pair("poisson", y_true, y_pred)
    return mean_last(y_pred - y_true * ops.log(y_pred + epsilon()))


# ---- reduced

class BinaryCrossentropy(LossWithArguments):
    """The cross-entropy of yes-or-no labels.

    from_logits, label_smoothing, axis, and the shapes: see `binary_crossentropy`. reduction, name: see
    `Loss`.
    """

    def __init__(self, from_logits=False, label_smoothing=0.0, axis=-1, reduction="sum_over_batch_size",
                 name="binary_crossentropy", dtype=None):
        check_fraction("label_smoothing", label_smoothing)
        super().__init__(binary_crossentropy, reduction, name, dtype, from_logits=bool(from_logits),
                         label_smoothing=label_smoothing, axis=axis)


class CategoricalCrossentropy(LossWithArguments):
    """The cross-entropy of one-hot labels.

    from_logits, label_smoothing, axis, and the shapes: see `categorical_crossentropy`. reduction, name: see
    `Loss`.
    """

    def __init__(self, from_logits=False, label_smoothing=0.0, axis=-1, reduction="sum_over_batch_size",
                 name="categorical_crossentropy", dtype=None):
        check_fraction("label_smoothing", label_smoothing)
        super().__init__(categorical_crossentropy, reduction, name, dtype, from_logits=bool(from_logits),
                         label_smoothing=label_smoothing, axis=axis)


class SparseCategoricalCrossentropy(LossWithArguments):
    """The cross-entropy of labels that are class numbers.

    from_logits, axis, and the shapes: see `sparse_categorical_crossentropy`. With `ignore_class`, elements
    with that label are left out, and the mean runs over the others. reduction, name: see `Loss`.
    """

    def __init__(self, from_logits=False, ignore_class=None, reduction="sum_over_batch_size", axis=-1,
                 name="sparse_categorical_crossentropy", dtype=None):
        super().__init__(sparse_categorical_crossentropy, reduction, name, dtype,
                         from_logits=bool(from_logits), ignore_class=ignore_class, axis=axis)

    def mask(self, y_true, y_pred):
        ignored = self.kwargs["ignore_class"]
        if ignored is None:
            return None
        return ops.not_equal(_sparse_labels(y_true, y_pred, self.kwargs["axis"]), int(ignored))


class BinaryFocalCrossentropy(LossWithArguments):
    """The cross-entropy of yes-or-no labels in which what is predicted well counts less.

    Arguments and shapes: see `binary_focal_crossentropy`. reduction, name, dtype: see `Loss`.
    """

    def __init__(self, apply_class_balancing=False, alpha=0.25, gamma=2.0, from_logits=False,
                 label_smoothing=0.0, axis=-1, reduction="sum_over_batch_size",
                 name="binary_focal_crossentropy", dtype=None):
        check_fraction("label_smoothing", label_smoothing)
        super().__init__(binary_focal_crossentropy, reduction, name, dtype,
                         apply_class_balancing=bool(apply_class_balancing), alpha=alpha, gamma=gamma,
                         from_logits=bool(from_logits), label_smoothing=label_smoothing, axis=axis)


class CategoricalFocalCrossentropy(LossWithArguments):
    """The cross-entropy of one-hot labels in which what is predicted well counts less.

    Arguments and shapes: see `categorical_focal_crossentropy`. reduction, name, dtype: see `Loss`.
    """

    def __init__(self, alpha=0.25, gamma=2.0, from_logits=False, label_smoothing=0.0, axis=-1,
                 reduction="sum_over_batch_size", name="categorical_focal_crossentropy", dtype=None):
        check_fraction("label_smoothing", label_smoothing)
        super().__init__(categorical_focal_crossentropy, reduction, name, dtype, alpha=alpha, gamma=gamma,
                         from_logits=bool(from_logits), label_smoothing=label_smoothing, axis=axis)


class CategoricalGeneralizedCrossEntropy(LossWithArguments):
    """A cross-entropy of class numbers that wrong labels mislead less.

    q: above 0 and below 1, default 0.5; see `categorical_generalized_cross_entropy`. reduction, name, dtype:
    see `Loss`.
    """

    def __init__(self, q=0.5, reduction="sum_over_batch_size", name="categorical_generalized_cross_entropy",
                 dtype=None):
        if not 0 < q < 1:
            raise ValueError(f"CategoricalGeneralizedCrossEntropy: q={q} must be above 0 and below 1.")
        super().__init__(categorical_generalized_cross_entropy, reduction, name, dtype, q=q)


class KLDivergence(LossFunctionWrapper):
    """The Kullback-Leibler divergence. Shapes: see `kl_divergence`; arguments: see `Loss`."""

    def __init__(self, reduction="sum_over_batch_size", name="kl_divergence", dtype=None):
        super().__init__(kl_divergence, reduction, name, dtype)


class Poisson(LossFunctionWrapper):
    """The loss of counts. Shapes: see `poisson`; arguments: see `Loss`."""

    def __init__(self, reduction="sum_over_batch_size", name="poisson", dtype=None):
        super().__init__(poisson, reduction, name, dtype)
