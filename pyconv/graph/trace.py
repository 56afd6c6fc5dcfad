"""Tracing: running Python code once on symbolic tensors to learn what it computes."""

from __future__ import annotations

import contextlib
import threading

from .dtypes import is_float, is_half
from .nest import flatten
from .tensor import Node, Spec, Tensor, constant, make_node, placeholder

_local = threading.local()


def current_trace() -> Trace | None:
    """The innermost trace under way in this thread."""
    stack = getattr(_local, "stack", None)
    return stack[-1] if stack else None


class Trace:
    """What happens besides the returned tensors while code is traced: reads and updates of variables, losses.

    A context manager. `training` tells layers which behaviour to take.
    """

    def __init__(self, training=False):
        self.training = training
        self.values: dict = {}     # variable -> its tensor as of now
        self.updates: dict = {}    # variable -> the tensor that the program leaves in it
        self.losses: list = []     # scalars added by layers
        self.layers: list = []     # the layers whose call is being traced, outermost first
        self.autocast = None       # the half type that variables are read in, see `autocast`
        self._casts: dict = {}     # (id of a variable's tensor, type) -> (it, the tensor in that type)
        self._numbers: dict = {}   # (a number's type, how it is written, element type) -> its constant

    def __enter__(self):
        if not hasattr(_local, "stack"):
            _local.stack = []
        _local.stack.append(self)
        return self

    def __exit__(self, *exc):
        _local.stack.remove(self)

    @staticmethod
    def initial(variable) -> Tensor:
        """The value that the variable has when the program begins."""
        return Node("variable", (), {"variable": variable}, [Spec(variable.shape, variable.dtype)]).output

    def read(self, variable, autocast=True) -> Tensor:
        """The variable's value; with `autocast`, a float in the half type of the layer that is being traced."""
        if variable not in self.values:
            self.values[variable] = self.initial(variable)
        value, dtype = self.values[variable], self.autocast
        if not autocast or dtype is None or not variable.autocast or not is_float(value.dtype):
            return value
        key = id(value), dtype              # one cast serves all that reads this value
        if key not in self._casts:
            self._casts[key] = value, make_node("cast", [value], {"dtype": dtype})
        return self._casts[key][1]

    def number(self, value, dtype) -> Tensor:
        """Python's number as a constant; one serves all that compute with it."""
        key = type(value), repr(value), dtype       # (0.0 and -0.0 are equal)
        if key not in self._numbers:
            self._numbers[key] = constant(value, dtype)
        return self._numbers[key]

    def update(self, variable, value) -> Tensor:
        if not isinstance(value, Tensor):
            value = self.read(value, False) if hasattr(value, "read") else constant(value, variable.dtype)
        if is_half(value.dtype) and is_float(variable.dtype):
            value = make_node("cast", [value], {"dtype": variable.dtype})
        if value.dtype != variable.dtype:
            raise TypeError(f"Variable {variable.path!r} is {variable.dtype}; a {value.dtype} value cannot be "
                            f"assigned to it without pyconv.ops.cast.")
        self.values[variable] = self.updates[variable] = value
        return value


@contextlib.contextmanager
def autocast(dtype):
    """In this context float variables are read in a half type, as tensors cast to it; None: in their own.

    It concerns the trace that is under way; outside of one it does nothing.
    """
    trace = current_trace()
    if trace is None:
        yield
        return
    before, trace.autocast = trace.autocast, dtype
    try:
        yield
    finally:
        trace.autocast = before


class Graph:
    """A traced computation: `inputs` (placeholders), `outputs`, and `updates` (pairs of variable and new value)."""

    def __init__(self, inputs, outputs, updates=()):
        self.inputs, self.outputs, self.updates = tuple(inputs), tuple(outputs), tuple(updates)
        self._nodes = None

    @property
    def results(self) -> tuple:
        return self.outputs + tuple(t for _, t in self.updates)

    def nodes(self) -> list[Node]:
        """All nodes that the results need, each after its inputs."""
        if self._nodes is None:          # several passes ask for them
            self._nodes = topological(self.results)
        return list(self._nodes)


def topological(tensors) -> list[Node]:
    """The nodes that `tensors` depend on, each once, inputs first, otherwise in depth-first order."""
    order, seen = [], set()
    stack = [t.node for t in reversed(list(tensors))]
    while stack:
        node = stack.pop()
        if node is None:            # all that the next one depends on is there
            order.append(stack.pop())
        elif id(node) not in seen:
            seen.add(id(node))
            if not node.inputs:
                order.append(node)
                continue
            stack += node, None
            for tensor in reversed(node.inputs):
                if id(tensor.node) not in seen:
                    stack.append(tensor.node)
    return order


def trace(function, specs, training=False) -> tuple[Graph, object]:
    """Run ``function(*placeholders)``; returns the graph and what the function returned (nested tensors).

    `specs` are (shape, dtype) pairs, or (shape, dtype, name).
    """
    inputs = [placeholder(*spec) for spec in specs]
    with Trace(training) as scope:
        result = function(*inputs)
        outputs = [t if isinstance(t, Tensor) else t.read() if hasattr(t, "read") else constant(t)
                   for t in flatten(result)]
    return Graph(inputs, outputs, scope.updates.items()), result

