"""Batches too small to fill the lanes: kernels of their own, whatever the sizes, with what is fused into them."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pyconv import Variable, backends, config, ops
from pyconv.backends.cpu import lowering_plain
from pyconv.graph import simplify, trace

SIZES = {1: st.integers(1, 90), 2: st.integers(1, 20), 3: st.integers(1, 9)}


def compare(function, *arrays, rtol=2e-5):
    """The function on the CPU, with any number of threads, against the reference; returns the CPU's program."""
    graph = simplify(trace(function, [(a.shape, a.dtype.name) for a in arrays])[0])
    (expected,) = backends.get("reference").compile(graph)(arrays)
    program, found = backends.get("cpu").compile(graph), []
    for threads in (1, 2, 3):
        config.set_num_threads(threads)
        found.append(program(arrays)[0])
        np.testing.assert_array_equal(found[0], found[-1])
    largest = np.nan_to_num(np.abs(expected)).max(initial=1)
    np.testing.assert_allclose(found[0], expected, rtol=rtol, atol=rtol * largest)
    return program


@st.composite
def convolutions(draw):
    """(input's shape, kernel's shape, attributes)"""
    rank = draw(st.integers(1, 3))
    window = draw(st.sampled_from([1, 2, 3, 5]))
    sizes = [draw(SIZES[rank]) for _ in range(rank)]
    padding = draw(st.integers(0, window - 1))
    sizes = [max(n, window - 2 * padding) for n in sizes]
    channels, filters = draw(st.sampled_from([1, 1, 2, 5, 16, 19])), draw(st.sampled_from([1, 3, 6, 8, 20, 33, 50]))
    stride = draw(st.sampled_from([1, 1, 2]))
    return ((draw(st.integers(1, 3)), *sizes, channels), (*[window] * rank, channels, filters),
            dict(strides=stride, padding=[(padding, padding)] * rank, data_format="channels_last"))


@settings(max_examples=40)
@given(convolutions(), st.sampled_from(["auto", "direct", "winograd"]), st.booleans(), st.booleans(), st.booleans(),
       st.sampled_from(["float32", "float64"]), st.booleans())
def test_convolutions(case, algorithm, biased, summed, relu, dtype, prepared):
    """With a bias, a sum with another map (as in residual blocks) and relu behind, in every combination."""
    shape, window, attrs = case
    rng = np.random.default_rng(len(shape))
    x, kernel = rng.normal(size=shape).astype(dtype), rng.normal(size=window).astype(dtype)
    weights, bias = Variable(kernel), Variable(rng.normal(size=window[-1:]).astype(dtype))
    out = ops.conv(x, kernel, **attrs).shape
    other = rng.normal(size=out).astype(dtype)

    def function(x, other, kernel):
        y = ops.conv(x, weights if prepared else kernel, **attrs)
        y = y + bias if biased else y
        y = other + y if summed else y
        return ops.relu(y) if relu else y
    config.set_conv_algorithm(algorithm)
    compare(function, x, other, kernel, rtol=1e-4)


@settings(max_examples=40)
@given(st.integers(1, 3), st.tuples(st.integers(2, 40), st.integers(2, 40)), st.sampled_from([(1, 1), (3, 1), (2, 2)]),
       st.sampled_from([1, 3, 6, 8, 17, 20, 50]), st.sampled_from([1, 2, 3, 5]), st.sampled_from([1, 1, 2]),
       st.booleans(), st.booleans(), st.booleans())
def test_convolutions_with_pooling_behind(batch, sizes, channels, filters, window, stride, biased, relu, broken):
    """One instruction: windows of two by two are pooled where they have been computed, with NaN above all numbers."""
    (channels, groups), rng = channels, np.random.default_rng(filters)
    shape = (batch, *(n + 2 * stride + window for n in sizes), channels * groups)
    x, kernel = rng.normal(size=shape).astype("float32"), rng.normal(size=(window, window, channels, filters * groups))
    weights, bias = Variable(kernel.astype("float32")), Variable(rng.normal(size=filters * groups).astype("float32"))
    if broken:
        x[0, shape[1] // 2, shape[2] // 2] = np.nan

    def function(x):
        y = ops.conv(x, weights, strides=stride, padding=window // 2, groups=groups)
        y = y + bias if biased else y
        return ops.max_pool(ops.relu(y) if relu else y, 2)
    config.set_conv_algorithm("direct")
    program = compare(function, x)
    assert batch > 1 or not any(entry[1].op == "max_pool" for entry in program.listing)


@st.composite
def gradients(draw):
    """(input's shape, kernel's shape, attributes as the ops have them)"""
    rank = draw(st.integers(1, 3))
    window, strides, dilation = (tuple(draw(st.integers(1, n)) for _ in range(rank)) for n in (5 - rank // 2, 3, 2))
    reach = [d * (k - 1) for k, d in zip(window, dilation, strict=True)]
    padding = tuple((draw(st.integers(0, r + 1)), draw(st.integers(0, r + 1))) for r in reach)
    sizes = [max(draw(SIZES[rank]), r + 1 - sum(p)) for r, p in zip(reach, padding, strict=True)]
    groups, channels, filters = draw(st.integers(1, 3)), draw(st.integers(1, 19)), draw(st.integers(1, 35))
    if draw(st.integers(0, 3)) == 0:            # depthwise
        groups, channels, filters = draw(st.sampled_from([2, 16, 37])), 1, draw(st.integers(1, 2))
    batch, last = draw(st.integers(1, 7)), draw(st.booleans())
    shape = (batch, *sizes, channels * groups) if last else (batch, channels * groups, *sizes)
    return shape, (*window, channels, filters * groups), dict(
        strides=strides, padding=padding, dilation=dilation, groups=groups, channels_last=last)


@settings(max_examples=60)
@given(gradients(), st.sampled_from(["auto", "direct", "winograd"]), st.sampled_from(["float32", "float64"]),
       st.booleans())
def test_gradients_of_convolutions(case, algorithm, dtype, prepared):
    shape, window, attrs = case
    rng = np.random.default_rng(shape[-1])
    x, kernel = rng.normal(size=shape).astype(dtype), rng.normal(size=window).astype(dtype)
    grad = rng.normal(size=backends.get("reference").execute("conv", [x, kernel], attrs).shape).astype(dtype)
    weights = Variable(kernel)
    config.set_conv_algorithm(algorithm)
    compare(lambda g, k: ops.base.apply("conv_input_gradient", g, weights.read() if prepared else k, shape=shape,
                                        **attrs), grad, kernel, rtol=1e-4)
    compare(lambda x, g: ops.base.apply("conv_kernel_gradient", x, g, shape=window, **attrs), x, grad, rtol=1e-4)


@settings(max_examples=60)
@given(gradients(), st.sampled_from([0, 3000, 20000]), st.sampled_from(["float32", "float64"]))
def test_gradients_for_kernels_in_parts(case, size, dtype):
    """As of large inputs, whose parts are of some bytes at most."""
    shape, window, attrs = case
    rng = np.random.default_rng(shape[-1])
    x = rng.normal(size=shape).astype(dtype)
    grad = backends.get("reference").execute("conv", [x, rng.normal(size=window).astype(dtype)], attrs)
    together = lowering_plain._together
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(lowering_plain, "LARGE", 0)
        patch.setattr(lowering_plain, "PART", size)
        patch.setattr(lowering_plain, "_together", lambda sections, size, sums: together(sections, size, 0))
        compare(lambda x, g: ops.base.apply("conv_kernel_gradient", x, g, shape=window, **attrs), x, grad, rtol=1e-4)


def test_gradients_for_kernels_of_large_inputs():
    rng = np.random.default_rng(1)
    for shape, window, attrs in (((2, 100, 90, 32), (3, 3, 32, 32), {}), ((7, 50, 50, 48), (1, 1, 48, 8), {}),
                                 ((2, 200, 160, 16), (2, 2, 8, 32), {"strides": (2, 2), "groups": 2})):
        x = rng.normal(size=shape).astype("float32")
        attrs = {"strides": (1, 1), "padding": ((1, 0),) * 2, "dilation": (1, 1), "groups": 1, "channels_last": True,
                 **attrs}
        grad = backends.get("reference").execute("conv", [x, rng.normal(size=window).astype("float32")], attrs)
        compare(lambda x, g, window=window, attrs=attrs: ops.base.apply("conv_kernel_gradient", x, g, shape=window,
                                                                        **attrs), x, grad, rtol=1e-4)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("channels", [1, 2, 3, 7, 16, 20, 24, 64, 100, 127, 128, 300])
def test_chains_with_a_vector_of_channels(channels, dtype):
    """Strips of whole rows, where those are short; several tasks, the last of which ends within a strip."""
    rng = np.random.default_rng(channels)
    shape = (3, 16384 // channels + 5, channels)
    x, other = (rng.normal(size=shape).astype(dtype) for _ in range(2))
    a, b = rng.normal(size=channels).astype(dtype), rng.normal(size=(1, 1, channels)).astype("float32")
    rows = rng.normal(size=(*shape[:2], 1)).astype(dtype)
    compare(lambda x, other, a, b, rows: [ops.relu(x * a + ops.cast(b, dtype)) * rows - other], x, other, a, b, rows)
    compare(lambda x, a, b: [ops.maximum(x, a) * b], x.astype("float32"), a.astype("float32"), b)
    compare(lambda x, a: [ops.where(x > 0, x, x * a)], x, a)


WINDOWS = st.sampled_from([(1,), (3,), (5,), (1, 1), (3, 3), (1, 3), (2, 2), (5, 2), (2, 3, 3)])


@st.composite
def directions(draw, groups, channels, filters):
    """(input's shape, kernel's shape, attributes of a convolution, whether something is added, whether relu follows)"""
    window, stride, dilation = draw(WINDOWS), draw(st.integers(1, 3)), draw(st.integers(1, 2))
    sizes = [dilation * (k - 1) + draw(st.integers(1, 20 if len(window) < 3 else 5)) for k in window]
    groups, channels, filters = draw(groups), draw(channels), draw(filters)
    attrs = dict(strides=(stride,) * len(window), padding=tuple((k // 2, k // 2) for k in window),
                 dilation=(dilation,) * len(window), groups=groups, channels_last=True)
    return (draw(st.integers(1, 3)), *sizes, channels * groups), (*window, channels, filters * groups), attrs, \
        draw(st.booleans()), draw(st.booleans())


def compare_directions(shape, window, attrs, summed, relu):
    """Forward, with a bias and what else may be fused, and both gradients."""
    rng = np.random.default_rng(len(window))
    x, kernel = rng.normal(size=shape).astype("float32"), rng.normal(size=window).astype("float32")
    bias = rng.normal(size=window[-1]).astype("float32")
    grad = rng.normal(size=backends.get("reference").execute("conv", [x, kernel], attrs).shape).astype("float32")

    def forward(x, kernel, bias, other):
        y = ops.base.apply("conv", x, kernel, **attrs) + bias
        y = other + y if summed else y
        return ops.relu(y) if relu else y
    compare(forward, x, kernel, bias, grad)
    compare(lambda g, k: ops.base.apply("conv_input_gradient", g, k, shape=shape, **attrs), grad, kernel)
    compare(lambda x, g: ops.base.apply("conv_kernel_gradient", x, g, shape=window, **attrs), x, grad)


@settings(max_examples=60)
@given(directions(st.integers(2, 9), st.integers(1, 9), st.integers(1, 9)))
def test_groups_of_few_channels(case):
    """Several groups side by side in a vector."""
    compare_directions(*case)


@settings(max_examples=60)
@given(st.one_of(directions(st.just(1), st.integers(6, 70), st.integers(1, 5)),
                 directions(st.just(1), st.integers(1, 5), st.integers(6, 70))))
def test_few_filters_and_few_channels(case):
    """Sums along the lanes, forward or for the gradient for the input."""
    compare_directions(*case)


@pytest.mark.parametrize("strides", [1, 2])
def test_a_transposed_convolution_takes_bias_and_relu(strides):
    rng = np.random.default_rng(0)
    x, weights = rng.normal(size=(1, 9, 11, 20)).astype("float32"), rng.normal(size=(3, 3, 17, 20)).astype("float32")
    bias = Variable(rng.normal(size=17).astype("float32"))
    program = compare(lambda x, w: ops.relu(ops.conv_transpose(x, w, strides=strides, padding="same") + bias), x,
                      weights, rtol=1e-4)
    assert not any(entry[1].op in ("add", "relu") for entry in program.listing)


@pytest.mark.parametrize("window", [(1, 1), (3, 2)])
@pytest.mark.parametrize("groups, channels, filters", [(1, 16, 16), (1, 32, 21), (1, 48, 100), (1, 8, 3), (3, 32, 16),
                                                       (5, 16, 7)])
def test_kernels_are_turned_in_squares(window, groups, channels, filters):
    rng = np.random.default_rng(0)
    shape = (1, 6, 7, channels * groups)
    attrs = dict(strides=(2, 1), padding=((0, 0),) * 2, dilation=(1, 1), groups=groups, channels_last=True)
    kernel = rng.normal(size=(*window, channels, filters * groups)).astype("float32")
    out = backends.get("reference").execute("conv", [np.zeros(shape, "float32"), kernel], attrs).shape
    compare(lambda g, k: ops.base.apply("conv_input_gradient", g, k, shape=shape, **attrs),
            rng.normal(size=out).astype("float32"), kernel, rtol=1e-4)


def test_large_maps_go_by_in_parts():
    """More pixels than a table has: rows of a part repeat, in each sample and slice."""
    rng = np.random.default_rng(0)
    shape, window = (2, 3, 60, 90, 3), (2, 3, 3, 3, 5)
    attrs = dict(strides=(1, 2, 1), padding=((1, 0), (1, 1), (0, 1)), dilation=(1, 1, 1), groups=1, channels_last=True)
    x, kernel = rng.normal(size=shape), rng.normal(size=window)
    grad = rng.normal(size=backends.get("reference").execute("conv", [x, kernel], attrs).shape)
    compare(lambda x, g: ops.base.apply("conv_kernel_gradient", x, g, shape=window, **attrs), x, grad, rtol=1e-9)


def test_a_map_that_is_read_besides_is_pooled_by_itself():
    x, weights = np.ones((1, 9, 9, 1), "float32"), Variable(np.ones((3, 3, 1, 8), "float32"))

    def function(x):
        y = ops.conv(x, weights)
        return ops.concatenate([ops.reshape(y, (1, -1)), ops.reshape(ops.max_pool(y, 2), (1, -1))], 1)
    compare(function, x)


def test_a_sum_is_taken_where_the_other_map_is_computed_later():
    """Two convolutions and their sum: that which comes last adds."""
    rng = np.random.default_rng(0)
    x = rng.normal(size=(1, 9, 9, 16)).astype("float32")
    one, two = (Variable(rng.normal(size=(3, 3, 16, 16)).astype("float32")) for _ in range(2))

    def block(x):
        a, b = ops.conv(x, one, padding="same"), ops.conv(ops.tanh(x), two, padding="same")
        return ops.relu(ops.conv(ops.relu(a + b), one, padding="same") + ops.tanh(x))
    program = compare(block, x, rtol=1e-4)
    assert sum(entry[1].op in ("add", "relu") for entry in program.listing) <= 1


@settings(max_examples=20)
@given(st.integers(1, 7), st.integers(1, 700), st.integers(1, 300), st.booleans(), st.booleans(),
       st.sampled_from(["float32", "float64"]))
def test_products(rows, inner, columns, transposed, prepared, dtype):
    rng = np.random.default_rng(rows)
    a = rng.normal(size=(rows, inner)).astype(dtype)
    b = rng.normal(size=(columns, inner) if transposed else (inner, columns)).astype(dtype)
    weights, bias = Variable(b), Variable(rng.normal(size=columns).astype(dtype))
    def function(a, b):
        right = weights.read() if prepared else b
        return ops.relu(ops.matmul(a, ops.transpose(right) if transposed else right) + bias)
    compare(function, a, b, rtol=1e-4)


@settings(max_examples=30)
@given(st.integers(1, 3), st.data(), st.integers(1, 3), st.sampled_from([1, 3, 16, 21]), st.integers(1, 3),
       st.integers(1, 3), st.booleans(), st.sampled_from(["max_pool", "avg_pool"]))
def test_pooling(rank, data, batch, channels, window, stride, padded, name):
    sizes = [max(window, data.draw(SIZES[rank])) for _ in range(rank)]
    x = np.random.default_rng(rank).normal(size=(batch, *sizes, channels)).astype("float32")
    compare(lambda x: getattr(ops, name)(x, window, strides=stride, padding="same" if padded else "valid"), x)


@pytest.mark.parametrize("filters", [1, 6, 8, 9, 20])
@pytest.mark.parametrize("width", [1, 2, 13, 28, 31])
def test_a_single_channel_with_few_filters(filters, width):
    """Nothing past a row's end is written: the next row, and what follows the last, keep their values."""
    rng = np.random.default_rng(filters)
    x = rng.normal(size=(2, 6, width, 1)).astype("float32")
    w = Variable(rng.normal(size=(3, 3, 1, filters)).astype("float32"))
    compare(lambda x: ops.relu(ops.conv(x, w, padding="same")), x)
    x[0, 2] = np.nan
    compare(lambda x: ops.conv(x, w, padding="same"), x)
