"""`check_op`: what every function of tensors should do, and every op of the registry."""

from __future__ import annotations

import random

import numpy as np

from .. import backends, config
from ..graph import REGISTRY, Graph, flatten, is_float, simplify, trace
from ..layers.input_spec import is_shape
from ..ops.base import apply
from ..ops.function import Function
from ..utils.configurable import describe
from ..utils.naming import unknown
from .gradients import check_gradients, with_gradients
from .optional import strategies as st
from .properties import NotApplicable, Property, available_backends, close, run, same_bits, selected
from .strategies import arguments as op_arguments
from .strategies import arrays, layouts

__all__ = ["OP_PROPERTIES", "check_op"]


class OpCase:
    """A function, the arrays to call it with (floats in float64), its other arguments, and what to compare with."""

    def __init__(self, function, arrays, attributes, options):
        self.function, self.arrays, self.attributes = function, arrays, attributes
        self.name, self.reference, self.backends, self.rtol = options

    def __str__(self):
        given = [f"{a.dtype} {a.shape}" for a in self.arrays] + [f"{k}={v!r}" for k, v in self.attributes.items()]
        values = ", ".join(np.array2string(a, precision=4, threshold=6, separator=", ").replace("\n", "")
                           for a in self.arrays)
        return f"{self.name}({', '.join(given)}) with {values if len(values) < 200 else values[:197] + '...'}"

    def call(self, *tensors):
        return self.function(*tensors, **self.attributes)

    def inputs(self, dtype="float64"):
        """New arrays, floats as `dtype`."""
        return [a.astype(dtype) if is_float(a.dtype.name) else a.copy() for a in self.arrays]

    def eager(self, inputs):
        return [np.asarray(y) for y in flatten(self.call(*inputs))]

    def compiled(self, inputs):
        return [np.asarray(y) for y in flatten(Function(self.call)(*inputs))]

    def gradients(self, inputs, backend):
        def weighted(*tensors):
            return with_gradients(self.call, tensors, [], np.random.default_rng(0))
        graph, _ = trace(weighted, [(a.shape, a.dtype.name) for a in inputs])
        return backend.compile(simplify(Graph(graph.inputs, graph.outputs)))(inputs)

    def need_floats(self):
        if not any(is_float(a.dtype.name) for a in self.arrays):
            raise NotApplicable("no input is a float")
        if not any(is_float(a.dtype.name) for a in self.eager(self.inputs())):
            raise NotApplicable("no output is a float")


# ---- properties

def call(case):
    for dtype in ("float64", "float32"):
        case.eager(case.inputs(dtype))
        case.compiled(case.inputs(dtype))


def traced(case):
    close(case.compiled(case.inputs()), case.eager(case.inputs()), "traced and compiled, not on arrays", case.rtol)


def reference(case):
    expected = case.reference(*case.inputs(), **case.attributes)
    close(case.compiled(case.inputs()), [np.asarray(y) for y in flatten(expected)], "compared with the reference",
          case.rtol)


def shape(case):
    graph, _ = trace(case.call, [(a.shape, a.dtype.name) for a in case.arrays])
    found, expected = [t.spec for t in graph.outputs], case.eager(case.inputs())
    if [tuple(s) for s in found] != [(y.shape, y.dtype.name) for y in expected]:
        raise AssertionError(f"traced it has outputs {[f'{s.dtype} {s.shape}' for s in found]}, on arrays "
                             f"{[f'{y.dtype} {y.shape}' for y in expected]}.")


def dtype(case):
    if not any(is_float(a.dtype.name) for a in case.arrays):
        raise NotApplicable("no input is a float")
    for name in ("float32", "float64"):
        wrong = {y.dtype.name for y in case.eager(case.inputs(name)) if is_float(y.dtype.name)} - {name}
        if wrong:
            raise AssertionError(f"{name} inputs give {wrong.pop()}.")


def gradients(case, order=1):
    case.need_floats()
    check_gradients(case.call, case.inputs(), order=order)


def second_gradients(case):
    gradients(case, 2)


def backends_agree(case):
    if len(case.backends) < 2:
        raise NotApplicable(f"{' and '.join(case.backends) or 'none'} is the only backend here")
    differentiable, expected = True, None
    try:
        case.need_floats()
    except NotApplicable:
        differentiable = False
    for name in case.backends:
        config.set_backend(name)
        found = case.compiled(case.inputs())
        grads = case.gradients(case.inputs(), backends.current()) if differentiable else []
        single = case.compiled(case.inputs("float32"))
        expected = expected or (found, grads)
        what = f"backend {name!r} compared with {case.backends[0]!r}"
        close(found, expected[0], what, case.rtol)
        close(grads, expected[1], f"{what}, gradients", 10 * case.rtol)
        close(single, expected[0], f"backend {name!r} in float32 compared with float64", 2e-3)


def reproducible(case):
    def result(state, threads):
        random.seed(state)
        np.random.seed(state)
        config.set_num_threads(threads)
        return case.compiled(case.inputs("float32"))
    first = result(1, 1)
    same_bits(result(1, 1), first, "a second time")
    same_bits(result(2, 1), first, "the same where only numpy.random.seed and random.seed differ")
    same_bits(result(1, 2), first, "two threads instead of one")


def inputs(case):
    given = case.inputs()
    for way in (case.eager, case.compiled):
        outputs = way(given)
        same_bits(given, case.inputs(), "the inputs after a call")
    expected = case.eager(given)
    if any(np.shares_memory(y, a) for y in outputs for a in given):
        raise AssertionError("the output lies in the memory of an input.")
    for layout in ("F", "strided", "reversed", "readonly", "swapped"):
        same_bits(case.eager([layouts(a, layout) for a in given]), expected, f"inputs in memory layout {layout!r}")


OP_PROPERTIES = (
    Property("call", "The function cannot be called on arrays, or cannot be traced.", call, 10),
    Property("reference", "The function does not compute what the reference computes.", reference, 20),
    Property("shape", "Traced, the function has other outputs than on arrays.", shape, 10),
    Property("traced", "Traced and compiled, the function computes something else than on arrays.", traced, 10),
    Property("dtype", "The function leaves the float type of its inputs.", dtype, 5),
    Property("gradients", "What differentiation gives is not the derivative of what the function computes.", gradients,
             10),
    Property("second_gradients", "The gradient is right, its own derivative is not.", second_gradients, 5),
    Property("backends", "The backends do not agree.", backends_agree, 5),
    Property("reproducible", "Equal calls do not give the same bits.", reproducible, 3),
    Property("inputs", "The input is changed, or its memory layout matters.", inputs, 5),
)


# ---- the check

def check_op(function, arguments=None, reference=None, *, only=None, skip=(), backends=None, max_examples=None, seed=0,
             rtol=1e-9):
    """Check a function that is written with `pyconv.ops`, or an op of the registry.

    ::

        check_op(swish, [(None, 3)], reference=lambda x: x / (1 + np.exp(-x)))

    Parameters
    ----------
    function: callable or str
        Takes tensors or arrays and returns one, or a nest of them; or the name of an op in `pyconv.graph.REGISTRY`.
    arguments: list, or strategy
        One entry per input: a shape (of float64 numbers from -2 to 2; None is a size from 1 to 7, equal for axes of the
        same number), an array, or a strategy of arrays, such as `strategies.arrays`. Or one strategy of lists of
        arrays, or of pairs of a list of arrays and a dictionary of other arguments. Floats must be float64. Default for
        an op of the registry: what the op draws for its tests.
    reference: callable, optional
        A NumPy function of the same arguments. For an op of the registry the default is the reference backend.
    only, skip, backends, max_examples, seed: see `check_layer`
    rtol: float
        The error allowed in float64, relative to the largest element (or 1); ten times as much in gradients.

    Returns
    -------
    dict: name of the property -> "holds", or "does not apply: ..." with the reason

    Raises
    ------
    PropertyError
        (an AssertionError) if a property does not hold. Its `failures` has the properties' names.
    ImportError
        Without hypothesis.
    TypeError, ValueError
        For arguments that do not fit.

    Properties
    ----------
    call
        The function can be called on arrays and can be traced, in float32 and float64.
    reference
        It computes what the reference computes.
    shape
        Traced, its outputs have the shapes and types that they have on arrays.
    traced
        Traced and compiled, it computes what it computes on arrays.
    dtype
        float32 stays float32, float64 stays float64.
    gradients, second_gradients
        Equal to finite differences in float64.
    backends
        Outputs and gradients agree on all backends in float64, outputs in float32.
    reproducible
        Equal calls give equal bits, for any number of threads and any state of NumPy's and Python's generators.
    inputs
        Inputs are not changed, and any memory layout will do.
    """
    name = function if isinstance(function, str) else getattr(function, "__name__", "The function")
    if isinstance(function, str):
        if function not in REGISTRY:
            raise unknown("check_op: op", function, REGISTRY)
        if arguments is None:
            arguments = op_arguments(function, dtypes=("float64", "int32", "bool"), smooth=True, layouts=("C",))
        reference = reference or _reference(function)

        def function(*tensors, op=name, **attributes):
            return apply(op, *tensors, **attributes)
    if not callable(function):
        raise TypeError(f"check_op takes a function of tensors or the name of an op, got {describe(function)}.")
    if not isinstance(arguments, (list, tuple, st.SearchStrategy)):
        raise TypeError(f"check_op: arguments must be a list with a shape, an array or a strategy for each input, "
                        f"or one strategy, got {describe(arguments)}.")
    properties = [p for p in selected(OP_PROPERTIES, only, skip, "check_op")
                  if p.name != "reference" or reference is not None]
    options = name, reference, available_backends() if backends is None else list(backends), rtol
    return run(name, "check_op", properties, _cases(function, arguments, options), seed, max_examples)


def _reference(name):
    return lambda *given, **attributes: backends.get("reference").execute(name, list(given), attributes)


@st.composite
def _cases(draw, function, arguments, options):
    drawn, attributes = draw(arguments) if isinstance(arguments, st.SearchStrategy) else arguments, {}
    if isinstance(drawn, tuple) and len(drawn) == 2 and isinstance(drawn[1], dict):
        drawn, attributes = drawn
    if isinstance(drawn, np.ndarray):
        drawn = [drawn]
    sizes, found = {}, []
    for entry in drawn:
        if isinstance(entry, st.SearchStrategy):
            entry = draw(entry)
        elif is_shape(entry):
            for axis, n in enumerate(entry):
                if n is None and axis not in sizes:
                    sizes[axis] = draw(st.integers(1, 7))
            entry = draw(arrays([sizes[i] if n is None else n for i, n in enumerate(entry)]))
        entry = np.array(entry)
        if entry.dtype == "float32":
            raise ValueError("check_op: arguments are float64 (float32 versions are made of them), got float32.")
        found.append(entry)
    return OpCase(function, found, attributes, options)
