"""Convolution and max pooling as one, with the places of the maxima kept for the gradients."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pyconv import backends, config, ops
from pyconv.graph import gradients, simplify, trace

pytest.importorskip("pyconv.backends.cpu.executor", reason="the CPU kernels are not built")
CPU, REFERENCE = backends.get("cpu"), backends.get("reference")


def program_of(function, arrays):
    graph, _ = trace(function, [(a.shape, a.dtype.name) for a in arrays], training=False)
    return CPU.compile(simplify(graph)), graph


def compare(function, *arrays):
    """The CPU program gives what the reference gives, with the same bits for one thread and two."""
    program, graph = program_of(function, arrays)
    expected = REFERENCE.compile(graph)(list(arrays))
    results, before = [], config.num_threads()
    try:
        for threads in (1, 2):
            config.set_num_threads(threads)
            results.append([a.copy() for a in program(arrays)])
    finally:
        config.set_num_threads(before)
    for one, two, right in zip(*results, expected, strict=True):
        assert one.tobytes() == two.tobytes()
        size = np.abs(right).max(initial=1e-30, where=np.isfinite(right))
        np.testing.assert_allclose(one, right, rtol=0, atol=size * 1e-5)
    return program


@st.composite
def networks(draw):
    """(x, kernel, bias, what goes into the gradient, options of conv): images whose pooled map has a pixel or more."""
    window = draw(st.tuples(st.integers(1, 7), st.integers(1, 7)) | st.sampled_from([(3, 3), (5, 5)]))
    padding = tuple((draw(st.integers(0, k)), draw(st.integers(0, k))) for k in window)
    dilation, strides = draw(st.sampled_from([(1, 1)] * 4 + [(2, 1), (1, 2)])), draw(st.sampled_from([1, 1, 1, 1, 2]))
    sizes = [draw(st.integers(n, n + 9)) for n in
             (max(1, d * (k - 1) + 1 + strides - sum(p)) for k, p, d in zip(window, padding, dilation, strict=True))]
    channels, filters = draw(st.integers(1, 4)), draw(st.integers(1, 9) | st.sampled_from([20, 33]))
    batch, last = draw(st.sampled_from([8, 13, 16, 19, 40, 130])), draw(st.booleans())
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    dtype = draw(st.sampled_from(["float32"] * 3 + ["float64"]))
    shape = (batch, *sizes, channels) if last else (batch, channels, *sizes)
    # Small whole numbers: many ties, and sums without rounding, so that a tie is one in both.
    x, kernel = (rng.integers(-2, 3, s).astype(dtype) for s in (shape, (*window, channels, filters)))
    bias = rng.integers(-3, 3, filters).astype(dtype).reshape(filters if last else (filters, 1, 1))
    return x, kernel, bias, dict(padding=padding, strides=strides, dilation_rate=dilation,
                                 data_format="channels_last" if last else "channels_first")


def pooled(x, kernel, bias, options, relu):
    y = ops.conv(x, kernel, **options)
    if bias is not None:
        y = y + bias
    return ops.relu(y) if relu else y


@settings(max_examples=60)
@given(networks(), st.booleans(), st.booleans(), st.sampled_from(["kernel", "all", "pooled", "map"]))
def test_convolution_pooling_and_their_gradients(network, biased, relu, wanted):
    """wanted: the gradient for the kernel alone, for all inputs, none, or the map that is pooled besides."""
    *arrays, options = network

    def function(x, kernel, bias):
        y = pooled(x, kernel, bias if biased else None, options, relu)
        top = ops.max_pool(y, 2, data_format=options["data_format"])
        # What comes from above differs from pixel to pixel, and is neither symmetric nor constant.
        loss = ops.sum(top * top * 0.25 + top)
        sources = {"kernel": [kernel], "all": [x, kernel, *([bias] if biased else [])]}.get(wanted, [])
        return [top, *([y] if wanted == "map" else []), *gradients(loss, sources)]
    compare(function, *arrays)


@settings(max_examples=30)
@given(st.sampled_from([8, 13, 30]), st.tuples(st.integers(1, 6), st.integers(1, 6)), st.integers(1, 7),
       st.integers(1, 7), st.integers(0, 2), st.integers(1, 40), st.sampled_from([1, 4, 9, 24]))
def test_gradient_for_kernels_of_many_channels(batch, pooled_sizes, kernel_rows, kernel_columns, padding, channels,
                                               filters):
    """Runs of any length, in a row of the kernel; of whole numbers, so that ties are ties."""
    sizes = [max(1, 2 * n + k - 1 - 2 * padding) for n, k in zip(pooled_sizes, (kernel_rows, kernel_columns),
                                                                  strict=True)]
    rng = np.random.default_rng(channels)
    x, kernel = (rng.integers(-2, 3, shape).astype("float32") for shape in (
        (batch, *sizes, channels), (kernel_rows, kernel_columns, channels, filters)))

    def function(x, kernel):
        top = ops.max_pool(ops.relu(ops.conv(x, kernel, padding=[(padding, padding)] * 2)), 2)
        return [top, *gradients(ops.sum(top * top * 0.25 + top), [kernel])]
    before = config.conv_algorithm()
    config.set_conv_algorithm("direct")
    try:
        compare(function, x, kernel)
    finally:
        config.set_conv_algorithm(before)


def test_two_layers_deep():
    """The second layer's input is what the first one pools; both gradients come from spots."""
    rng = np.random.default_rng(0)
    x, first, second = (rng.normal(size=s).astype("float32") for s in ((35, 14, 14, 1), (5, 5, 1, 6), (3, 3, 6, 7)))

    def function(x, first, second):
        y = ops.max_pool(ops.relu(ops.conv(x, first, padding=((2, 2), (2, 2)))), 2)
        y = ops.max_pool(ops.relu(ops.conv(y, second)), 2)
        return [y, *gradients(ops.sum(y * y), [first, second])]
    program = compare(function, x, first, second)
    names = [row.node.op for row in program.profile([x, first, second]) if row.main]
    assert "max_pool" not in names[:2] and names.count("max_pool_gradient") <= 1, names


@settings(max_examples=40)
@given(st.integers(17, 50), st.tuples(st.integers(2, 17), st.integers(2, 23)), st.integers(1, 6), st.integers(0, 6),
       st.integers(1, 3), st.integers(1, 20), st.booleans(), st.booleans())
def test_rows_of_five_taps_by_winograd(batch, sizes, kernel_rows, padding, channels, filters, biased, relu):
    """Where nobody asks for the places of the maxima."""
    sizes = [max(n, k + 1 - 2 * padding) for n, k in zip(sizes, (kernel_rows, 5), strict=True)]
    rng = np.random.default_rng(batch)
    x, kernel, bias = (rng.normal(size=shape).astype("float32") for shape in (
        (batch, *sizes, channels), (kernel_rows, 5, channels, filters), filters))
    before = config.conv_algorithm()
    config.set_conv_algorithm("auto" if kernel_rows == 5 else "winograd")
    try:
        program = compare(lambda x, kernel, bias: [ops.max_pool(pooled(
            x, kernel, bias if biased else None, dict(padding=[(padding, padding)] * 2), relu), 2)], x, kernel, bias)
    finally:
        config.set_conv_algorithm(before)
    # Of fewer, a part of the lanes would do without samples.
    assert kernel_rows == 5 or batch <= 20 or any(row.products for row in program.profile([x, kernel, bias]))


@pytest.mark.parametrize("relu", [False, True])
def test_nan_and_infinity(relu):
    """NaN is above everything; where it is the maximum it is the result, and relu keeps it."""
    rng = np.random.default_rng(1)
    x = rng.normal(size=(16, 8, 8, 1)).astype("float32")
    kernel = np.ones((1, 1, 1, 3), "float32")
    for value in (np.nan, np.inf, -np.inf):
        x[rng.integers(0, 16, 40), rng.integers(0, 8, 40), rng.integers(0, 8, 40)] = value
    compare(lambda x, kernel: [ops.max_pool(pooled(x, kernel, None, {}, relu), 2)], x, kernel)

    def spread(x, g):
        return gradients(ops.sum(ops.max_pool(x, 2) * g), [x])
    compare(spread, x, rng.normal(size=(16, 4, 4, 1)).astype("float32"))

    def places(x, kernel, g):
        return gradients(ops.sum(ops.max_pool(pooled(x, kernel, None, {}, relu), 2) * g), [x])
    g = rng.normal(size=(16, 3, 3, 4)).astype("float32")
    compare(places, x, rng.normal(size=(2, 2, 1, 4)).astype("float32"), g)


def test_empty_batches_and_maps():
    kernel = np.ones((3, 3, 1, 2), "float32")

    def function(x, kernel):
        y = ops.max_pool(ops.relu(ops.conv(x, kernel)), 2)
        return [y, *gradients(ops.sum(y), [kernel])]
    compare(function, np.ones((0, 8, 8, 1), "float32"), kernel)
    compare(lambda x, kernel: [ops.conv(x, kernel)], np.ones((16, 3, 3, 1), "float32"), kernel)


def test_two_poolings_of_one_map():
    """Each gradient goes by its own windows, whichever pooling has spots."""
    rng = np.random.default_rng(2)
    x, kernel = rng.normal(size=(16, 9, 9, 1)).astype("float32"), rng.normal(size=(3, 3, 1, 4)).astype("float32")

    def function(x, kernel):
        y = ops.relu(ops.conv(x, kernel))
        a, b, c = (ops.max_pool(y, 2, **options) for options in ({}, {"strides": 1}, {"padding": "same"}))
        return [a, b, c, *gradients(ops.sum(a * a) + ops.sum(b * 2.0) + ops.sum(c), [x, kernel])]
    compare(function, x, kernel)


@settings(max_examples=40)
@given(st.sampled_from([8, 13, 16, 40]), st.tuples(st.integers(2, 40), st.integers(2, 60)),
       st.sampled_from([(3, 1), (5, 1), (5, 2)]), st.integers(0, 2), st.integers(2, 5), st.integers(1, 20),
       st.booleans(), st.booleans(), st.booleans())
def test_tiles_of_winograd_are_pooled_where_they_are_computed(batch, sizes, kernel, padding, channels, filters, biased,
                                                              relu, last):
    window, strides = kernel
    sizes = [max(n, window + strides - 2 * padding) for n in sizes]
    options = dict(padding=[(padding, padding)] * 2, strides=strides,
                   data_format="channels_last" if last else "channels_first")
    rng = np.random.default_rng(batch)
    shape = (batch, *sizes, channels) if last else (batch, channels, *sizes)
    x, kernel, bias = (rng.normal(size=s).astype("float32") * 0.05 for s in (
        shape, (window, window, channels, filters), filters if last else (filters, 1, 1)))
    # No two results of a window are close: whatever rounding does, the maximum is where it is in the reference.
    levels = rng.permuted(np.tile(np.float32([-15, -5, 5, 15]), (batch, 1)), axis=1).reshape(batch, 2, 2)
    rows, columns = (np.arange(n) // strides % 2 for n in sizes)
    np.moveaxis(x, -1 if last else 1, -1)[..., 0] += levels[:, rows[:, None], columns]
    kernel[window // 2, window // 2, 0] = rng.choice([-1, 1], filters)

    def top(x, kernel, bias):
        y = pooled(x, kernel, bias if biased else None, options, relu)
        return ops.max_pool(y, 2, data_format=options["data_format"])

    def with_gradients(x, kernel, bias):
        y = top(x, kernel, bias)
        return [y, *gradients(ops.sum(y * y), [x, kernel])]
    before = config.conv_algorithm()
    config.set_conv_algorithm("winograd")
    try:
        program = compare(lambda *tensors: [top(*tensors)], x, kernel, bias)
        assert batch == 8 or any(row.products for row in program.profile([x, kernel, bias]))
        compare(with_gradients, x, kernel, bias)
    finally:
        config.set_conv_algorithm(before)
