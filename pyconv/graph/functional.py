"""Tensors of the functional API: shapes may be open (None), and each remembers the call that made it.

Keras's functional API calls layers on such tensors. A call is recorded as it was made, layer or function, and made
again on concrete tensors whenever a model is traced: Python code inside a layer never meets an open dimension.
"""

from __future__ import annotations

from .dtypes import canonical
from .nest import flatten, map_structure
from .tensor import Operators
from .trace import trace

# What stands in for open dimensions while the shape of a result is found out. Two runs with different numbers tell
# which result dimensions are open. The sizes divide by the strides of deep networks; nothing is computed.
BATCH = (6, 12)
OTHER = (960, 1920)


class FunctionalTensor(Operators):
    """A tensor with open dimensions: `shape` (ints or None), `dtype`, `name`, and its `call` (None for an input)."""

    __slots__ = ("shape", "dtype", "name", "call", "index")

    def __init__(self, shape, dtype, name=None, call=None, index=0):
        self.shape, self.dtype, self.name = tuple(shape), canonical(dtype), name
        self.call, self.index = call, index

    def __repr__(self):
        return f"<FunctionalTensor {self.shape} {self.dtype}{f' {self.name}' if self.name else ''}>"


class Call:
    """A recorded call: `target` (a layer or a function of pyconv.ops), arguments, and the nest of its results."""

    __slots__ = ("target", "args", "kwargs", "results")

    def __init__(self, target, args, kwargs):
        self.target, self.args, self.kwargs = target, args, kwargs
        self.results = None

    @property
    def inputs(self) -> list[FunctionalTensor]:
        return [t for t in flatten([list(self.args), self.kwargs]) if isinstance(t, FunctionalTensor)]

    def __call__(self, values: dict):
        """Make the call again, each FunctionalTensor replaced by ``values[id(tensor)]``."""
        def replace(leaf):
            return values[id(leaf)] if isinstance(leaf, FunctionalTensor) else leaf
        return self.target(*map_structure(replace, tuple(self.args)), **map_structure(replace, self.kwargs))


def is_functional(args, kwargs=None) -> bool:
    return any(isinstance(v, FunctionalTensor) or isinstance(v, (tuple, list, dict)) and is_functional(v)
               for v in (args.values() if isinstance(args, dict) else args)) or bool(kwargs) and is_functional(kwargs)


def filled(shape, k) -> tuple:
    """The shape with the open dimensions filled in, in the k-th way."""
    return tuple((BATCH if axis == 0 else OTHER)[k] if n is None else n for axis, n in enumerate(shape))


def infer(target, args, kwargs):
    """The nest of (shape, dtype) that calling `target` gives; shapes have None where the inputs' open ones show."""
    inputs = Call(target, args, kwargs).inputs
    found = []
    for k in (0, 1) if any(None in t.shape for t in inputs) else (0,):
        specs = [(filled(t.shape, k), t.dtype) for t in inputs]

        def run(*tensors):
            return Call(target, args, kwargs)(dict(zip(map(id, inputs), tensors, strict=True)))
        found.append(trace(run, specs)[1])
    first, last = flatten(found[0]), flatten(found[-1])
    shapes = iter([(tuple(a if a == b else None for a, b in zip(s.shape, t.shape, strict=True)), s.dtype)
                   for s, t in zip(first, last, strict=True)])
    return map_structure(lambda _: FunctionalTensor(*next(shapes)), found[0])


def record(target, args, kwargs):
    """Record a call and return the nest of FunctionalTensors that it gives."""
    call = Call(target, args, kwargs)
    call.results = infer(target, args, kwargs)
    for index, tensor in enumerate(flatten(call.results)):
        tensor.call, tensor.index = call, index
    return call.results


