"""Symbolic tensors, the nodes that produce them, and the registry of ops.

A `Tensor` stands for an array of known shape and element type that a program will compute. It is the output of
a `Node`: an op, its input tensors and its static attributes. Nothing here holds data, apart from constants.
"""

from __future__ import annotations

import contextlib
import math
import threading
from typing import NamedTuple

import numpy as np

from ..utils.foreign import PLAIN, to_hosts
from .dtypes import as_dtype, canonical

__all__ = ["Op", "REGISTRY", "Spec", "Tensor", "Node", "Operators", "constant", "placeholder", "make_node"]


class Spec(NamedTuple):
    """Shape (a tuple of ints) and element type (a name) of a tensor."""

    shape: tuple
    dtype: str


REGISTRY: dict[str, Op] = {}


class Op:
    """One operation on tensors, declared once. A subclass registers an instance of itself under `name`.

    `infer` is the shape and type rule, and raises ValueError or TypeError for arguments that do not fit.
    `gradient` writes the derivative in terms of other ops. `draw` makes valid arguments for the tests.
    The arithmetic stands under the same name in each backend.
    """

    name: str = ""
    differentiable = True    # False: the derivative is zero everywhere (comparisons, argmax, integers)

    def __init_subclass__(cls):
        if cls.name:
            REGISTRY[cls.name] = cls()

    def infer(self, *inputs: Spec, **attrs) -> Spec:
        """The `Spec` of the result, or a tuple of them, from those of the inputs and the attributes."""
        raise NotImplementedError

    def gradient(self, node: Node, grad: Tensor) -> tuple:
        """The gradients for `node.inputs` (None where there is none), given that of the output."""
        raise NotImplementedError(f"{self.name} has no derivative of its own; it cannot be differentiated.")

    def draw(self, draw, kit):
        """Arguments for a test: ``(arrays, attrs)``.

        `draw` is hypothesis's; `kit` is `pyconv.testing.strategies`, passed in so that hypothesis is only
        imported by tests.
        """
        raise NotImplementedError


# NumPy's name of an operator -> ours
_OF_NUMPY = {"add": "add", "subtract": "sub", "multiply": "mul", "divide": "truediv", "power": "pow",
             "matmul": "matmul", "less": "lt", "less_equal": "le", "greater": "gt", "greater_equal": "ge",
             "bitwise_and": "and", "bitwise_or": "or"}


class Operators:
    """Python's operators on anything that stands for a tensor; `pyconv.ops` fills in the functions."""

    __slots__ = ()

    functions: dict = {}      # operator name -> function, filled by pyconv.ops

    def __bool__(self):
        raise TypeError("A symbolic tensor has no value while a model is being traced, so it cannot decide an `if` "
                        "or a `while`. Use pyconv.ops.where(condition, a, b) instead.")

    def __array__(self, *args, **kwargs):
        raise TypeError("A symbolic tensor has no value while a model is being traced, so NumPy cannot read it. "
                        "Use the function of the same name in pyconv.ops.")

    def __array_ufunc__(self, ufunc, method, *inputs, **kwargs):
        """`array + tensor` and the like are as `tensor + array`; `array += tensor` gives a new tensor."""
        name = _OF_NUMPY.get(ufunc.__name__)
        if method == "__call__" and name and set(kwargs) <= {"out"}:
            return Operators.functions[name](*inputs)
        raise TypeError(f"NumPy's {ufunc.__name__} cannot compute with a symbolic tensor, which has no value while a "
                        "model is being traced. Use the function of the same name in pyconv.ops.")

    def __len__(self):
        if not self.shape:
            raise TypeError("len() of a tensor without axes")
        return self.shape[0]

    def __iter__(self):
        return (self[i] for i in range(len(self)))

    @property
    def ndim(self):
        return len(self.shape)

    @property
    def size(self):
        return math.prod(self.shape)


def _install(names, reverse):
    for name in names:
        def method(self, other, name=name):
            return Operators.functions[name](self, other)
        setattr(Operators, f"__{name}__", method)
        if reverse:
            def method(self, other, name=name):
                return Operators.functions[name](other, self)
            setattr(Operators, f"__r{name}__", method)


_install(("add", "sub", "mul", "truediv", "pow", "matmul"), reverse=True)
_install(("lt", "le", "gt", "ge", "getitem", "and", "or"), reverse=False)
for _name in ("neg", "abs", "invert"):
    setattr(Operators, f"__{_name}__", lambda self, name=_name: Operators.functions[name](self))


class Tensor(Operators):
    """A symbolic array: `shape` (tuple of ints), `dtype` (a name), both in `spec`, and the `node` it comes from."""

    __slots__ = ("node", "index", "spec", "shape", "dtype")

    def __init__(self, node, index, spec):
        self.node, self.index, self.spec = node, index, spec
        self.shape, self.dtype = spec

    def __repr__(self):
        return f"<Tensor {self.node.op} {self.shape} {self.dtype}>"


class Node:
    """An op applied: `op` (its name), `inputs` (tensors), `attrs` (static, hashable), `outputs` (tensors)."""

    __slots__ = ("op", "inputs", "attrs", "outputs", "output", "layer")

    def __init__(self, op, inputs, attrs, specs, layer=None):
        self.op, self.inputs, self.attrs, self.layer = op, tuple(inputs), attrs, layer
        self.output = Tensor(self, 0, specs[0])        # the first, most often the only one
        self.outputs = (self.output, *[Tensor(self, i, specs[i]) for i in range(1, len(specs))]) \
            if len(specs) > 1 else (self.output,)

    def __repr__(self):
        return f"<Node {self.op} {self.attrs} -> {', '.join(str(t.shape) for t in self.outputs)}>"


PLAIN.add(Tensor)

# Leaves: tensors that no op computes.
LEAVES = ("placeholder", "constant", "variable")


def placeholder(shape, dtype, name="input") -> Tensor:
    """A tensor whose array is given when the program runs."""
    return Node("placeholder", (), {"name": name}, [Spec(tuple(shape), canonical(dtype))]).output


class Constant:
    """An array inside a graph; equal to another if all bytes are. Numbers of bfloat16 are in a float32 array."""

    __slots__ = ("array", "_hash")

    def __init__(self, array):
        self.array = array
        self._hash = None

    def __hash__(self):
        if self._hash is None:
            self._hash = hash((self.array.dtype.str, self.array.shape, self.array.tobytes()))
        return self._hash

    def __eq__(self, other):
        a, b = self.array, other.array
        return a is b or (a.dtype == b.dtype and a.shape == b.shape and a.tobytes() == b.tobytes())


def constant(value, dtype=None) -> Tensor:
    """A tensor with a fixed value. The array is copied, so that later changes to it do not matter."""
    array = np.array(to_hosts(value))
    dtype = canonical(dtype or array.dtype)
    array = as_dtype(array, dtype)
    array.flags.writeable = False
    return Node("constant", (), {"value": Constant(array)}, [Spec(array.shape, dtype)]).output


class _Label(threading.local):
    layer = None


_label = _Label()


@contextlib.contextmanager
def labelled(layer):
    """In this context new nodes belong to `layer`, a name; with ' behind it they are part of its gradient."""
    before, _label.layer = _label.layer, layer
    try:
        yield
    finally:
        _label.layer = before


def make_node(name, inputs, attrs, layer=None):
    """Record op `name` on symbolic `inputs`; returns its output, or a tuple if there are several."""
    specs = REGISTRY[name].infer(*[t.spec for t in inputs], **attrs)
    several = not isinstance(specs, Spec)
    node = Node(name, inputs, attrs, specs if several else [specs], layer or _label.layer)
    return node.outputs if several else node.output
