"""Max pooling: ties, NaN, padding, and the errors."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pyconv import backends, ops
from pyconv.graph import gradients, placeholder, trace

RNG = np.random.default_rng(8)


def gradient(backend, x, *args, **kwargs):
    graph, _ = trace(lambda t: gradients(ops.sum(ops.max_pool(t, *args, **kwargs)), [t]),
                     [(x.shape, x.dtype.name)])
    return backend.compile(graph)([x])[0]


@pytest.mark.parametrize("batch", [1, 3, 16, 21])
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_first_of_equal_maxima_takes_the_gradient(batch, dtype, backend):
    x = np.zeros((batch, 4, 4, 3), dtype)
    found = gradient(backend, x, 2)
    expected = np.zeros_like(x)
    expected[:, ::2, ::2] = 1
    np.testing.assert_array_equal(found, expected)
    # The window is scanned row by row: of (0, 1) and (1, 0) the former comes first.
    x[:, 0, 1] = x[:, 1, 0] = 2
    found = gradient(backend, x, 2)
    assert (found[:, 0, 1] == 1).all() and (found[:, 1, 0] == 0).all()


@pytest.mark.parametrize("batch", [1, 16, 19])
def test_nan_wins(batch, backend):
    x = RNG.normal(size=(batch, 6, 6, 2)).astype("float32")
    x[0, 1, 1, 0] = x[0, 1, 0, 0] = math.nan
    x[-1, 4, 4, 1] = math.inf
    y = ops.max_pool(x, 2)
    expected = x.reshape(batch, 3, 2, 3, 2, 2).max((2, 4))
    np.testing.assert_array_equal(y, expected)
    found = gradient(backend, x, 2)
    assert found[0, 1, 0, 0] == 1 and found[0, 1, 1, 0] == 0
    assert found.sum() == y.size


def windows(shape, window, stride, padding):
    """For each window its sample, row and column, and the places of its elements in the order of rows."""
    outputs = [range((n + 2 * padding - k) // stride + 1) for n, k in zip(shape[1:3], window, strict=True)]
    for b, i, j in np.ndindex(shape[0], *map(len, outputs)):
        y, x = i * stride - padding, j * stride - padding
        yield (b, i, j), [(b, r, c) for r in range(max(0, y), min(y + window[0], shape[1]))
                          for c in range(max(0, x), min(x + window[1], shape[2]))]


@settings(max_examples=20)
@given(st.sampled_from([3, 17]), st.integers(3, 8), st.integers(3, 8), st.sampled_from([1, 3]),
       st.tuples(st.integers(1, 3), st.integers(1, 3)) | st.sampled_from([(2, 2), (3, 3)]), st.integers(1, 3),
       st.booleans(), st.sampled_from(["float32", "float64"]), st.integers(0, 100))
def test_ties_and_nan_in_any_window(batch, rows, cols, channels, window, stride, padded, dtype, seed):
    """Few different values, so that most windows have ties, and some NaN: values, maxima's places, averages."""
    rng, padding = np.random.default_rng(seed), int(padded and min(window) > 1)
    x = rng.choice([-1.0, 0.0, 1.0, np.nan], p=[0.3, 0.3, 0.3, 0.1], size=(batch, rows, cols, channels)).astype(dtype)
    g = rng.integers(-3, 4, [batch, *((n + 2 * padding - k) // stride + 1 for n, k in zip((rows, cols), window,
                                                                                       strict=True)), channels])
    g, flat = g.astype(dtype), np.nan_to_num(x)
    top, average, to_top, to_all = np.zeros_like(g), np.zeros_like(g), np.zeros_like(x), np.zeros_like(x)
    for out, places in windows(x.shape, window, stride, padding):
        values = np.array([x[p] for p in places])
        first = np.where(np.isnan(values).any(0), np.isnan(values).argmax(0), np.nan_to_num(values, nan=-9).argmax(0))
        average[out] = np.mean([flat[p] for p in places], 0)
        for c in range(channels):
            top[(*out, c)] = values[first[c], c]
            to_top[(*places[first[c]], c)] += g[(*out, c)]
        for p in places:
            to_all[p] += g[out] / len(places)

    def function(x, flat, g):
        a, b = ops.max_pool(x, window, stride, padding), ops.avg_pool(flat, window, stride, padding)
        return [a, *gradients(a, [x], g), b, *gradients(b, [flat], g)]
    graph, _ = trace(function, [(a.shape, dtype) for a in (x, flat, g)])
    found = backends.get("cpu").compile(graph)([x, flat, g])
    np.testing.assert_array_equal(found[0], top)
    np.testing.assert_array_equal(found[1], to_top)
    np.testing.assert_allclose(found[2], average, rtol=0, atol=1e-6)
    np.testing.assert_allclose(found[3], to_all, rtol=0, atol=3e-6)


def test_padding_never_wins(backend):
    x = np.full((2, 3, 3, 1), -5.0)
    y = ops.max_pool(x, 3, 1, "same")
    np.testing.assert_array_equal(y, x)
    x[...] = -math.inf
    np.testing.assert_array_equal(ops.max_pool(x, 3, 1, 1), x)
    assert gradient(backend, x, 3, 1, 1).sum() == x.size


def test_overlapping_windows_add_up(backend):
    x = np.array([0.0, 9.0, 1.0, 2.0]).reshape(1, 4, 1)
    np.testing.assert_array_equal(gradient(backend, x, 3, 1).ravel(), [0, 2, 0, 0])
    np.testing.assert_array_equal(gradient(backend, x, 2, 1).ravel(), [0, 2, 0, 1])


def test_strides_default_to_the_window(backend):
    assert ops.max_pool(np.ones((2, 7, 9, 3)), (2, 3)).shape == (2, 3, 3, 3)
    assert ops.max_pool(np.ones((2, 7, 9, 3)), 2, padding="same").shape == (2, 4, 5, 3)


def image(*shape, dtype="float32"):
    return placeholder(shape, dtype)


@pytest.mark.parametrize("call, error, message", [
    (lambda: ops.max_pool(image(2, 4, 4, 3), 5), ValueError,
     r"window \(5, 5\) is larger than the input's \(4, 4\)"),
    (lambda: ops.max_pool(image(2, 4), 2), ValueError, "need a batch, spatial and channel axes"),
    (lambda: ops.max_pool(image(2, 4, 3), 0), ValueError, "pool_size=0 must be at least 1"),
    (lambda: ops.max_pool(image(2, 4, 3), 2, 0), ValueError, "strides=0"),
    (lambda: ops.max_pool(image(2, 4, 3, dtype="int32"), 2), TypeError,
     "needs float32 or float64, got int32"),
    (lambda: ops.max_pool(image(2, 4, 3), 2, padding=2), ValueError, "would hold no element"),
    (lambda: ops.max_pool(image(2, 1, 3), 2, padding=1, dilation_rate=2), ValueError,
     "would hold no element"),
    (lambda: ops.max_pool(image(2, 4, 3), 2, padding="causal!"), ValueError,
     "padding='causal!' is not known"),
])
def test_errors(call, error, message):
    with pytest.raises(error, match=message):
        call()


def test_no_second_derivative_is_said():
    x = image(2, 4, 3)
    (grad,) = gradients(ops.sum(ops.max_pool(x, 2)), [x])
    with pytest.raises(NotImplementedError, match="max_pool_gradient has no derivative"):
        gradients(ops.sum(grad * grad), [x])


@settings(max_examples=40, deadline=None)
@given(st.sampled_from([1, 17]), st.tuples(st.integers(1, 24), st.integers(1, 24)),
       st.tuples(st.integers(1, 24), st.integers(1, 24)), st.booleans())
def test_adaptive_maxima_of_any_windows(batch, sizes, outputs, channels_first):
    """Windows of one kind, of several, and of many; larger outputs than inputs, too."""
    x = np.random.default_rng(0).permutation(batch * sizes[0] * sizes[1] * 2).reshape(batch, *sizes, 2)
    x = x.astype("float32")
    expected, weight = np.empty((batch, *outputs, 2), "float32"), np.zeros_like(x)
    for i in range(outputs[0]):
        for j in range(outputs[1]):
            (a, b), (c, d) = ((k * n // m, -(-(k + 1) * n // m))
                              for k, n, m in zip((i, j), sizes, outputs, strict=True))
            part = x[:, a:b, c:d]
            expected[:, i, j] = top = part.max((1, 2))
            weight[:, a:b, c:d] += part == top[:, None, None]
    form = "channels_first" if channels_first else "channels_last"

    def moved(a):
        return np.moveaxis(a, -1, 1) if channels_first else a

    def function(t):
        y = ops.adaptive_max_pool(t, outputs, form)
        return [y, *gradients(ops.sum(y), [t])]
    images = np.ascontiguousarray(moved(x))
    graph, _ = trace(function, [(images.shape, "float32")])
    for name in ("reference", "cpu"):
        y, dx = backends.get(name).compile(graph)([images])
        np.testing.assert_array_equal(y, moved(expected))
        np.testing.assert_array_equal(dx, moved(weight))
