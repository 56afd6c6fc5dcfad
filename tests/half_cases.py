"""Ops on float16 and bfloat16 tensors: on any backend the reference's numbers in double precision, rounded once."""

import numpy as np

from pyconv import backends
from pyconv.graph import Graph, Spec, is_float, is_half, limits, make_node, placeholder
from pyconv.graph.dtypes import as_dtype
from pyconv.testing.contract import OPS, as_float64, reference, tolerance

# Random numbers are drawn in wider types.
HALF_OPS = [name for name in OPS if not name.startswith("random_")]


def compare_halves(name, arrays, attrs, dtype, backend):
    """Op `name` with its float arrays as tensors of a half type. Fails with an AssertionError."""
    arrays = [as_dtype(as_dtype(a, dtype), "float32") if is_float(a.dtype.name) else a for a in arrays]
    inputs = [placeholder(a.shape, a.dtype.name) for a in arrays]
    tensors = [make_node("cast", [t], {"dtype": dtype}) if is_float(t.dtype) else t for t in inputs]
    made = make_node(name, tensors, attrs)
    made = made if isinstance(made, tuple) else (made,)
    outputs = [make_node("cast", [t], {"dtype": "float32"}) if is_half(t.dtype) else t for t in made]
    results = backends.get(backend).compile(Graph(inputs, outputs))([np.require(a, requirements="CA") for a in arrays])
    wide = {k: v for k, v in attrs.items()}
    found = reference(name, [as_float64(a) for a in arrays], wide)
    for result, tensor, expected in zip(results, made, found, strict=True):
        assert isinstance(result, np.ndarray) and result.shape == tensor.shape
        if not is_half(tensor.dtype):
            if is_float(tensor.dtype):
                np.testing.assert_allclose(result, expected, rtol=1e-6, atol=1e-6)
            else:
                np.testing.assert_array_equal(result, expected.astype(tensor.dtype))
            continue
        eps, most, tiny = limits(tensor.dtype)
        result = result.astype("float64")
        np.testing.assert_array_equal(result, as_dtype(result, tensor.dtype), err_msg=f"{name}: no number of {dtype}")
        allowed = tolerance(name, [as_float64(a) for a in arrays], attrs, expected, "float32")
        allowed = allowed + 0.5001 * eps * np.maximum(np.abs(expected), tiny)
        with np.errstate(invalid="ignore"):
            large = np.abs(expected) + allowed >= most
            error = np.where(large | np.isnan(expected), 0, np.abs(result - expected))
        assert np.array_equal(np.isnan(result), np.isnan(expected))
        assert np.all(np.abs(result[large]) >= most * (1 - 2 * eps)), f"{name}: {expected[large]} is too large"
        worst = np.unravel_index(np.argmax(error - allowed), error.shape) if error.size else ()
        assert np.all(error <= allowed), (f"{name} in {dtype}: {result[worst]} at {worst}, expected {expected[worst]}: "
                                          f"the error is {error[worst]:.3g}, allowed is "
                                          f"{np.broadcast_to(allowed, error.shape)[worst]:.3g}")


def spec_of(array):
    return Spec(array.shape, array.dtype.name)
