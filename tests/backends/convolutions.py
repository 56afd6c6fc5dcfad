"""A convolution and its two gradients on the CPU backend, held against the reference in float64."""

import numpy as np

from pyconv import backends

CPU, REFERENCE = backends.get("cpu"), backends.get("reference")


def three(x, kernel, attrs):
    """The three convolutions of these arrays as (op, arrays, attributes), and what the reference makes of them."""
    y = REFERENCE.execute("conv", [x, kernel], attrs)
    g = np.random.default_rng(1).standard_normal(y.shape).astype(x.dtype)
    calls = [("conv", [x, kernel], attrs), ("conv_input_gradient", [g, kernel], {"shape": x.shape, **attrs}),
             ("conv_kernel_gradient", [x, g], {"shape": kernel.shape, **attrs})]
    wide = [[a.astype("float64") for a in arrays] for _, arrays, _ in calls]
    return calls, [REFERENCE.execute(op, a, e) for (op, _, e), a in zip(calls, wide, strict=True)]


def check(x, kernel, attrs):
    """All three give what the reference gives."""
    calls, expected = three(x, kernel, attrs)
    bound = 1e-5 if x.dtype == "float32" else 1e-13
    for (op, arrays, extra), right in zip(calls, expected, strict=True):
        found = CPU.execute(op, arrays, extra)
        assert found.dtype == x.dtype and found.shape == right.shape
        assert np.linalg.norm(found - right) <= bound * max(np.linalg.norm(right), 1e-30), (op, x.shape, attrs)
