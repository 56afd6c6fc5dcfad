"""Functions of `pyconv.ops` on arrays that lie on a GPU: computed there, by one program for the whole function."""

from __future__ import annotations

import functools

import numpy as np

from ..backends.residence import gathered
from ..graph import FunctionalTensor, Tensor, current_trace, flatten, map_structure, pack
from ..utils.foreign import is_foreign

__all__ = ["computed_there", "method_there"]

MOST_FUNCTIONS = 512
_functions: dict = {}           # (function, its arguments but for the arrays on GPUs) -> Function


class _Programs(dict):
    """Those of one object; a copy of the object begins without."""

    def __deepcopy__(self, memo):
        return _Programs()

    def __reduce__(self):
        return _Programs, ()


class _Array:
    def __repr__(self):
        return "array"


_ARRAY = _Array()


def method_there(method):
    """Make a method that is written with ops compute on the GPU that holds the arrays among its arguments.

    Its programs are the object's. The results are CuPy arrays, variables that it assigns have their new values there.
    """
    @functools.wraps(method)
    def wrapper(self, *args, **kwargs):
        leaves = flatten([list(args), kwargs])
        if any(map(is_foreign, leaves)) and current_trace() is None \
                and not any(isinstance(v, (Tensor, FunctionalTensor)) for v in leaves):
            functions = self.__dict__.setdefault("_functions_there", _Programs())
            found = computed_there(wrapper.__get__(self), args, kwargs, functions, getattr(self, "name", None))
            if found is not None:
                return found[0]
        return method(self, *args, **kwargs)
    return wrapper


def computed_there(function, args, kwargs, functions=_functions, name=None):
    """``function(*args, **kwargs)`` on the GPU that holds the arrays among the arguments; None if that is the host.

    The results are CuPy arrays, in a tuple of their own so that they differ from None. Errors as for `gathered`.
    functions: where the compiled function is kept. name: for messages; default the function's.
    """
    from .function import Function
    nest = [list(args), kwargs]
    leaves = flatten(nest)
    backend, values = gathered(leaves, name or function.__name__)
    if backend is None:
        return None
    arrays = [v for v in values if is_foreign(v)]           # nothing else is any more
    skeleton = map_structure(lambda leaf: _ARRAY if is_foreign(leaf) else leaf, pack(nest, values))
    key = function, backend.name, _hashable(skeleton)
    found = functions.get(key)
    if found is None:
        def run(*tensors):
            values = iter(tensors)
            run_args, run_kwargs = map_structure(lambda leaf: next(values) if leaf is _ARRAY else leaf, skeleton)
            return function(*run_args, **run_kwargs)
        found = functions[key] = Function(run)
        while len(functions) > MOST_FUNCTIONS:
            functions.pop(next(iter(functions)), None)
    program, structure = found.program(tuple(arrays), arrays)
    return (pack(structure, program(arrays)),)


def _hashable(value):
    """A key for a nest of arguments: equal ones have equal keys, and what cannot be compared has one of its own."""
    if isinstance(value, dict):
        return "d", tuple((k, _hashable(v)) for k, v in value.items())
    if isinstance(value, (list, tuple)):
        return type(value), tuple(map(_hashable, value))
    if isinstance(value, (np.ndarray, np.generic)):
        return value.dtype.str, value.shape, value.tobytes()
    try:
        hash(value)
    except TypeError:
        return "id", id(value), object()
    return type(value), value
