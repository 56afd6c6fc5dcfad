"""Limits that weights keep: applied to each weight after the optimizer's update."""

from __future__ import annotations

from . import ops
from .config import epsilon
from .utils.configurable import Configurable, describe, lookup
from .utils.configurable import serialize as _serialize
from .utils.registry import CustomObjectScope

__all__ = ["Constraint", "MaxNorm", "MinMaxNorm", "NonNeg", "UnitNorm", "max_norm", "min_max_norm", "non_neg",
           "unit_norm", "get", "serialize", "deserialize"]


class Constraint(Configurable):
    """Base of all constraints. A subclass defines ``__call__(self, w)``, the projected weight, with
    `pyconv.ops`."""

    def __call__(self, w):
        raise NotImplementedError(f"{type(self).__name__} defines no __call__(self, w).")

    def _axes(self, axis):
        axes = axis if isinstance(axis, (tuple, list)) else (axis,)
        if not axes or any(isinstance(a, bool) or not isinstance(a, int) for a in axes):
            raise TypeError(f"{type(self).__name__}: axis must be an int or a tuple of ints, got "
                            f"{describe(axis)}.")
        return axis


def _norms(w, axis):
    return ops.sqrt(ops.sum(ops.square(w), axis, keepdims=True))


class MaxNorm(Constraint):
    """Weights along `axis` (default 0) are scaled down to a norm of `max_value` (default 2) where it is
    larger.

    For a convolution's kernel in (height, width, channels, filters), axis=(0, 1, 2) limits each filter's
    norm. Source: Srivastava et al., *Dropout*, 2014.
    """

    def __init__(self, max_value=2, axis=0):
        self.max_value, self.axis = self._number("max_value", max_value, 0), self._axes(axis)

    def __call__(self, w):
        norms = _norms(w, self.axis)
        return w * (ops.clip(norms, 0.0, float(self.max_value)) / (norms + epsilon()))


class MinMaxNorm(Constraint):
    """Weights along `axis` are scaled to a norm between `min_value` and `max_value`.

    rate: how far towards it each update goes; default 1, all the way.
    """

    def __init__(self, min_value=0.0, max_value=1.0, rate=1.0, axis=0):
        self.min_value = self._number("min_value", min_value, 0)
        self.max_value = self._number("max_value", max_value, 0)
        self.rate, self.axis = self._number("rate", rate, 0), self._axes(axis)

    def __call__(self, w):
        norms = _norms(w, self.axis)
        limited = ops.clip(norms, float(self.min_value), float(self.max_value))
        wanted = self.rate * limited + (1.0 - self.rate) * norms
        return w * (wanted / (norms + epsilon()))


class NonNeg(Constraint):
    """Negative weights become 0."""

    def __call__(self, w):
        return ops.maximum(w, 0.0)


class UnitNorm(Constraint):
    """Weights along `axis` (default 0) are scaled to a norm of 1."""

    def __init__(self, axis=0):
        self.axis = self._axes(axis)

    def __call__(self, w):
        return w / (_norms(w, self.axis) + epsilon())


max_norm, min_max_norm, non_neg, unit_norm = MaxNorm, MinMaxNorm, NonNeg, UnitNorm


def get(identifier):
    """A constraint from a name ("non_neg"), a configuration, a class or a callable."""
    return lookup("constraint", identifier, Constraint.family)


def serialize(constraint):
    """A constraint as a dictionary of its class name and configuration; a function as its name."""
    return _serialize(constraint)


def deserialize(config, custom_objects=None):
    """The constraint that `serialize` described. custom_objects: dict, name -> class or function of one's own."""
    with CustomObjectScope(custom_objects):
        return get(config)
