"""Elementwise results that take the place of what nobody reads any more: the same bits as in a place of their own."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pyconv import backends, config, layers, ops
from pyconv.graph import gradients, simplify, trace

pytest.importorskip("pyconv.backends.cpu.executor", reason="the CPU kernels are not built")
from pyconv.backends.cpu import schedule  # noqa: E402
CPU = backends.get("cpu")


def compiled(function, arrays, allowed, large=schedule.LARGE):
    """The program, and how many of its results lie where something else lay; blocks of `large` bytes are large."""
    graph, _ = trace(function, [(a.shape, a.dtype.name) for a in arrays], training=True)
    replace, counts = schedule._replace, []

    def noting(order, every):
        counts.append(len(replace(order, every)) if allowed else 0)
        return [b for b in every.values() if b.instead is not None]
    before, schedule._replace, schedule.LARGE = schedule.LARGE, noting, large
    try:
        return CPU.compile(simplify(graph)), sum(counts)
    finally:
        schedule._replace, schedule.LARGE = replace, before


def check(function, arrays):
    """Returns how many results took another's place, and how many more if blocks may leave the thread's memory."""
    (own, _), (shared, count) = compiled(function, arrays, False), compiled(function, arrays, True)
    far, more = compiled(function, arrays, True, 0)
    for threads in (1, 3):
        config.set_num_threads(threads)
        for _ in range(2):
            for a, b, c in zip(own(arrays), shared(arrays), far(arrays), strict=True):
                assert a.tobytes() == b.tobytes() == c.tobytes()
    return count, more - count


def draw(shape, dtype="float32", seed=0):
    return np.random.default_rng(seed).normal(0.5, 1.5, shape).astype(dtype)


@settings(max_examples=30)
@given(st.lists(st.integers(1, 40), min_size=1, max_size=3), st.sampled_from(["float32", "float64", "int32"]))
def test_plain_arrays(shape, dtype):
    def function(x, y):
        x, y = ops.flip(x, 0), ops.flip(y, 0)
        a = ops.square(x) + y * x
        return ops.flip(a * x - ops.sum(y), 0), ops.flip(a + 1, 0)
    check(function, [draw(shape, dtype), draw(shape, dtype, 1)])


@settings(max_examples=30)
@given(st.integers(1, 40), st.integers(1, 9), st.integers(1, 20), st.sampled_from(["float32", "float64"]),
       st.sampled_from(["relu", "gelu", "silu", "softmax"]))
def test_images(batch, size, channels, dtype, name):
    def function(x):
        y = getattr(ops, name)(ops.max_pool(x, 1))
        return ops.max_pool(y + ops.sum(y, axis=1, keepdims=True), 1)
    check(function, [draw((batch, size, size, channels), dtype)])


@settings(max_examples=20)
@given(st.integers(8, 40), st.integers(1, 9), st.integers(1, 20), st.sampled_from(["float32", "float64"]))
def test_gradients(batch, size, channels, dtype):
    layer, conv = layers.BatchNormalization(dtype=dtype), layers.Conv2D(channels, 3, padding="same", dtype=dtype)

    def function(x, g):
        y = ops.gelu(layer(conv(x), training=True))
        return [y, *gradients(y, [x, conv.kernel.read()], ops.max_pool(g, 1))]
    shape = (batch, size, size, channels)
    layer.build((None, *shape[1:]))
    conv.build((None, *shape[1:]))
    check(function, [draw(shape, dtype), draw(shape, dtype, 1)])


def test_what_is_dead_is_replaced():
    def function(x):
        return ops.flip(ops.exp(ops.flip(x, 0)), 0)

    def and_read_later(x):
        y = ops.flip(x, 0)
        return ops.flip(ops.exp(y), 0) + ops.max_pool(y, 1)
    assert check(function, [draw((9, 20))]) == (1, 0)
    assert check(function, [draw((2, 2, 3, 5))]) == (1, 0)
    assert check(and_read_later, [draw((20, 6, 6, 3))])[0] <= 1


def test_what_is_summed_stays():
    """The sum is taken after the results are stored."""
    def function(x):
        y = ops.max_pool(x, 1)
        return ops.max_pool(ops.exp(y), 1), ops.sum(y, axis=(0, 1, 2))
    check(function, [draw((20, 6, 6, 3))])


def test_large_blocks_take_the_place_of_what_an_earlier_step_left():
    layer = layers.BatchNormalization()

    def function(x):
        return ops.flip(layer(ops.flip(ops.max_pool(x, 1), 1), training=True), 1)
    assert check(function, [draw((40, 9, 9, 5))])[1] == 1
