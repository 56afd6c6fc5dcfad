"""What all metrics share: state in variables that the compiled step updates; sums and means."""

from __future__ import annotations

import numpy as np

from .. import ops
from ..config import floatx
from ..graph import Variable
from ..losses import as_float, as_values, match_ranks
from ..losses.loss import returned
from ..ops.device import method_there
from ..utils.naming import snake_case

__all__ = ["Mean", "MeanMetricWrapper", "Metric", "Sum"]


class Metric:
    """Base class. A subclass makes variables in `__init__`, and writes `update_state` and `result` with ops.

    Inside a traced step the updates become part of the program; outside they take place at once, on the GPU if the
    arrays lie there.

    Parameters
    ----------
    dtype: str, optional
        Float type of the state; default `pyconv.config.floatx()`.
    name: str, optional
    """

    direction = None       # "up" if larger is better, "down" if smaller is, None if it is not known

    def __init_subclass__(cls, **kwargs):
        super().__init_subclass__(**kwargs)
        if "update_state" in cls.__dict__:
            cls.update_state = method_there(cls.update_state)

    def __init__(self, dtype=None, name=None):
        self.name = name or snake_case(type(self).__name__)
        self.dtype = dtype or floatx()
        self._variables: list = []
        self._initial: list = []

    def add_variable(self, shape=(), initializer="zeros", dtype=None, aggregation=None, name="variable") -> Variable:
        """A state variable. initializer: "zeros", "ones", a number, or a function of (shape, dtype).

        aggregation: there for code written for Keras, and ignored.
        """
        dtype = dtype or self.dtype
        if callable(initializer):
            value = np.asarray(initializer(shape, dtype))
        else:
            value = np.full(shape, {"zeros": 0, "ones": 1}.get(initializer, initializer), dtype)
        variable = Variable(value, dtype, name=name, trainable=False, autocast=False)
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
        if weight.shape != values.shape:
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
            count = ops.sum(weight) if weight.shape else weight
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
        values = self.fn(as_values(y_true), as_values(y_pred), **self.kwargs)
        super().update_state(returned(values, f"the metric {self.name!r}"), sample_weight)

    def get_config(self):
        config = super().get_config()
        return {**config, "fn": self.fn, **self.kwargs} if type(self) is MeanMetricWrapper else {**config,
                                                                                               **self.kwargs}


def ratio(a, b):
    """``a / b``, and 0 where b is 0."""
    empty = ops.equal(b, 0.0)
    return ops.where(empty, 0.0, a / ops.where(empty, 1.0, b))
