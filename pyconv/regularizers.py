"""Penalties on weights that are added to the loss."""

from __future__ import annotations

from . import ops
from .utils.configurable import Configurable, lookup
from .utils.configurable import serialize as serialize

__all__ = ["Regularizer", "L1", "L2", "L1L2", "l1", "l2", "l1_l2", "get", "serialize", "deserialize"]


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


l1, l2 = L1, L2


def l1_l2(l1=0.01, l2=0.01):
    """An `L1L2` with both penalties, 0.01 by default."""
    return L1L2(l1, l2)


def get(identifier):
    """A regularizer from a name ("l2"), a configuration, a class or a callable."""
    return lookup("regularizer", identifier, {"l1_l2": L1L2, **Regularizer.family})


def deserialize(config):
    """The regularizer that `serialize` described."""
    return get(config)
