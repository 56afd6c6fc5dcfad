"""Functions of `pyconv.ops` on arrays that lie on a GPU: computed there, by one program for the whole function."""

from __future__ import annotations

import numpy as np

from ..backends.residence import gathered
from ..graph import flatten, map_structure, pack
from ..utils.foreign import is_foreign

__all__ = ["computed_there"]

MOST_FUNCTIONS = 512
_functions: dict = {}           # (function, its arguments but for the arrays on GPUs) -> Function


class _Array:
    def __repr__(self):
        return "array"


_ARRAY = _Array()


def computed_there(function, args, kwargs):
    """``function(*args, **kwargs)`` on the GPU that holds the arrays among the arguments; None if that is the host.

    The results are CuPy arrays, in a tuple of their own so that they differ from None. Errors as for `gathered`.
    """
    from .function import Function
    nest = [list(args), kwargs]
    leaves = flatten(nest)
    backend, values = gathered(leaves, function.__name__)
    if backend is None:
        return None
    arrays = [v for v in values if is_foreign(v)]           # nothing else is any more
    skeleton = map_structure(lambda leaf: _ARRAY if is_foreign(leaf) else leaf, pack(nest, values))
    key = function, backend.name, _hashable(skeleton)
    found = _functions.get(key)
    if found is None:
        def run(*tensors):
            values = iter(tensors)
            run_args, run_kwargs = map_structure(lambda leaf: next(values) if leaf is _ARRAY else leaf, skeleton)
            return function(*run_args, **run_kwargs)
        found = _functions[key] = Function(run)
        while len(_functions) > MOST_FUNCTIONS:
            _functions.pop(next(iter(_functions)), None)
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
