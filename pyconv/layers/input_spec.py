"""What a layer expects of its inputs, and how shapes are written in messages."""

from __future__ import annotations

import numpy as np

from ..graph import FunctionalTensor, Tensor, Variable

__all__ = ["InputSpec", "is_data", "is_shape", "shape_of", "show"]


class InputSpec:
    """The rank, shape or sizes that an input must have; what is None is not checked.

    Parameters
    ----------
    dtype: str, optional
        Element type.
    shape: tuple, optional
        Sizes of all axes, None where any will do.
    ndim, min_ndim, max_ndim: int, optional
        Exact, smallest and largest number of axes.
    axes: dict, optional
        Axis -> size.
    """

    def __init__(self, dtype=None, shape=None, ndim=None, max_ndim=None, min_ndim=None, axes=None,
                 optional=False):
        self.dtype, self.optional = dtype, optional
        self.shape = None if shape is None else tuple(shape)
        self.ndim = len(self.shape) if shape is not None else ndim
        self.min_ndim, self.max_ndim = min_ndim, max_ndim
        self.axes = {int(k): v for k, v in (axes or {}).items()}

    def problem(self, shape, dtype) -> str | None:
        """What is wrong with an input, as the end of the sentence "expects ...", or None."""
        rank = len(shape)
        if self.ndim is not None and rank != self.ndim:
            return f"an input with {self.ndim} axes{self._like()}, got {rank}"
        if self.min_ndim is not None and rank < self.min_ndim:
            return f"an input with at least {self.min_ndim} axes, got {rank}"
        if self.max_ndim is not None and rank > self.max_ndim:
            return f"an input with at most {self.max_ndim} axes, got {rank}"
        if self.dtype is not None and dtype != self.dtype:
            return f"an input of type {self.dtype}, got {dtype}"
        for axis, size in [*enumerate(self.shape or ()), *self.axes.items()]:
            if not -rank <= axis < rank:
                return f"an input with an axis {axis}, got {rank} axes"
            if size is not None and shape[axis] is not None and shape[axis] != size:
                return f"an input with {size} elements along axis {axis}, got {shape[axis]}"
        return None

    def _like(self):
        return f" {show(self.shape)}" if self.shape else ""


def is_data(value) -> bool:
    """Whether a leaf of a call's arguments is a tensor or an array, and not a plain Python value."""
    return isinstance(value, (np.ndarray, np.generic, Tensor, FunctionalTensor, Variable)) \
        or (hasattr(value, "__array__") and hasattr(value, "shape"))


def is_shape(value) -> bool:
    """Whether a value is one shape, such as ``(None, 28, 28, 1)``, and not a nest of shapes."""
    return isinstance(value, (tuple, list)) and all(n is None or isinstance(n, (int, np.integer))
                                                    for n in value)


def shape_of(value) -> tuple:
    return tuple(value.shape) if hasattr(value, "shape") else np.shape(value)


def show(shape) -> str:
    """A shape, or a nest of shapes, as a message shows it."""
    if isinstance(shape, dict):
        return "{" + ", ".join(f"{k!r}: {show(v)}" for k, v in shape.items()) + "}"
    if is_shape(shape):
        return f"({', '.join(map(str, shape))}{',' if len(shape) == 1 else ''})"
    return f"[{', '.join(map(show, shape))}]" if isinstance(shape, (tuple, list)) else repr(shape)
