"""Images of another size on the CPU: whatever the axes, layouts and sizes, two axes in one pass."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pyconv import ops
from pyconv.graph import gradients

from .test_small_batches import compare

SIZES, CHANNELS = st.integers(1, 24), st.sampled_from([1, 3, 5, 16, 40])
FORMATS = st.sampled_from(["channels_last", "channels_first"])


def images(batch, sizes, channels, data_format, dtype):
    shape = (batch, *sizes, channels) if data_format == "channels_last" else (batch, channels, *sizes)
    return np.random.default_rng(len(shape)).normal(size=shape).astype(dtype)


@settings(max_examples=60)
@given(st.sampled_from([1, 2, 16, 19]), st.tuples(SIZES, SIZES), st.tuples(SIZES, SIZES), CHANNELS, FORMATS,
       st.sampled_from(["bilinear", "bicubic"]), st.booleans(), st.sampled_from(["float32", "float64"]),
       st.booleans())
def test_resize_and_its_gradient(batch, old, new, channels, data_format, interpolation, antialias, dtype, in_lanes):
    """in_lanes: between poolings, so that a batch which fills lanes is in that layout."""
    def resize(x):
        x = ops.max_pool(x, 1, data_format=data_format) if in_lanes else x
        y = ops.resize(x, new, interpolation, antialias=antialias, data_format=data_format)
        return ops.max_pool(y, 1, data_format=data_format) if in_lanes else y
    x = images(batch, old, channels, data_format, dtype)
    compare(resize, x, rtol=1e-4)
    compare(lambda x, g: gradients(resize(x), [x], g)[0], x, images(batch, new, channels, data_format, dtype),
            rtol=1e-4)


@settings(max_examples=30)
@given(st.sampled_from([1, 3, 20]), st.lists(st.integers(1, 9), min_size=1, max_size=3), CHANNELS, FORMATS,
       st.sampled_from(["float32", "float64"]), st.data())
def test_repeated_and_pooled_to_a_size(batch, sizes, channels, data_format, dtype, data):
    x = images(batch, sizes, channels, data_format, dtype)
    repeats = tuple(data.draw(st.integers(1, 3)) for _ in sizes)
    outputs = tuple(data.draw(st.integers(1, 2 * n)) for n in sizes)
    compare(lambda x: ops.upsample(x, repeats, data_format), x, rtol=1e-6)
    compare(lambda x: ops.adaptive_avg_pool(x, outputs, data_format), x, rtol=1e-5)


@pytest.mark.parametrize("batch", [1, 16])
@pytest.mark.parametrize("shape", [(12, 10, 5), (12, 5)])
def test_all_of_it_is_one_pass(batch, shape):
    x = images(batch, shape[:-1], shape[-1], "channels_last", "float32")
    twice = tuple(2 * n for n in shape[:-1])

    def resized(x):
        return ops.resize(x, twice) if len(twice) == 2 else ops.adaptive_avg_pool(x, 5)
    functions = [resized, lambda x: ops.upsample(x, 2)]
    functions.append(lambda x: gradients(resized(x), [x], resized(x))[0])
    for function, passes in zip(functions, (1, 1, 2), strict=True):
        program = compare(lambda x, f=function: ops.flip(f(ops.max_pool(x, 1)), 1), x)
        records = program.profile([x])
        assert sum(r.node.op in ("reshape", "matmul", "avg_pool_gradient") for r in records) == passes


def test_matrices_with_many_numbers_and_other_uses_are_products():
    rng = np.random.default_rng(0)
    x, dense = rng.normal(size=(2, 9, 9)).astype("f4"), rng.normal(size=(4, 9)).astype("f4")
    sparse = np.eye(9, dtype="f4")[:4]
    compare(lambda x: ops.matmul(dense, x), x)
    compare(lambda x: ops.matmul(sparse, x), x, rtol=1e-6)
    compare(lambda x: ops.matmul(x, sparse.T), x, rtol=1e-6)
    compare(lambda x: ops.matmul(sparse, ops.transpose(x, (0, 2, 1))), x, rtol=1e-6)
    compare(lambda x: ops.matmul(ops.reshape(x, (18, 9)), sparse.T), x, rtol=1e-6)
    compare(lambda x: ops.matmul(sparse[:2, :2], ops.reshape(x, (2, 81))), x, rtol=1e-6)

    def read_twice(x):
        flat = ops.reshape(x, (2, 9, 9))
        return ops.reshape(ops.matmul(sparse, flat), (2, 36)) + ops.sum(flat)
    compare(read_twice, x)
