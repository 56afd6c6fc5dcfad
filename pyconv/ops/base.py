"""How a function of `pyconv.ops` runs: recorded on symbolic tensors, computed at once on arrays."""

from __future__ import annotations

import functools

import numpy as np

from .. import backends
from ..graph import (FunctionalTensor, Spec, Tensor, Variable, canonical, constant, current_trace, flatten,
                     is_float, is_functional, is_half, make_node, promote, record)
from ..graph.dtypes import as_dtype
from ..utils.foreign import PLAIN, is_foreign, to_host, to_hosts

__all__ = ["apply", "in_type", "operation", "precisely", "as_tensor", "spec_of", "match", "canonical_axis",
           "canonical_axes", "is_symbolic"]


def is_symbolic(*values) -> bool:
    """Whether any value is a tensor without data, so that the call must be recorded."""
    return any(isinstance(v, (Tensor, FunctionalTensor)) or (isinstance(v, Variable) and current_trace() is not None)
               for v in values)


def operation(function):
    """Make a function part of `pyconv.ops`: on a FunctionalTensor the call itself is recorded.

    Arrays that lie on a GPU are computed with there, and give CuPy's; those of other libraries in the host's memory are
    taken as NumPy's.
    """
    @functools.wraps(function)
    def wrapper(*args, **kwargs):
        if PLAIN.issuperset(map(type, (*args, *kwargs.values()))):
            return function(*args, **kwargs)
        if is_functional(args, kwargs):
            return record(wrapper, args, kwargs)
        if any(map(_holds_foreign, args)) or kwargs and any(map(_holds_foreign, kwargs.values())):
            if current_trace() is None and not is_symbolic(*flatten([list(args), kwargs])):
                from .device import computed_there
                found = computed_there(wrapper, args, kwargs)
                if found is not None:
                    return found[0]
            args, kwargs = [to_hosts(v) for v in args], {k: to_hosts(v) for k, v in kwargs.items()}
        return function(*args, **kwargs)
    return wrapper


def _holds_foreign(value) -> bool:
    return any(map(is_foreign, value)) if isinstance(value, (list, tuple)) else is_foreign(value)


def precisely(function):
    """Make a function of a tensor compute float16 and bfloat16 in float32, and round its result alone.

    For sums of many terms and the functions made of them: their terms or sums may be too large or small for a half.
    """
    @functools.wraps(function)
    def wrapper(x, *args, **kwargs):
        dtype = spec_of(x).dtype if hasattr(x, "dtype") else None
        if dtype is None or not is_half(dtype):
            return function(x, *args, **kwargs)
        return apply("cast", function(apply("cast", x, dtype="float32"), *args, **kwargs), dtype=dtype)
    return wrapper


def apply(name: str, *inputs, **attrs):
    """Op `name` of the registry on `inputs`; `attrs` are its static attributes (hashable).

    Symbolic inputs record a node and give a `Tensor`; arrays are computed by the current backend.
    """
    if is_symbolic(*inputs):
        return make_node(name, [as_tensor(v) for v in inputs], attrs)
    return backends.current().execute(name, [as_array(v) for v in inputs], attrs)


def as_array(value) -> np.ndarray:
    """A value as an array of a type that pyconv computes with."""
    array = value.peek() if isinstance(value, Variable) else np.asarray(to_host(value) if is_foreign(value) else value)
    name = canonical(array.dtype)
    return array if array.dtype.isnative else array.astype(name)


def as_tensor(value) -> Tensor:
    """A value as a symbolic tensor: variables are read, arrays and numbers become constants."""
    if isinstance(value, Tensor):
        return value
    if isinstance(value, Variable):
        return value.read()
    return constant(value)


def convert(value):
    """A tensor as it is if it is symbolic or a variable, otherwise an array."""
    return value if isinstance(value, (Tensor, Variable)) else as_array(value)


def in_type(array, dtype):
    """An array of an element type; NumPy has no bfloat16, so that this becomes a symbolic constant, or float32."""
    return constant(array, dtype) if dtype == "bfloat16" and current_trace() is not None else as_dtype(array, dtype)


def spec_of(value) -> Spec:
    if isinstance(value, (Tensor, Variable)):
        return value.spec
    if is_foreign(value):
        return Spec(tuple(value.shape), canonical(str(value.dtype).rpartition(".")[2]))
    array = np.asarray(value)
    return Spec(array.shape, canonical(array.dtype))


def match(*values) -> tuple:
    """The values with one element type. Python numbers, and lists of them, take the type of the tensors beside them."""
    from ..config import floatx
    if all(isinstance(v, Tensor) and v.dtype == values[0].dtype for v in values):
        return values
    values = [_Weak(as_array(v)) if _is_list(v) else v for v in values]
    scope = current_trace()
    if scope is not None:
        values = [v.read() if isinstance(v, Variable) else v for v in values]
        symbolic = any(isinstance(v, Tensor) for v in values)
    weak = [isinstance(v, (bool, int, float, _Weak)) for v in values]
    strong = [spec_of(v).dtype for v, w in zip(values, weak, strict=True) if not w]
    if strong:
        dtype = promote(*strong)
        if any(_is_weak_float(v) for v in values) and not is_float(dtype):
            dtype = floatx()
        elif dtype == "bool" and any(w and not isinstance(v, bool) for v, w in zip(values, weak, strict=True)):
            dtype = "int32"
    else:
        dtype = floatx() if any(_is_weak_float(v) for v in values) else "int32"
    out = []
    for value in values:
        if isinstance(value, (Tensor, Variable)):
            value = convert(value)
            out.append(value if value.dtype == dtype else apply("cast", value, dtype=dtype))
        elif scope is not None and symbolic and isinstance(value, (bool, int, float)):
            out.append(scope.number(value, dtype))
        else:
            array = np.asarray(value.array if isinstance(value, _Weak) else value)
            out.append(in_type(array, dtype))
    return tuple(out)


class _Weak:
    """The array of a list of Python numbers, whose type gives way to that of tensors."""

    def __init__(self, array):
        self.array = array


def _is_list(value) -> bool:
    return isinstance(value, (list, tuple)) and not is_symbolic(*value)


def _is_weak_float(value) -> bool:
    return isinstance(value, float) or (isinstance(value, _Weak) and value.array.dtype.kind == "f")


def canonical_axis(axis, rank, what="axis") -> int:
    if not isinstance(axis, (int, np.integer)) or isinstance(axis, bool):
        raise TypeError(f"{what} must be an int, got {axis!r}")
    if not -rank <= axis < rank:
        raise ValueError(f"{what}={axis} does not exist in a tensor with {rank} axes; expected "
                         f"{-rank} to {rank - 1}." if rank else f"{what}={axis} given, but the tensor has no axes.")
    return int(axis) % rank


def canonical_axes(axis, rank) -> tuple:
    """Axes as a sorted tuple of non-negative ints; None means all."""
    if axis is None:
        return tuple(range(rank))
    axes = tuple(canonical_axis(a, rank) for a in (axis if isinstance(axis, (tuple, list)) else (axis,)))
    if len(set(axes)) != len(axes):
        raise ValueError(f"axis={axis} names an axis twice")
    return tuple(sorted(axes))
