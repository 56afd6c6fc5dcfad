"""What all losses share: labels beside predictions, weights, reductions."""

from __future__ import annotations

import numpy as np

from .. import ops
from ..config import floatx
from ..graph import Tensor, Variable, is_float, is_half
from ..ops.device import method_there
from ..utils.foreign import to_hosts
from ..utils.naming import snake_case

__all__ = ["Loss", "LossFunctionWrapper", "reduce_weighted"]

REDUCTIONS = ("sum_over_batch_size", "sum", "mean", "mean_with_sample_weight", "none", None)


def as_values(value):
    """Tensors and arrays as they are; numbers and lists as arrays, their floats in the default float type."""
    if isinstance(value, (Tensor, Variable, np.ndarray)):
        return value
    array = np.asarray(to_hosts(value))
    return array.astype(floatx()) if array.dtype.kind == "f" and not hasattr(value, "dtype") else array


def as_float(value, dtype=None):
    """The value in a float type: `dtype`, or its own if it is float32 or float64, or the default."""
    value = as_values(value)
    own = str(value.dtype)
    dtype = dtype or (own if is_float(own) and not is_half(own) else floatx())
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


def pair(name, y_true, y_pred, hint=""):
    """Labels and predictions in one float type and one shape, otherwise an error that names both shapes."""
    y_pred = as_float(y_pred)
    y_true, y_pred = match_ranks(as_float(y_true, str(y_pred.dtype)), y_pred)
    if tuple(y_true.shape) != tuple(y_pred.shape):
        raise ValueError(f"{name}: labels of shape {tuple(y_true.shape)} do not fit predictions of shape "
                         f"{tuple(y_pred.shape)}; they must be the same.{hint}")
    return y_true, y_pred


def check_fraction(name, value):
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not 0 <= value <= 1:
        raise ValueError(f"{name}={value!r} must be a number from 0 to 1.")


def check_axis(axis, y_pred):
    rank = len(y_pred.shape)
    if isinstance(axis, bool) or not isinstance(axis, int) or not -rank <= axis < rank:
        raise ValueError(f"axis={axis!r} must be an int that names one of the {rank} axes of the predictions "
                         f"(shape {tuple(y_pred.shape)}).")


def mean_last(values, axis=-1):
    return ops.mean(values, axis) if len(values.shape) else values


def returned(values, title):
    """What a function returned, if it is a tensor."""
    if not hasattr(values, "dtype"):
        hint = "; does it lack a `return`?" if values is None else ", not a tensor of one value per sample."
        raise TypeError(f"{title} returned {values!r}{hint}")
    return values


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
        Float type of the computation; default that of the predictions, for halves `pyconv.config.floatx()`.

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

    @method_there
    def __call__(self, y_true, y_pred, sample_weight=None):
        """The loss of a batch; of arrays that lie on a GPU it is computed and stays there.

        y_true, y_pred: tensors or arrays. sample_weight: (N,), or any shape that broadcasts to the losses.
        """
        y_true, y_pred = as_values(y_true), as_float(y_pred, self.dtype)
        values = self.call(y_true, y_pred)
        return reduce_weighted(values, sample_weight, self.mask(y_true, y_pred), self.reduction)

    def get_config(self) -> dict:
        """The arguments that make a loss like this one."""
        config = {"name": self.name, "reduction": self.reduction}
        return config if self.dtype is None else {**config, "dtype": self.dtype}

    @classmethod
    def from_config(cls, config: dict):
        return cls(**config)


class LossFunctionWrapper(Loss):
    """A Loss from a function ``fn(y_true, y_pred, **kwargs)`` that gives the losses of the samples."""

    def __init__(self, fn, reduction="sum_over_batch_size", name=None, dtype=None, **kwargs):
        super().__init__(name or getattr(fn, "__name__", None), reduction, dtype)
        self.fn, self.kwargs = fn, kwargs

    def call(self, y_true, y_pred):
        return returned(self.fn(y_true, y_pred, **self.kwargs), f"the loss {self.name!r}")

    def get_config(self):
        config = super().get_config()
        return config if type(self) is not LossFunctionWrapper else {**config, "fn": self.fn, **self.kwargs}


class LossWithArguments(LossFunctionWrapper):
    """A LossFunctionWrapper whose constructor takes the function's arguments: its configuration has them."""

    def get_config(self):
        return {**super().get_config(), **self.kwargs}
