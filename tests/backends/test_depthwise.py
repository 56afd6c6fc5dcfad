"""Depthwise and grouped convolutions of the CPU backend against the reference."""

import itertools

import numpy as np
import pytest
from convolutions import CPU, REFERENCE, check, three
from hypothesis import given, settings
from hypothesis import strategies as st

from pyconv import config, layers, ops
from pyconv.backends.cpu import lowering_depthwise
from pyconv.graph import fold, gradients, simplify, trace
from pyconv.testing import check_gradients


@st.composite
def problems(draw):
    """Any geometry: the tiles of 8, 4 and 1, kernels with and without tiles of their own, phases without taps."""
    rank = draw(st.integers(1, 3))
    per_axis = st.tuples(st.sampled_from([3, 5, 1, 2, 4, 7] if rank < 3 else [3, 2, 1]),
                         st.sampled_from([1, 2, 3]), st.sampled_from([1, 1, 1, 2, 3]))
    same = draw(st.booleans())
    axes = [draw(per_axis)] * rank if same else [draw(per_axis) for _ in range(rank)]
    window, strides, dilation = zip(*axes, strict=True)
    padding = tuple((draw(st.integers(0, k)), draw(st.integers(0, k))) for k in window)
    least = [max(1, d * (k - 1) + 1 - sum(p)) for k, d, p in zip(window, dilation, padding, strict=True)]
    sizes = tuple(draw(st.integers(n, n + (30, 13, 3)[rank - 1])) for n in least)
    channels = draw(st.integers(2, 40) if rank < 3 else st.integers(2, 5))
    multiplier = draw(st.sampled_from([1, 1, 2, 3]))
    batch = draw(st.sampled_from([0, 1, 2, 7, 8, 13, 17, 23]))
    last = draw(st.booleans())
    x = (batch, *sizes, channels) if last else (batch, channels, *sizes)
    attrs = dict(strides=strides, padding=padding, dilation=dilation, groups=channels, channels_last=last)
    return x, (*window, 1, channels * multiplier), attrs, draw(st.integers(0, 2**32 - 1))


@settings(max_examples=settings().max_examples * 2)
@given(problems(), st.sampled_from(["float32", "float64"]))
def test_any_geometry(problem, dtype):
    x, kernel, attrs, seed = problem
    rng = np.random.default_rng(seed)
    check(rng.standard_normal(x).astype(dtype), rng.standard_normal(kernel).astype(dtype), attrs)


@pytest.mark.parametrize("size", [2, 3, 5, 7])
@pytest.mark.parametrize("stride", [1, 2])
@pytest.mark.parametrize("batch", [2, 19])
def test_kernels_with_tiles_of_their_own(size, stride, batch):
    """Rows of every length up to two tiles and more, with and without padding, for both layouts."""
    rng = np.random.default_rng(size * stride)
    kernel = rng.standard_normal((size, size, 1, 18)).astype("f4")
    for width in (*range(size, 24), 33):
        pad = width % (size // 2 + 1)
        attrs = dict(strides=(stride, stride), padding=((1, 1), (pad, pad)), dilation=(1, 1), groups=18,
                     channels_last=True)
        check(rng.standard_normal((batch, size, width, 18)).astype("f4"), kernel, attrs)


@pytest.mark.parametrize("size, stride", [(3, 1), (3, 2), (5, 1), (4, 1)])
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_results_that_go_past_the_caches(size, stride, dtype, monkeypatch):
    asked = []
    monkeypatch.setattr(lowering_depthwise, "goes_past", lambda target: asked.append(target) or True)
    rng = np.random.default_rng(size)
    for width in (7, 19):
        for filters in (3, 6):
            x, kernel = rng.standard_normal((21, 9, width, 3)), rng.standard_normal((size, size, 1, filters))
            check(x.astype(dtype), kernel.astype(dtype),
                  dict(strides=(stride,) * 2, padding=((1, 2),) * 2, dilation=(1, 1), groups=3, channels_last=True))
    assert asked


@pytest.mark.parametrize("batch", [2, 19])
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_padding_of_windows_with_stride_2(batch, dtype):
    """Any zeros before and after, more than a window has too, and inputs whose last row or column no window meets."""
    rng = np.random.default_rng(batch)
    kernel = rng.standard_normal((3, 3, 1, 10)).astype(dtype)
    for before, after, size in itertools.product(range(5), (0, 1, 4), (1, 4, 5)):
        if before + after + size >= 3:
            attrs = dict(strides=(2, 2), padding=((before, after), (after, before)), dilation=(1, 1), groups=10,
                         channels_last=True)
            check(rng.standard_normal((batch, size, size + after, 10)).astype(dtype), kernel, attrs)


@pytest.mark.parametrize("groups, depth, filters", [(2, 5, 7), (2, 32, 24), (4, 16, 16), (32, 4, 4), (3, 1, 8)])
@pytest.mark.parametrize("batch", [1, 16, 21])
def test_groups_of_several_channels(groups, depth, filters, batch):
    rng = np.random.default_rng(groups)
    x = rng.standard_normal((batch, 9, 7, groups * depth)).astype("f4")
    kernel = rng.standard_normal((3, 3, depth, groups * filters)).astype("f4")
    for stride in (1, 2):
        check(x, kernel, dict(strides=(stride,) * 2, padding=((1, 1),) * 2, dilation=(1, 1), groups=groups,
                              channels_last=True))


@pytest.mark.parametrize("shape, size, stride", [((130, 9, 11, 18), 3, 1), ((130, 9, 11, 18), 3, 2),
                                                 ((16, 12, 10, 33), 5, 1), ((1, 17, 9, 40), 3, 1), ((2, 30, 6), 4, 3)])
def test_bits_do_not_depend_on_threads_and_nothing_leaks_between_samples(shape, size, stride):
    rng, rank = np.random.default_rng(3), len(shape) - 2
    x = rng.standard_normal(shape).astype("f4")
    kernel = rng.standard_normal((*(size,) * rank, 1, 2 * shape[-1])).astype("f4")
    attrs = dict(strides=(stride,) * rank, padding=((size // 2,) * 2,) * rank, dilation=(1,) * rank, groups=shape[-1],
                 channels_last=True)
    calls, _ = three(x, kernel, attrs)
    results = []
    for n in (1, 2, 3):
        config.set_num_threads(n)
        results.append([CPU.execute(*call).tobytes() for call in calls])
    assert results[0] == results[1] == results[2]
    x[-1] = np.nan
    y = CPU.execute("conv", [x, kernel], attrs)
    assert np.isfinite(y[:-1]).all() and np.isnan(y[-1]).all()


@pytest.mark.parametrize("batch", [1, 3, 20])
@pytest.mark.parametrize("activation", [None, "relu", "sigmoid"])
@pytest.mark.parametrize("data_format", ["channels_last", "channels_first"])
def test_bias_activation_and_normalization_at_inference(batch, activation, data_format):
    """What follows is fused: the same numbers as node after node, and the convolution is no work of its own."""
    at = {"data_format": data_format}
    convolution = layers.DepthwiseConv2D(3, depth_multiplier=2, padding="same", bias_initializer="random_normal", **at)
    norm = layers.BatchNormalization(-1 if data_format == "channels_last" else 1, gamma_initializer="random_uniform",
                                     moving_mean_initializer="random_normal")
    last = layers.Activation(activation)
    shape = (batch, 10, 9, 6) if data_format == "channels_last" else (batch, 6, 10, 9)
    x = np.random.default_rng(0).standard_normal(shape).astype("f4")
    graph, _ = trace(lambda x: [last(norm(convolution(x), training=False))], [(x.shape, "float32")])
    (found,), (right,) = CPU.compile(fold(simplify(graph)))([x]), REFERENCE.compile(graph)([x])
    np.testing.assert_allclose(found, right, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("rank, stride, rate", [(1, 2, 1), (2, 1, 2), (2, 2, 1), (3, 1, 1)])
def test_gradients_against_finite_differences(rank, stride, rate):
    rng = np.random.default_rng(rank)
    x, kernel = rng.standard_normal((9, *(5, 6, 7)[:rank], 3)), rng.standard_normal((*(3,) * rank, 3, 2))
    check_gradients(lambda x, k: ops.depthwise_conv(x, k, stride, "same", dilation_rate=rate), [x, kernel])


def test_a_training_step_of_a_block_of_mobilenet():
    """Depthwise convolution between normalizations, forward and backward, as one program."""
    rng = np.random.default_rng(5)
    depthwise, first, second = (layers.DepthwiseConv2D(3, 2, "same", use_bias=False), layers.BatchNormalization(),
                                layers.BatchNormalization())

    def function(x, g):
        y = ops.relu(second(depthwise(ops.relu(first(x, training=True))), training=True))
        variables = [v.read() for layer in (depthwise, first, second) for v in layer.trainable_variables]
        return [y, *gradients(ops.sum(y * g), [x, *variables])]
    x, g = rng.standard_normal((37, 12, 10, 24)).astype("f4"), rng.standard_normal((37, 6, 5, 24)).astype("f4")
    graph, _ = trace(function, [(a.shape, "float32") for a in (x, g)], training=True)
    program, expected = CPU.compile(simplify(graph)), REFERENCE.compile(graph)([x, g])
    results = []
    for threads in (1, 2):
        config.set_num_threads(threads)
        results.append(program([x, g]))
    for one, two, right in zip(*results, expected, strict=True):
        assert one.tobytes() == two.tobytes()
        np.testing.assert_allclose(one, right, rtol=0, atol=3e-4 * np.abs(right).max())
