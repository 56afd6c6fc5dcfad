"""Metrics: numbers that are gathered over many batches, in variables that the compiled step updates."""

from __future__ import annotations

import numpy as np

from . import losses, ops
from .config import floatx
from .graph import Variable
from .losses import as_float, as_values, match_ranks
from .utils.naming import find, snake_case

__all__ = ["Accuracy", "BinaryAccuracy", "BinaryCrossentropy", "CategoricalAccuracy",
           "CategoricalCrossentropy",
           "Mean", "MeanAbsoluteError", "MeanMetricWrapper", "MeanSquaredError", "Metric",
           "SparseCategoricalAccuracy",
           "SparseCategoricalCrossentropy", "SparseTopKCategoricalAccuracy", "Sum", "TopKCategoricalAccuracy",
           "accuracy", "binary_accuracy", "categorical_accuracy", "deserialize", "get", "serialize",
           "sparse_categorical_accuracy", "sparse_top_k_categorical_accuracy", "top_k_categorical_accuracy"]


class Metric:
    """Base class. A subclass makes variables in `__init__`, and writes `update_state` and `result` with ops.

    Inside a traced step the updates become part of the program; outside they take place at once.

    Parameters
    ----------
    dtype: str, optional
        Float type of the state; default `pyconv.config.floatx()`.
    name: str, optional
    """

    def __init__(self, dtype=None, name=None):
        self.name = name or snake_case(type(self).__name__)
        self.dtype = dtype or floatx()
        self._variables: list = []
        self._initial: list = []

    def add_variable(self, shape=(), initializer="zeros", dtype=None, name="variable") -> Variable:
        """A state variable. initializer: "zeros", "ones", a number, or a function of (shape, dtype)."""
        dtype = dtype or self.dtype
        if callable(initializer):
            value = np.asarray(initializer(shape, dtype))
        else:
            value = np.full(shape, {"zeros": 0, "ones": 1}.get(initializer, initializer), dtype)
        variable = Variable(value, dtype, name=name, trainable=False)
        variable.path = f"{self.name}/{name}"
        self._variables.append(variable)
        self._initial.append(value)
        return variable

    add_weight = add_variable

    @property
    def variables(self) -> list:
        return list(self._variables)

    def update_state(self, *args, **kwargs):
        """Take in a batch."""
        raise NotImplementedError(f"{type(self).__name__} needs a method update_state.")

    def result(self):
        """The value so far, a scalar."""
        raise NotImplementedError(f"{type(self).__name__} needs a method result.")

    def reset_state(self):
        """Forget all batches."""
        for variable, value in zip(self._variables, self._initial, strict=True):
            variable.assign(value)

    def __call__(self, *args, **kwargs):
        """`update_state`, then `result`."""
        self.update_state(*args, **kwargs)
        return self.result()

    def get_config(self) -> dict:
        return {"name": self.name, "dtype": self.dtype}

    @classmethod
    def from_config(cls, config: dict):
        return cls(**config)

    def __repr__(self):
        return f"<{type(self).__name__} {self.name}>"


def _samplewise(values, sample_weight, reduce, dtype):
    """One value per sample (or a scalar), weighted, and one weight per sample or None.

    Values with more axes than the weights are first reduced to those of the weights, as in Keras.
    """
    values = as_float(values, dtype)
    if sample_weight is not None:
        weight = as_float(sample_weight, dtype)
        values, weight = match_ranks(values, weight)
        rank = len(weight.shape)
        if len(values.shape) > rank:
            values = reduce(values, tuple(range(rank, len(values.shape))))
        weight = ops.broadcast_to(weight, values.shape)
        values = values * weight
        if len(weight.shape) > 1:
            weight = reduce(weight, tuple(range(1, len(weight.shape))))
    else:
        weight = None
    if len(values.shape) > 1:
        values = reduce(values, tuple(range(1, len(values.shape))))
    return values, weight


class Sum(Metric):
    """The weighted sum of all values.

    update_state(values, sample_weight=None): values of any shape; weights that broadcast to it.
    """

    def __init__(self, name="sum", dtype=None):
        super().__init__(dtype, name)
        self.total = self.add_variable(name="total")

    def update_state(self, values, sample_weight=None):
        values, _ = _samplewise(values, sample_weight, ops.sum, self.dtype)
        self.total.assign(self.total.value + ops.sum(values))

    def result(self):
        return self.total.value


class Mean(Metric):
    """The weighted mean of all values: ``sum(weight * value) / sum(weight)``; 0 before the first.

    update_state(values, sample_weight=None): values of any shape, of which the mean per sample is taken
    first; weights that broadcast to it.
    """

    def __init__(self, name="mean", dtype=None):
        super().__init__(dtype, name)
        self.total = self.add_variable(name="total")
        self.count = self.add_variable(name="count")

    def update_state(self, values, sample_weight=None):
        values, weight = _samplewise(values, sample_weight, ops.mean, self.dtype)
        if weight is not None:
            count = ops.sum(weight)
        else:
            count = float(values.shape[0]) if values.shape else 1.0
        self.total.assign(self.total.value + ops.sum(values))
        self.count.assign(self.count.value + count)

    def result(self):
        count = self.count.value
        empty = ops.equal(count, 0.0)
        return ops.where(empty, 0.0, self.total.value / ops.where(empty, 1.0, count))


class MeanMetricWrapper(Mean):
    """The mean of ``fn(y_true, y_pred, **kwargs)``, which gives one value per sample (and position)."""

    def __init__(self, fn, name=None, dtype=None, **kwargs):
        super().__init__(name or getattr(fn, "__name__", None) or getattr(fn, "name", None), dtype)
        self.fn, self.kwargs = fn, kwargs

    def update_state(self, y_true, y_pred, sample_weight=None):
        super().update_state(self.fn(as_values(y_true), as_values(y_pred), **self.kwargs), sample_weight)

    def get_config(self):
        config = super().get_config()
        return {**config, "fn": self.fn, **self.kwargs} if type(self) is MeanMetricWrapper else {**config,
                                                                                               **self.kwargs}


# ---- per sample

def _hits(condition):
    return ops.cast(condition, floatx())


def accuracy(y_true, y_pred):
    """1.0 where label and prediction are equal. y_true, y_pred: equal shapes, or (N,) beside (N, 1)."""
    y_pred = as_values(y_pred)
    y_true, y_pred = match_ranks(ops.cast(as_values(y_true), str(y_pred.dtype)), y_pred)
    _same_shape("accuracy", y_true, y_pred)
    return _hits(ops.equal(y_true, y_pred))


def binary_accuracy(y_true, y_pred, threshold=0.5):
    """1.0 where ``y_pred > threshold`` agrees with the label 0 or 1. Shapes as for `accuracy`."""
    y_pred = as_float(y_pred)
    y_true, y_pred = match_ranks(as_float(y_true, str(y_pred.dtype)), y_pred)
    _same_shape("binary_accuracy", y_true, y_pred)
    return _hits(ops.equal(y_true, ops.cast(ops.greater(y_pred, threshold), str(y_pred.dtype))))


def categorical_accuracy(y_true, y_pred):
    """1.0 where the largest prediction is at the largest label.

    y_true, y_pred: (..., classes). Result: (...).
    """
    y_true, y_pred = as_values(y_true), as_values(y_pred)
    _same_shape("categorical_accuracy", y_true, y_pred, " For class numbers use "
                                                        "'sparse_categorical_accuracy'.")
    return _hits(ops.equal(ops.argmax(y_true, -1), ops.argmax(y_pred, -1)))


def sparse_categorical_accuracy(y_true, y_pred):
    """1.0 where the largest prediction is at the label. y_true: (...) or (..., 1). y_pred: (..., classes)."""
    y_pred = as_values(y_pred)
    return _hits(ops.equal(_class_numbers("sparse_categorical_accuracy", y_true, y_pred),
                           ops.argmax(y_pred, -1)))


def top_k_categorical_accuracy(y_true, y_pred, k=5):
    """1.0 where the label's class is among the k largest predictions; ties count.

    Shapes (N, classes). Result: (N,).
    """
    y_true, y_pred = as_values(y_true), as_values(y_pred)
    _same_shape("top_k_categorical_accuracy", y_true, y_pred,
                " For class numbers use 'sparse_top_k_categorical_accuracy'.")
    return _in_top_k(ops.argmax(y_true, -1), y_pred, k)


def sparse_top_k_categorical_accuracy(y_true, y_pred, k=5):
    """1.0 where the label is among the k largest predictions; ties count. y_true: (...) or (..., 1)."""
    y_pred = as_values(y_pred)
    return _in_top_k(_class_numbers("sparse_top_k_categorical_accuracy", y_true, y_pred), y_pred, k)


def _in_top_k(labels, y_pred, k):
    if isinstance(k, bool) or not isinstance(k, (int, np.integer)) or k < 1:
        raise ValueError(f"k={k!r} must be an int of at least 1.")
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

    def __init__(self, name="accuracy", dtype=None):
        super().__init__(accuracy, name, dtype)


class BinaryAccuracy(MeanMetricWrapper):
    """How often ``prediction > threshold`` (default 0.5) agrees with the label; see `binary_accuracy`."""

    def __init__(self, name="binary_accuracy", dtype=None, threshold=0.5):
        super().__init__(binary_accuracy, name, dtype, threshold=threshold)


class CategoricalAccuracy(MeanMetricWrapper):
    """How often the largest prediction is at the one-hot label; see `categorical_accuracy`."""

    def __init__(self, name="categorical_accuracy", dtype=None):
        super().__init__(categorical_accuracy, name, dtype)


class SparseCategoricalAccuracy(MeanMetricWrapper):
    """How often the largest prediction is at the label; see `sparse_categorical_accuracy`."""

    def __init__(self, name="sparse_categorical_accuracy", dtype=None):
        super().__init__(sparse_categorical_accuracy, name, dtype)


class TopKCategoricalAccuracy(MeanMetricWrapper):
    """How often the one-hot label is among the k (default 5) largest predictions."""

    def __init__(self, k=5, name="top_k_categorical_accuracy", dtype=None):
        super().__init__(top_k_categorical_accuracy, name, dtype, k=k)


class SparseTopKCategoricalAccuracy(MeanMetricWrapper):
    """How often the label is among the k (default 5) largest predictions."""

    def __init__(self, k=5, name="sparse_top_k_categorical_accuracy", dtype=None):
        super().__init__(sparse_top_k_categorical_accuracy, name, dtype, k=k)


class MeanSquaredError(MeanMetricWrapper):
    """The mean of `pyconv.losses.mean_squared_error`."""

    def __init__(self, name="mean_squared_error", dtype=None):
        super().__init__(losses.mean_squared_error, name, dtype)


class MeanAbsoluteError(MeanMetricWrapper):
    """The mean of `pyconv.losses.mean_absolute_error`."""

    def __init__(self, name="mean_absolute_error", dtype=None):
        super().__init__(losses.mean_absolute_error, name, dtype)


class BinaryCrossentropy(MeanMetricWrapper):
    """The mean of `pyconv.losses.binary_crossentropy`."""

    def __init__(self, name="binary_crossentropy", dtype=None, from_logits=False, label_smoothing=0):
        super().__init__(losses.binary_crossentropy, name, dtype, from_logits=from_logits,
                         label_smoothing=label_smoothing)


class CategoricalCrossentropy(MeanMetricWrapper):
    """The mean of `pyconv.losses.categorical_crossentropy`."""

    def __init__(self, name="categorical_crossentropy", dtype=None, from_logits=False, label_smoothing=0,
                 axis=-1):
        super().__init__(losses.categorical_crossentropy, name, dtype, from_logits=from_logits,
                         label_smoothing=label_smoothing, axis=axis)


class SparseCategoricalCrossentropy(MeanMetricWrapper):
    """The mean of `pyconv.losses.sparse_categorical_crossentropy`."""

    def __init__(self, name="sparse_categorical_crossentropy", dtype=None, from_logits=False, axis=-1):
        super().__init__(losses.sparse_categorical_crossentropy, name, dtype, from_logits=from_logits,
                         axis=axis)


# ---- by name

CLASSES = {c.__name__: c for c in (
    Accuracy, BinaryAccuracy, BinaryCrossentropy, CategoricalAccuracy, CategoricalCrossentropy, Mean,
    MeanAbsoluteError, MeanSquaredError, SparseCategoricalAccuracy, SparseCategoricalCrossentropy,
    SparseTopKCategoricalAccuracy, Sum, TopKCategoricalAccuracy)}
NAMES = {**{snake_case(name): c for name, c in CLASSES.items()}, **CLASSES, "acc": Accuracy,
         "mse": MeanSquaredError, "mae": MeanAbsoluteError, "bce": BinaryCrossentropy}
NAMES.update({f.__name__: c for f, c in ((top_k_categorical_accuracy, TopKCategoricalAccuracy),
                                         (sparse_top_k_categorical_accuracy, SparseTopKCategoricalAccuracy))})


def serialize(metric):
    """The metric as its name (a function) or as a dictionary of its class name and configuration."""
    if isinstance(metric, Metric):
        return {"class_name": type(metric).__name__, "config": metric.get_config()}
    return metric.__name__


def deserialize(config):
    """The metric that `serialize` described, without its state."""
    return get(config)


def get(identifier):
    """A metric from its name ("mse", "CategoricalAccuracy"), its configuration, or itself.

    Functions ``fn(y_true, y_pred)`` are returned as they are.

    Raises
    ------
    ValueError
        For unknown names; the message proposes the nearest.
    TypeError
        For what can be no metric.
    """
    if identifier is None or isinstance(identifier, Metric):
        return identifier
    if isinstance(identifier, dict):
        if "class_name" not in identifier:
            raise ValueError(f"a metric's configuration is a dictionary with 'class_name' and 'config', "
                             f"got {identifier!r}.")
        return find("metric", identifier["class_name"], CLASSES).from_config(identifier.get("config", {}))
    if isinstance(identifier, type) and issubclass(identifier, Metric):
        raise TypeError(f"{identifier.__name__} is a class; give an instance: {identifier.__name__}().")
    if callable(identifier):
        return identifier
    return find("metric", identifier, NAMES)()
