"""Pooling of what is in no cache of a core: row by row of the input, against the reference."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pyconv import backends, ops
from pyconv.graph import simplify, trace

pytest.importorskip("pyconv.backends.cpu.executor", reason="the CPU kernels are not built")
from pyconv.backends.cpu import lowering_conv  # noqa: E402
CPU, REFERENCE = backends.get("cpu"), backends.get("reference")


def both(function, x, least):
    """The results of the kernels, inputs of `least` bytes being far, and of the reference."""
    graph = simplify(trace(function, [(x.shape, "float32")])[0])
    before, lowering_conv.CACHE = lowering_conv.CACHE, least
    try:
        return CPU.compile(graph)([x])[0], REFERENCE.compile(graph)([x])[0]
    finally:
        lowering_conv.CACHE = before


def draw(shape, seed=0):
    x = np.random.default_rng(seed).integers(-9, 9, shape).astype("float32")          # with ties
    x[np.random.default_rng(seed + 1).uniform(size=shape) < 0.01] = np.nan
    return x


@settings(max_examples=120)
@given(st.data())
def test_windows(data):
    window, strides, more = (data.draw(st.tuples(st.integers(1, 5), st.integers(1, 5))) for _ in range(3))
    sizes = tuple(n + m for n, m in zip(window, more, strict=True))
    padding = data.draw(st.sampled_from(["valid", "same"]) | st.tuples(*(
        st.tuples(st.integers(0, n - 1), st.integers(0, n - 1)) for n in window)))
    x = draw((data.draw(st.integers(8, 40)), data.draw(st.integers(1, 3)), *sizes))
    mean = data.draw(st.booleans())

    def function(x):
        pool = ops.avg_pool if mean else ops.max_pool
        return pool(ops.flip(x, 2), window, strides=strides, padding=padding, data_format="channels_first")
    found, right = both(function, x, 0)
    np.testing.assert_allclose(found, right, rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize("pool", [ops.max_pool, ops.avg_pool])
@pytest.mark.parametrize("window, strides, width", [(2, 2, 56), (3, 2, 57), (3, 1, 30), (2, 1, 300), (4, 3, 40)])
def test_large(pool, window, strides, width):
    found, right = both(lambda x: pool(ops.flip(x, 2), window, strides=strides, padding="same",
                                       data_format="channels_first"), draw((20, 3, 40, width)), lowering_conv.CACHE)
    np.testing.assert_allclose(found, right, rtol=1e-6, atol=1e-6)
