"""Arrays with values that are known ahead: zeros, ones, ranges, triangles. In a program they are constants."""

from __future__ import annotations

import math

import numpy as np

from ..graph import FunctionalTensor, Tensor, canonical, is_half
from .base import as_array, convert, in_type, is_symbolic, operation, spec_of
from .elementwise import cast, where

__all__ = ["arange", "linspace", "zeros", "ones", "full", "eye", "identity", "tri", "zeros_like", "ones_like",
           "full_like", "tril", "triu", "convert_to_tensor", "convert_to_numpy", "is_tensor", "ndim", "size"]


def _type(dtype, value=0.0) -> str:
    from ..config import floatx
    if dtype is not None:
        return canonical(dtype)
    return "bool" if isinstance(value, (bool, np.bool_)) else "int32" if isinstance(value, (int, np.integer)) \
        else floatx()


def _shape(shape) -> tuple:
    return tuple(int(n) for n in (shape if isinstance(shape, (tuple, list)) else (shape,)))


def zeros(shape, dtype=None):
    """Zeros of `shape`; dtype: default `pyconv.config.floatx()`."""
    return in_type(np.zeros(_shape(shape)), _type(dtype))


def ones(shape, dtype=None):
    """Ones of `shape`; dtype: default `pyconv.config.floatx()`."""
    return in_type(np.ones(_shape(shape)), _type(dtype))


def full(shape, fill_value, dtype=None):
    """An array of `shape` with the same number everywhere; dtype: default that of the number."""
    return in_type(np.full(_shape(shape), fill_value), _type(dtype, fill_value))


def arange(start, stop=None, step=None, dtype=None):
    """The numbers from `start` (default 0, if only one is given) up to, not including, `stop`, `step` apart.

    dtype: default "int32" for ints, otherwise `pyconv.config.floatx()`.
    """
    given = [v for v in (start, stop, step) if v is not None]
    whole = all(isinstance(v, (int, np.integer)) for v in given)
    dtype = _type(dtype, 0 if whole else 0.0)
    return in_type(np.arange(*(start, stop) if stop is not None else (0, start), step or 1,
                             dtype="float32" if is_half(dtype) else dtype), dtype)


def linspace(start, stop, num=50, endpoint=True, retstep=False, dtype=None, axis=0):
    """`num` numbers from `start` to `stop`, evenly apart; without `endpoint` the last one is left out.

    start, stop: numbers or arrays. With `retstep` also the distance is returned. dtype: default
    `pyconv.config.floatx()`.
    """
    values, step = np.linspace(start, stop, num, endpoint, True, axis=axis)
    values = in_type(values, _type(dtype))
    return (values, step) if retstep else values


def eye(N, M=None, k=0, dtype=None):
    """A matrix (N, M) with ones on the k-th diagonal; M: default N, dtype: default `pyconv.config.floatx()`."""
    return in_type(np.eye(N, M, k), _type(dtype))


def identity(n, dtype=None):
    """The unit matrix (n, n)."""
    return eye(n, dtype=dtype)


def tri(N, M=None, k=0, dtype=None):
    """A matrix (N, M) with ones on the k-th diagonal and below."""
    return in_type(np.tri(N, M, k), _type(dtype))


@operation
def zeros_like(x, dtype=None):
    """Zeros with the shape, and unless `dtype` is given the type, of `x`."""
    return full_like(x, 0, dtype)


@operation
def ones_like(x, dtype=None):
    """Ones with the shape, and unless `dtype` is given the type, of `x`."""
    return full_like(x, 1, dtype)


@operation
def full_like(x, fill_value, dtype=None):
    """The same number everywhere, with the shape, and unless `dtype` is given the type, of `x`."""
    spec = spec_of(x)
    return in_type(np.full(spec.shape, fill_value), canonical(dtype or spec.dtype))


def _triangle(name, x, keep):
    shape = spec_of(x).shape
    if len(shape) < 2:
        raise ValueError(f"{name} needs at least 2 axes, got shape {shape}.")
    return where(keep(*shape[-2:]), x, full_like(x, 0))


@operation
def tril(x, k=0):
    """The matrices in the last two axes of `x` with zeros above the k-th diagonal."""
    return _triangle("tril", x, lambda n, m: np.tri(n, m, k, bool))


@operation
def triu(x, k=0):
    """The matrices in the last two axes of `x` with zeros below the k-th diagonal."""
    return _triangle("triu", x, lambda n, m: ~np.tri(n, m, k - 1, bool))


@operation
def convert_to_tensor(x, dtype=None):
    """`x` as something that every function here takes: tensors stay, variables are read, the rest becomes an array.

    dtype: the element type, default that of `x`; Python floats become `pyconv.config.floatx()`.
    """
    if dtype is None and isinstance(x, (float, list, tuple)) and np.asarray(x).dtype == "float64":
        dtype = _type(None)
    x = convert(x)
    x = x.value if hasattr(x, "assign") else x
    return x if dtype is None or spec_of(x).dtype == canonical(dtype) else cast(x, dtype)


def convert_to_numpy(x) -> np.ndarray:
    """The values of an array or variable as a NumPy array; TypeError while a model is traced, where there are none."""
    if is_symbolic(x):
        raise TypeError("convert_to_numpy: a symbolic tensor has no value while a model is being traced.")
    return as_array(x)


def is_tensor(x) -> bool:
    """Whether `x` is an array or a symbolic tensor, and not a plain Python value."""
    return isinstance(x, (np.ndarray, Tensor, FunctionalTensor))


def ndim(x) -> int:
    """The number of axes of a tensor or array."""
    return len(x.shape) if hasattr(x, "shape") else np.ndim(x)


def size(x) -> int:
    """The number of elements of a tensor or array (None if an axis is open)."""
    shape = x.shape if hasattr(x, "shape") else np.shape(x)
    return None if None in shape else math.prod(shape)
