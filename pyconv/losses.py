"""Losses: how far predictions are from the truth, as functions per sample and classes that reduce them."""

from __future__ import annotations

import numpy as np

from . import ops
from .config import epsilon, floatx
from .graph import Tensor, Variable, is_float
from .utils.naming import find, snake_case

__all__ = ["BinaryCrossentropy", "CategoricalCrossentropy", "Loss", "LossFunctionWrapper",
           "MeanAbsoluteError", "MeanSquaredError", "SparseCategoricalCrossentropy", "binary_crossentropy",
           "categorical_crossentropy",
           "deserialize", "get", "mean_absolute_error", "mean_squared_error", "serialize",
           "sparse_categorical_crossentropy"]

REDUCTIONS = ("sum_over_batch_size", "sum", "mean", "mean_with_sample_weight", "none", None)


def as_values(value):
    """Tensors and arrays as they are; numbers and lists as arrays, their floats in the default float type."""
    if isinstance(value, (Tensor, Variable, np.ndarray)):
        return value
    array = np.asarray(value)
    return array.astype(floatx()) if array.dtype.kind == "f" and not hasattr(value, "dtype") else array


def as_float(value, dtype=None):
    """The value in a float type: `dtype`, or its own if it is one, or the default."""
    value = as_values(value)
    own = str(value.dtype)
    dtype = dtype or (own if is_float(own) else floatx())
    if isinstance(value, np.ndarray):
        return value.astype(dtype, copy=False)
    return ops.cast(value, dtype)


def match_ranks(a, b):
    """Keras's rule for (N,) beside (N, 1): a last axis of length 1 is dropped or added to fit the other."""
    for _ in range(2):
        if len(a.shape) == len(b.shape) + 1 and a.shape[-1] == 1:
            if len(b.shape) == 1:
                b = ops.expand_dims(b, -1)
            else:
                a = ops.squeeze(a, -1)
        a, b = b, a
    return a, b


def _pair(name, y_true, y_pred, hint=""):
    """Labels and predictions in one float type and one shape, otherwise an error that names both shapes."""
    y_pred = as_float(y_pred)
    y_true, y_pred = match_ranks(as_float(y_true, str(y_pred.dtype)), y_pred)
    if tuple(y_true.shape) != tuple(y_pred.shape):
        raise ValueError(f"{name}: labels of shape {tuple(y_true.shape)} do not fit predictions of shape "
                         f"{tuple(y_pred.shape)}; they must be the same.{hint}")
    return y_true, y_pred


def _check_fraction(name, value):
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not 0 <= value <= 1:
        raise ValueError(f"{name}={value!r} must be a number from 0 to 1.")


def _check_axis(axis, y_pred):
    rank = len(y_pred.shape)
    if isinstance(axis, bool) or not isinstance(axis, int) or not -rank <= axis < rank:
        raise ValueError(f"axis={axis!r} must be an int that names one of the {rank} axes of the predictions "
                         f"(shape {tuple(y_pred.shape)}).")


# ---- per sample

def mean_squared_error(y_true, y_pred):
    """``mean((y_true - y_pred)**2)`` over the last axis.

    y_true, y_pred: (..., d); a (N,) beside a (N, 1) counts as (N, 1). Result: (...).
    Raises ValueError for other shapes that differ.
    """
    y_true, y_pred = _pair("mean_squared_error", y_true, y_pred)
    return _mean_last(ops.square(y_true - y_pred))


def mean_absolute_error(y_true, y_pred):
    """``mean(abs(y_true - y_pred))`` over the last axis.

    y_true, y_pred: (..., d); a (N,) beside a (N, 1) counts as (N, 1). Result: (...).
    Raises ValueError for other shapes that differ.
    """
    y_true, y_pred = _pair("mean_absolute_error", y_true, y_pred)
    return _mean_last(ops.absolute(y_true - y_pred))


def _mean_last(values, axis=-1):
    return ops.mean(values, axis) if len(values.shape) else values


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
    _check_fraction("label_smoothing", label_smoothing)
    y_true, y_pred = _pair("binary_crossentropy", y_true, y_pred, " For one class of several per sample use "
                           "'sparse_categorical_crossentropy' (labels as integers) or "
                           "'categorical_crossentropy' (one-hot labels).")
    if label_smoothing:
        y_true = y_true * (1.0 - label_smoothing) + 0.5 * label_smoothing
    if from_logits:
        return _mean_last(ops.sigmoid_cross_entropy(y_pred, y_true), axis)
    p = ops.clip(y_pred, epsilon(), 1.0 - epsilon())
    return _mean_last(-(y_true * ops.log(p) + (1.0 - y_true) * ops.log(1.0 - p)), axis)


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
    _check_fraction("label_smoothing", label_smoothing)
    y_pred, y_true = as_float(y_pred), as_values(y_true)
    _check_axis(axis, y_pred)
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
    _check_axis(axis, y_pred)
    labels = _sparse_labels(y_true, y_pred, axis)
    y_pred = _classes_last(y_pred, axis)
    if ignore_class is not None:
        valid = ops.not_equal(labels, int(ignore_class))
        labels = ops.where(valid, labels, 0)
    # With log-probabilities for logits the op gives -log(p[label]) too: their logsumexp is 0.
    values = ops.sparse_softmax_cross_entropy(y_pred if from_logits else _log_probabilities(y_pred), labels)
    return values if ignore_class is None else ops.where(valid, values, 0.0)


# ---- reduced

def reduce_weighted(values, sample_weight=None, mask=None, reduction="sum_over_batch_size"):
    """The losses of samples, times their weights, reduced as `Loss` says. mask: what counts at all."""
    dtype = str(values.dtype)
    weight = None
    if mask is not None:
        weight = ops.cast(mask, dtype)
        if reduction in ("sum_over_batch_size", "mean"):
            # The mean runs over what counts: its elements weigh total / valid, all others nothing.
            weight = weight * (float(np.prod(mask.shape)) / ops.maximum(ops.sum(weight), 1.0))
    if sample_weight is not None:
        given = as_float(sample_weight, dtype)
        if weight is not None:
            weight, given = match_ranks(weight, given)
            weight = weight * given
        else:
            weight = given
    if weight is not None:
        values, weight = match_ranks(values, weight)
        shape, outer = tuple(values.shape), tuple(weight.shape)
        if len(outer) > len(shape) or any(m not in (1, n) for n,
                                          m in zip(shape[::-1], outer[::-1], strict=False)):
            raise ValueError(f"sample_weight of shape {outer} does not fit losses of shape {shape}; give "
                             f"one weight per sample, or one per element of the loss.")
        values = values * weight
    if reduction in (None, "none") or not values.shape:
        return values
    total = ops.sum(values)
    if reduction == "sum":
        return total
    if reduction == "mean_with_sample_weight" and weight is not None:
        # The sum of the weights as given, without the repetition that broadcasting brings, as in Keras.
        divisor = ops.sum(weight)
        return ops.where(ops.equal(divisor, 0.0), 0.0, total / ops.where(ops.equal(divisor, 0.0), 1.0,
                                                                         divisor))
    return total * (1.0 / max(int(np.prod(values.shape)), 1))


class Loss:
    """A scalar from labels and predictions. A subclass writes `call`, which gives the losses of the samples.

    Parameters
    ----------
    name: str, optional
    reduction: str or None
        "sum_over_batch_size" (the default) or "mean": the weighted losses are summed and divided by the
        number of elements, whatever the weights; "mean_with_sample_weight": divided by the sum of the
        weights; "sum"; "none" or None: not reduced.
    dtype: str, optional
        Float type of the computation; default that of the predictions.

    Raises
    ------
    ValueError
        For an unknown reduction.
    """

    def __init__(self, name=None, reduction="sum_over_batch_size", dtype=None):
        if reduction not in REDUCTIONS:
            raise ValueError(f"reduction={reduction!r} is not known; expected one of "
                             f"{', '.join(map(repr, REDUCTIONS))}.")
        self.name = name or snake_case(type(self).__name__)
        self.reduction, self.dtype = reduction, dtype

    def call(self, y_true, y_pred):
        """The losses, one per sample (and position), from labels and predictions."""
        raise NotImplementedError(f"{type(self).__name__} needs a method call(self, y_true, y_pred).")

    def mask(self, y_true, y_pred):
        """A bool tensor of the shape of the losses that tells which count, or None for all."""
        return None

    def __call__(self, y_true, y_pred, sample_weight=None):
        """The loss of a batch.

        y_true, y_pred: tensors or arrays. sample_weight: (N,), or any shape that broadcasts to the losses.
        """
        y_true, y_pred = as_values(y_true), as_float(y_pred, self.dtype)
        values = self.call(y_true, y_pred)
        return reduce_weighted(values, sample_weight, self.mask(y_true, y_pred), self.reduction)

    def get_config(self) -> dict:
        return {"name": self.name, "reduction": self.reduction}

    @classmethod
    def from_config(cls, config: dict):
        return cls(**config)


class LossFunctionWrapper(Loss):
    """A Loss from a function ``fn(y_true, y_pred, **kwargs)`` that gives the losses of the samples."""

    def __init__(self, fn, reduction="sum_over_batch_size", name=None, dtype=None, **kwargs):
        super().__init__(name or getattr(fn, "__name__", None), reduction, dtype)
        self.fn, self.kwargs = fn, kwargs

    def call(self, y_true, y_pred):
        return self.fn(y_true, y_pred, **self.kwargs)

    def get_config(self):
        config = super().get_config()
        return config if type(self) is not LossFunctionWrapper else {**config, "fn": self.fn, **self.kwargs}


class MeanSquaredError(LossFunctionWrapper):
    """``mean((y_true - y_pred)**2)``. Shapes: see `mean_squared_error`; arguments: see `Loss`."""

    def __init__(self, reduction="sum_over_batch_size", name="mean_squared_error", dtype=None):
        super().__init__(mean_squared_error, reduction, name, dtype)


class MeanAbsoluteError(LossFunctionWrapper):
    """``mean(abs(y_true - y_pred))``. Shapes: see `mean_absolute_error`; arguments: see `Loss`."""

    def __init__(self, reduction="sum_over_batch_size", name="mean_absolute_error", dtype=None):
        super().__init__(mean_absolute_error, reduction, name, dtype)


class _Crossentropy(LossFunctionWrapper):
    def get_config(self):
        return {**super().get_config(), **self.kwargs}


class BinaryCrossentropy(_Crossentropy):
    """The cross-entropy of yes-or-no labels.

    from_logits, label_smoothing, axis, and the shapes: see `binary_crossentropy`. reduction, name: see
    `Loss`.
    """

    def __init__(self, from_logits=False, label_smoothing=0.0, axis=-1, reduction="sum_over_batch_size",
                 name="binary_crossentropy", dtype=None):
        _check_fraction("label_smoothing", label_smoothing)
        super().__init__(binary_crossentropy, reduction, name, dtype, from_logits=bool(from_logits),
                         label_smoothing=label_smoothing, axis=axis)


class CategoricalCrossentropy(_Crossentropy):
    """The cross-entropy of one-hot labels.

    from_logits, label_smoothing, axis, and the shapes: see `categorical_crossentropy`. reduction, name: see
    `Loss`.
    """

    def __init__(self, from_logits=False, label_smoothing=0.0, axis=-1, reduction="sum_over_batch_size",
                 name="categorical_crossentropy", dtype=None):
        _check_fraction("label_smoothing", label_smoothing)
        super().__init__(categorical_crossentropy, reduction, name, dtype, from_logits=bool(from_logits),
                         label_smoothing=label_smoothing, axis=axis)


class SparseCategoricalCrossentropy(_Crossentropy):
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


# ---- by name

FUNCTIONS = {f.__name__: f for f in (mean_squared_error, mean_absolute_error, binary_crossentropy,
                                     categorical_crossentropy, sparse_categorical_crossentropy)}
CLASSES = {c.__name__: c for c in (MeanSquaredError, MeanAbsoluteError, BinaryCrossentropy,
                                   CategoricalCrossentropy, SparseCategoricalCrossentropy)}
ALIASES = {"mse": mean_squared_error, "mae": mean_absolute_error, "bce": binary_crossentropy}


def serialize(loss):
    """The loss as its name (a function) or as a dictionary of its class name and configuration."""
    if isinstance(loss, Loss):
        return {"class_name": type(loss).__name__, "config": loss.get_config()}
    return loss.__name__


def deserialize(config):
    """The loss that `serialize` described."""
    return get(config)


def get(identifier):
    """A loss from its name ("mse", "MeanSquaredError"), its configuration, or itself.

    A name in snake case gives the function, a class name an instance with default arguments, as in Keras.

    Raises
    ------
    ValueError
        For unknown names; the message proposes the nearest.
    TypeError
        For what can be no loss.
    """
    if identifier is None or isinstance(identifier, Loss):
        return identifier
    if isinstance(identifier, dict):
        if "class_name" not in identifier:
            raise ValueError(f"a loss's configuration is a dictionary with 'class_name' and 'config', "
                             f"got {identifier!r}.")
        return find("loss", identifier["class_name"], CLASSES).from_config(identifier.get("config", {}))
    if isinstance(identifier, type) and issubclass(identifier, Loss):
        raise TypeError(f"loss={identifier.__name__} is a class; give an instance: {identifier.__name__}().")
    if callable(identifier):
        return identifier
    if isinstance(identifier, str) and identifier in CLASSES:
        return CLASSES[identifier]()
    return find("loss", identifier, {**FUNCTIONS, **ALIASES})
