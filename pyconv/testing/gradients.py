"""Gradient checks: what differentiation gives, against finite differences."""

from __future__ import annotations

import numpy as np

from .. import backends
from ..graph import Graph, flatten, gradients, is_float, simplify, trace

__all__ = ["NotSmooth", "check_gradients", "with_gradients"]

# Step sizes, powers of two, so that halving them is exact. In float64 an error of about 1e-16 in the values
# is divided by the step, and the error of the extrapolated difference grows with its fourth power: all of
# these are good to 1e-9 or so for functions that vary over distances of about 1. Where a kink is met, or the
# function is more curved than that, a smaller step or another direction may do.
STEPS = (2.0**-12, 2.0**-15, 2.0**-18)
DIRECTIONS = 3


class NotSmooth(Exception):
    """Finite differences cannot tell: there is a kink or a jump close by, or the function is too curved."""


def check_gradients(function, arrays, variables=(), backend=None, order=1, seed=0, rtol=1e-6, atol=1e-7,
                    training=False):
    """Compare the gradients of `function` with finite differences along random directions.

    The outputs are weighted with random numbers and summed up to one scalar. Its derivative along one random
    direction through all float inputs at once, found with central differences, is compared with the
    gradient's component in that direction: an error in any element of any input's gradient shows, at the
    price of a few evaluations.

    Parameters
    ----------
    function: callable
        Takes one symbolic tensor per array and returns nested tensors. Random ops are fine: a program draws
        from the states that it is given.
    arrays: list of array_like
        Where to check. Floats must be float64: float32 is too coarse for finite differences.
    variables: list of Variable
        Float variables that `function` reads, such as a layer's weights: the gradients for them are checked
        too. They are moved during the check and put back. Updates that the function makes are ignored.
    backend: str, optional
        Name of the backend that computes; default the current one.
    order: int
        1 checks the gradients, 2 those of the gradients, and so on.
    seed: int
        Decides the weights and directions.
    rtol, atol: float
        Largest difference allowed, relative to the size of the terms that are summed up, and absolute.
    training: bool
        What layers see while `function` is traced.

    Raises
    ------
    AssertionError
        If the gradients are wrong; the message has both numbers.
    NotSmooth
        If finite differences give no reliable number in several directions: the function has a kink or a jump
        close to `arrays`, or is too large or too curved there.
    ValueError
        If a float array is not float64.
    """
    arrays = [np.require(a, None, ["C", "A"]) for a in map(np.asarray, arrays)]
    variables = list(variables)
    for dtype in [a.dtype.name for a in arrays] + [v.dtype for v in variables]:
        if is_float(dtype) and dtype != "float64":
            raise ValueError(f"check_gradients needs float64: finite differences in {dtype} say too little.")
    rng = np.random.default_rng(seed)
    for _ in range(order - 1):
        function = _gradient_of(function, variables, rng)
    program = _compile(function, arrays, variables, backend, training, rng)
    value, *grads = program(arrays)
    if not np.isfinite(value):
        raise ValueError("check_gradients: the function gives NaN or infinity for these arguments.")

    floats = [i for i, a in enumerate(arrays) if is_float(a.dtype.name)]
    saved = [v.numpy() for v in variables]
    points = [arrays[i] for i in floats] + saved
    try:
        for _ in range(DIRECTIONS):
            directions = [rng.normal(size=a.shape) for a in points]
            terms = [g * d for g, d in zip(grads, directions, strict=True)]
            found, scale = (sum(float(t.sum()) for t in part) for part in (terms, map(np.abs, terms)))

            def along(t, directions=directions):
                moved = [a + t * d for a, d in zip(points, directions, strict=True)]
                at = list(arrays)
                for i, a in zip(floats, moved, strict=False):
                    at[i] = a
                for variable, a in zip(variables, moved[len(floats):], strict=True):
                    variable.assign(a)
                return float(program(at)[0])
            for step in STEPS:
                expected = _derivative(along, float(value), step, max(rtol * scale, atol))
                if expected is not None:
                    if not abs(found - expected) <= rtol * max(scale, abs(expected)) + atol:
                        raise AssertionError(
                            f"wrong gradient (order {order}): along a random direction through all inputs, "
                            f"differentiation gives {found:.12g}, finite differences give {expected:.12g}. "
                            f"The inputs have shapes {[a.shape for a in points]}.")
                    return
    finally:
        for variable, a in zip(variables, saved, strict=True):
            variable.assign(a)
    raise NotSmooth("finite differences give no reliable derivative along any direction tried: the function "
                    "has a kink or a jump too close to the arguments, or is too large or too curved")


def _derivative(along, value, step, tolerance):
    """The derivative of `along` at 0, where it has the given value; None if not known to `tolerance`."""
    (forward, backward), (forward2, backward2) = [(along(h) - value, value - along(-h)) for h in (step,
                                                                                                  step / 2)]
    coarse, fine = (forward + backward) / (2 * step), (forward2 + backward2) / step
    rounding = 4e-16 * abs(value) / step
    # A kink at the point itself: the slopes on its two sides differ however small the step is. Where the
    # function is smooth, the difference halves with the step.
    bend, bend2 = (forward - backward) / step, (forward2 - backward2) / (step / 2)
    if abs(bend2) > max(tolerance / 4, rounding) and abs(bend2) > 0.75 * abs(bend):
        return None
    # A kink of height J at the distance r * step, with r above 0.2 (below it the slopes show it), makes an
    # error of at most 0.3 J in `fine` and moves `coarse` away from it by at least 0.1 J.
    if not 4 * abs(coarse - fine) + rounding <= tolerance:
        return None
    return fine + (fine - coarse) / 3      # Richardson's extrapolation: the error's term in step**2 cancels


def _weighted_sum(tensors, rng):
    from .. import ops
    total = None
    for tensor in tensors:
        if is_float(tensor.dtype):
            term = ops.sum(tensor * rng.normal(size=tensor.shape).astype(tensor.dtype))
            total = term if total is None else total + term
    if total is None:
        raise ValueError("check_gradients: the function has no float output, so nothing to differentiate.")
    return total


def with_gradients(function, tensors, variables, rng):
    """The weighted sum of the function's outputs, and its gradients for the float inputs and the variables.

    Where the sum does not depend on an input, the gradient is zero.
    """
    from .. import ops
    inputs = [t for t in tensors if is_float(t.dtype)] + [v.read() for v in variables]
    value = _weighted_sum(flatten(function(*tensors)), rng)
    grads = gradients(value, inputs)
    return value, [ops.multiply(t, 0.0) if g is None else g for t, g in zip(inputs, grads, strict=True)]


def _gradient_of(function, variables, rng):
    def gradient(*tensors):
        return with_gradients(function, tensors, variables, rng)[1]
    return gradient


def _compile(function, arrays, variables, backend, training, rng):
    def run(*tensors):
        value, grads = with_gradients(function, tensors, variables, rng)
        return [value, *grads]
    graph, _ = trace(run, [(a.shape, a.dtype.name) for a in arrays], training)
    graph = Graph(graph.inputs, graph.outputs)
    return (backends.current() if backend is None else backends.get(backend)).compile(simplify(graph))
