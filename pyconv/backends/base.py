"""What a backend is."""

from __future__ import annotations

import numpy as np

from .. import config
from ..graph import Graph, Spec, constant, has_halves, make_node, placeholder, widen


class Program:
    """A compiled graph. Call it with one array per input; it returns the outputs as new NumPy arrays.

    Arrays must have the shape and element type of the placeholders, except that with `rows` (an int64 array as
    long as the batch) they may have more rows, of which ``array[rows]`` are taken. Updates of variables take place
    together at the end; if the run raises an error, no variable has changed.
    """

    # Whether a call takes `ahead`, the (arrays, rows) of the call after it or a function that gives them, to bring
    # these to its device meanwhile; and `on_host`, for NumPy arrays as results wherever the inputs are.
    looks_ahead = False

    def __call__(self, arrays, rows=None) -> list[np.ndarray]:
        raise NotImplementedError


class WideProgram(Program):
    """A program with halves on a backend that has none: float32 inside, rounded after each op (`graph.widen`).

    float16 arrays come and go as such; the place of bfloat16 is taken by float32.
    """

    def __init__(self, graph: Graph, program: Program):
        self.program = program
        self.given = [t.dtype == "float16" for t in graph.inputs]
        self.wanted = [t.dtype == "float16" for t in graph.outputs]

    def __call__(self, arrays, rows=None):
        if any(self.given) and rows is not None:
            arrays, rows = [a[rows] for a in arrays], None
        arrays = [a.astype("float32") if half else a for a, half in zip(arrays, self.given, strict=True)]
        return [a.astype("float16") if half else a
                for a, half in zip(self.program(arrays, rows), self.wanted, strict=True)]

    def __getattr__(self, name):
        return getattr(self.program, name)


class Backend:
    """Turns graphs into programs."""

    name = ""
    prepares = False       # whether programs compute what follows from weights alone once, until a weight changes

    def compile(self, graph: Graph) -> Program:
        """The program of a graph, which may have halves."""
        return WideProgram(graph, self.make(widen(graph))) if has_halves(graph) else self.make(graph)

    def make(self, graph: Graph) -> Program:
        """The program of a graph in types that the backend stores."""
        raise NotImplementedError

    def __init__(self):
        self._single = {}      # programs of a single op, for arrays outside of any model

    def supports(self, name: str) -> bool:
        """Whether op `name` of the registry has a kernel here."""
        raise NotImplementedError

    def execute(self, name, arrays, attrs):
        """One op on arrays, at once. Returns an array, or a tuple if the op has several outputs.

        Programs take C-ordered, aligned arrays in this machine's byte order; any others are copied first.
        """
        arrays = [np.require(a, a.dtype.newbyteorder("="), ["C", "A"]) for a in arrays]
        specs = tuple(Spec(a.shape, a.dtype.name) for a in arrays)
        key = (name, specs, tuple(sorted(attrs.items())), config.conv_algorithm())
        found = self._single.get(key)
        if found is None:
            inputs = [placeholder(*spec) for spec in specs]
            result = make_node(name, inputs, attrs) if inputs else constant(0)
            outputs = result if isinstance(result, tuple) else (result,)
            found = self._single[key] = self.compile(Graph(inputs, outputs)), isinstance(result, tuple)
            while len(self._single) > 256:
                self._single.pop(next(iter(self._single)), None)
        program, several = found
        outputs = program(arrays)
        return tuple(outputs) if several else outputs[0]
