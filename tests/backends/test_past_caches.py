"""Elementwise results that nobody reads soon are written past the caches: the same bits, at the same place."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pyconv import backends, config, layers, ops
from pyconv.graph import gradients, simplify, trace

pytest.importorskip("pyconv.backends.cpu.executor", reason="the CPU kernels are not built")
from pyconv.backends.cpu import chain_code, schedule  # noqa: E402
CPU = backends.get("cpu")


def compiled(function, arrays, far):
    """The program in which so many bytes are too many for the caches, and for each result of a chain its way there."""
    graph, _ = trace(function, [(a.shape, a.dtype.name) for a in arrays], training=True)
    ways = []
    make, before = chain_code.instruction, schedule.FAR

    def noting(kernels, dtype, shape, loads, stores, *args, **options):
        ways.extend(store[3] for store in stores)
        return make(kernels, dtype, shape, loads, stores, *args, **options)
    chain_code.instruction, schedule.FAR = noting, far
    try:
        return CPU.compile(simplify(graph)), ways
    finally:
        chain_code.instruction, schedule.FAR = make, before


def check(function, arrays):
    (near, ways), (far, others) = compiled(function, arrays, 1 << 60), compiled(function, arrays, 0)
    assert chain_code.PAST_CACHES not in ways and chain_code.PAST_CACHES in others
    for threads in (1, 3):
        config.set_num_threads(threads)
        for a, b in zip(near(arrays), far(arrays), strict=True):
            assert a.tobytes() == b.tobytes()


def draw(shape, dtype="float32", seed=0):
    return np.random.default_rng(seed).normal(0.5, 1.5, shape).astype(dtype)


@settings(max_examples=40)
@given(st.lists(st.integers(1, 40), min_size=1, max_size=3), st.sampled_from(["float32", "float64"]))
def test_plain_arrays(shape, dtype):
    def function(x):
        return ops.exp(x), ops.relu(x) + 1.0, x > 0, ops.cast(x * 2.0, "int32")
    check(function, [draw(shape, dtype)])


@settings(max_examples=20)
@given(st.integers(8, 40), st.integers(1, 9), st.integers(1, 20), st.sampled_from(["float32", "float64"]))
def test_images(batch, size, channels, dtype):
    layer = layers.BatchNormalization(dtype=dtype)

    def function(x, g):
        y = ops.max_pool(ops.relu(layer(ops.sigmoid(x), training=True)), 1)
        return [y, *gradients(y, [x], g)]
    check(function, [draw((batch, size, size, channels), dtype), draw((batch, size, size, channels), dtype, 1)])


def test_only_what_is_read_late():
    x = draw((64, 8, 8, 16))        # 256 KiB, of which a block has 64

    def soon(x):
        return ops.max_pool(ops.exp(x), 2)

    def late(x):
        y = ops.exp(ops.max_pool(x, 1))
        return ops.max_pool(y * ops.mean(ops.max_pool(x, 2), (0, 1, 2)), 2)
    assert chain_code.PAST_CACHES not in compiled(soon, [x], 3 << 16)[1]
    assert chain_code.PAST_CACHES in compiled(late, [x], 3 << 16)[1]
    assert chain_code.PAST_CACHES not in compiled(late, [x], 3 << 20)[1]
