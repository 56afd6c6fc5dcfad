"""What an op on a backend must give: the reference's numbers, within bounds that follow from its arithmetic."""

from __future__ import annotations

import numpy as np

from .. import (
    backends,
    ops,  # noqa: F401  (fills the registry)
)
from ..graph import REGISTRY, Graph, Op, Spec, is_float, is_half, limits, make_node, placeholder
from ..graph.dtypes import as_dtype

__all__ = ["HALF_OPS", "HAS_GRADIENT", "NO_GRADIENT", "NO_SECOND_GRADIENT", "OPS", "compare", "compare_halves"]

OPS = sorted(REGISTRY)
# Random numbers are drawn in wider types.
HALF_OPS = [name for name in OPS if not name.startswith("random_")]
HAS_GRADIENT = [name for name in OPS
                if REGISTRY[name].differentiable and type(REGISTRY[name]).gradient is not Op.gradient]
# The gradient of max pooling sends numbers to places that it finds by comparing, and that for the places of samples
# has jumps; their own gradients are not offered.
NO_SECOND_GRADIENT = ("max_pool", "sample_images", "sample_images_gradient")
# Ops without a gradient rule, although their results depend smoothly on an input.
NO_GRADIENT = ("max_pool_gradient", "sample_places_gradient")

# Sums of products: their error grows with the largest sum of absolute values, since fast algorithms
# (Winograd's) add and subtract neighbouring terms that do not belong to the element itself.
LINEAR = ("sum", "matmul", "conv", "conv_input_gradient", "conv_kernel_gradient", "max_pool_gradient",
          "avg_pool", "avg_pool_gradient", "take_gradient")
EXACT = ("negative", "square", "absolute", "sign", "floor", "relu", "maximum", "minimum", "where",
         "check_finite",
         "stop_gradient", "max", "min", "reshape", "transpose", "broadcast_to", "pad", "slice",
         "slice_gradient",
         "concatenate", "flip", "max_pool", "take", "random_uniform", "add", "subtract", "multiply", "divide", "sqrt",
         "cast")


def as_float64(array):
    return array.astype("float64") if is_float(array.dtype.name) else array


def reference(name, arrays, attrs):
    """The op by the reference kernel, floats in double precision; the caller rounds to the inferred types."""
    attrs = {k: "float64" if k == "dtype" and is_float(v) else v for k, v in attrs.items()}
    result = backends.get("reference").execute(name, [as_float64(a) for a in arrays], attrs)
    return result if isinstance(result, tuple) else (result,)


def tolerance(name, arrays, attrs, expected, dtype):
    """The largest absolute error that is allowed for each element of a float result."""
    eps = np.finfo(dtype).eps
    if name in EXACT:       # one correctly rounded operation, or none
        return np.abs(expected) * eps * 0.5001
    if name in LINEAR:
        (size,) = reference(name, [np.abs(as_float64(a)) for a in arrays], attrs)
        return 64 * eps * np.max(size, initial=0)
    if name.startswith("sample_"):
        # The number of pixels that a place reads, or of places and channels that are summed up.
        count = {"sample_images": 4, "sample_images_gradient": arrays[1].size}.get(name, 8 * max(arrays[0].shape))
        top = np.prod([np.abs(a).max(initial=1.5) for i, a in enumerate(arrays) if i in (0, 3)])
        return 4 * eps * count * top
    if name.startswith("sparse_softmax"):
        # The error of the logits' rounding passes through; the gradient's factor multiplies it.
        factor = np.abs(arrays[2]).max(initial=0) if len(arrays) == 3 else 1
        return 8 * eps * (1 + np.abs(expected) + np.abs(arrays[0]).max(initial=0) * factor)
    return 16 * eps * np.abs(expected) + eps * 2**-20


def compare(name, arrays, attrs, results):
    """Fail with an AssertionError if `results` are not what op `name` gives for these arguments."""
    inferred = REGISTRY[name].infer(*(Spec(a.shape, a.dtype.name) for a in arrays), **attrs)
    inferred = (inferred,) if isinstance(inferred, Spec) else inferred
    for result, spec, expected in zip(results, inferred, reference(name, arrays, attrs), strict=True):
        if not isinstance(result, np.ndarray) or (result.shape, result.dtype.name) != spec:
            raise AssertionError(f"{name}: expected an array with {spec}, got {result!r}")
        if is_float(spec.dtype):
            error = np.abs(result.astype("float64") - expected)
            allowed = np.broadcast_to(tolerance(name, arrays, attrs, expected, spec.dtype), error.shape)
            worst = np.unravel_index(np.argmax(error - allowed), error.shape) if error.size else ()
            if not np.all(error <= allowed):
                raise AssertionError(f"{name}: {result[worst]!r} at {worst}, expected {expected[worst]!r}: the error "
                                     f"is {error[worst]:.3g}, allowed is {allowed[worst]:.3g}")
        else:
            np.testing.assert_array_equal(result, expected.astype(spec.dtype))


def compare_halves(name, arrays, attrs, dtype, backend):
    """Fail unless op `name` on float16 or bfloat16 tensors gives the reference's numbers, rounded once.

    arrays: float32 ones stand for tensors of the half type `dtype`. backend: the name of the backend that computes.
    """
    arrays = [as_dtype(as_dtype(a, dtype), "float32") if is_float(a.dtype.name) else a for a in arrays]
    inputs = [placeholder(a.shape, a.dtype.name) for a in arrays]
    tensors = [make_node("cast", [t], {"dtype": dtype}) if is_float(t.dtype) else t for t in inputs]
    made = make_node(name, tensors, attrs)
    made = made if isinstance(made, tuple) else (made,)
    outputs = [make_node("cast", [t], {"dtype": "float32"}) if is_half(t.dtype) else t for t in made]
    results = backends.get(backend).compile(Graph(inputs, outputs))([np.require(a, requirements="CA") for a in arrays])
    wide = [as_float64(a) for a in arrays]
    for result, tensor, expected in zip(results, made, reference(name, wide, attrs), strict=True):
        what = f"{name} in {dtype}"
        if result.shape != tensor.shape:
            raise AssertionError(f"{what}: expected shape {tensor.shape}, got {result.shape}")
        if not is_half(tensor.dtype):
            expected = expected.astype(tensor.dtype)
            np.testing.assert_allclose(result, expected, rtol=1e-6 if is_float(tensor.dtype) else 0, err_msg=what)
            continue
        eps, most, tiny = limits(tensor.dtype)
        result = result.astype("float64")
        np.testing.assert_array_equal(result, as_dtype(result, tensor.dtype), err_msg=f"{what}: no numbers of the type")
        np.testing.assert_array_equal(np.isnan(result), np.isnan(expected), err_msg=what)
        allowed = tolerance(name, wide, attrs, expected, "float32") + 0.5001 * eps * np.maximum(np.abs(expected), tiny)
        with np.errstate(invalid="ignore"):
            large = np.abs(expected) + allowed >= most          # these may have become infinite
            error = np.where(large | np.isnan(expected), 0, np.abs(result - expected))
        if not np.all(np.abs(result[large]) >= most * (1 - 2 * eps)):
            raise AssertionError(f"{what}: {result[large]!r}, expected {expected[large]!r}")
        if not np.all(error <= allowed):
            worst = np.unravel_index(np.argmax(error - allowed), error.shape)
            raise AssertionError(f"{what}: {result[worst]!r} at {worst}, expected {expected[worst]!r}: the error is "
                                 f"{error[worst]:.3g}, allowed is {np.broadcast_to(allowed, error.shape)[worst]:.3g}")
