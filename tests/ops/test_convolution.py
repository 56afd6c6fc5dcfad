"""Convolution: padding rules, data formats, depthwise and transposed forms, and the errors."""

import numpy as np
import pytest

from pyconv import config, ops
from pyconv.graph import placeholder
from pyconv.ops.convolution import resolve_padding
from pyconv.testing import check_gradients

RNG = np.random.default_rng(6)


def by_definition(x, k, stride, pads, dilation, groups=1):
    """Channels last; one output element at a time, as the definition has it."""
    *window, depth, filters = k.shape
    x = np.pad(x, [(0, 0), *pads, (0, 0)])
    sizes = [(n - d * (w - 1) - 1) // s + 1 for n, w, s, d in zip(x.shape[1:-1], window, stride, dilation,
                                                                  strict=True)]
    y = np.zeros((len(x), *sizes, filters))
    for index in np.ndindex(*y.shape):
        sample, *at, f = index
        first = f // (filters // groups) * depth
        for tap in np.ndindex(*window):
            place = tuple(o * s + t * d for o, s, t, d in zip(at, stride, tap, dilation, strict=True))
            y[index] += x[(sample, *place)][first:first + depth] @ k[(*tap, slice(None), f)]
    return y


@pytest.mark.parametrize("sizes, window, stride, pads, dilation, groups", [
    ((7,), (3,), (2,), ((2, 1),), (1,), 1), ((9,), (3,), (1,), ((0, 4),), (3,), 2),
    ((5, 6), (3, 2), (1, 1), ((1, 1), (0, 1)), (1, 2), 1), ((6, 5), (1, 3), (3, 2), ((0, 0), (2, 2)), (1, 1),
                                                            2),
    ((6, 6), (3, 3), (1, 1), ((1, 1), (1, 1)), (1, 1), 1), ((3, 4, 3), (2, 3, 1), (1, 2, 1),
                                                            ((1, 0), (1, 1), (0, 0)), (1, 1, 1), 2)])
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_conv_by_definition(sizes, window, stride, pads, dilation, groups, dtype, backend):
    x = RNG.normal(size=(3, *sizes, 2 * groups)).astype(dtype)
    k = RNG.normal(size=(*window, 2, 3 * groups)).astype(dtype)
    expected = by_definition(x.astype("float64"), k.astype("float64"), stride, pads, dilation, groups)
    close = {"rtol": 1e-4, "atol": 1e-5} if dtype == "float32" else {"rtol": 1e-11, "atol": 1e-12}
    found = ops.conv(x, k, stride, pads, dilation_rate=dilation, groups=groups)
    np.testing.assert_allclose(found, expected, **close)
    found = ops.conv(np.moveaxis(x, -1, 1), k, stride, pads, "channels_first", dilation, groups)
    np.testing.assert_allclose(found, np.moveaxis(expected, -1, 1), **close)


def test_data_format_default_comes_from_the_configuration(backend):
    x, k = RNG.normal(size=(2, 3, 8, 8)), RNG.normal(size=(3, 3, 3, 4))
    config.set_image_data_format("channels_first")
    assert ops.conv(x, k).shape == (2, 4, 6, 6)
    assert ops.max_pool(x, 2).shape == (2, 3, 4, 4)


@pytest.mark.parametrize("padding, expected", [
    ("valid", ((0, 0), (0, 0))), ("same", ((0, 1), (1, 2))), (2, ((2, 2), (2, 2))), ((1, 3),
                                                                                     ((1, 1), (3, 3))),
    (((1, 0), 2), ((1, 0), (2, 2))), ([[0, 1], [2, 3]], ((0, 1), (2, 3)))])
def test_padding(padding, expected):
    assert resolve_padding(padding, (6, 7), (3, 4), (2, 1), (1, 1)) == expected


@pytest.mark.parametrize("n", range(1, 12))
@pytest.mark.parametrize("k, s, d", [(1, 1, 1), (2, 1, 1), (3, 2, 1), (3, 1, 2), (5, 3, 1), (2, 4, 1)])
def test_same_padding_gives_one_output_per_stride(n, k, s, d):
    x, w = placeholder((1, n, 1), "float32"), placeholder((k, 1, 1), "float32")
    assert ops.conv(x, w, s, "same", dilation_rate=d).shape == (1, -(-n // s), 1)


def test_causal_padding_looks_at_no_later_element(backend):
    x, k = RNG.normal(size=(1, 9, 2)), RNG.normal(size=(3, 2, 2))
    y = ops.conv(x, k, padding="causal", dilation_rate=2)
    later = x.copy()
    later[:, 5:] += 1
    assert y.shape == (1, 9, 2)
    np.testing.assert_array_equal(ops.conv(later, k, padding="causal", dilation_rate=2)[:, :5], y[:, :5])


def test_empty_batch(backend):
    x, k = np.ones((0, 8, 8, 3), "float32"), np.ones((3, 3, 3, 4), "float32")
    assert ops.conv(x, k).shape == (0, 6, 6, 4)
    assert ops.max_pool(x, 2).shape == (0, 4, 4, 3)


def test_depthwise_is_one_convolution_per_channel(backend):
    x, k = RNG.normal(size=(2, 6, 6, 3)), RNG.normal(size=(3, 3, 3, 2))
    expected = np.concatenate([ops.conv(x[..., i:i + 1], k[:, :, i:i + 1], 2, "same") for i in range(3)], -1)
    np.testing.assert_allclose(ops.depthwise_conv(x, k, 2, "same"), expected, rtol=1e-11, atol=1e-13)


@pytest.mark.parametrize("padding, output_padding", [("valid", None), ("same", None), ("valid", 0),
                                                     ("same", 0),
                                                     ("valid", 1)])
@pytest.mark.parametrize("n, k, s, d", [(4, 3, 2, 1), (5, 2, 3, 1), (3, 1, 2, 1), (4, 5, 2, 1), (4, 3, 1, 2),
                                        (1, 4, 4, 1)])
def test_size_of_a_transposed_convolution(n, k, s, d, padding, output_padding):
    if output_padding is not None and output_padding >= s:
        pytest.skip("output padding must be smaller than the stride")
    reach = d * (k - 1) + 1
    expected = (n * s if padding == "same" else n * s + max(reach - s, 0)) if output_padding is None else \
        (n - 1) * s + reach - (2 * (reach // 2) if padding == "same" else 0) + output_padding
    x, w = placeholder((2, n, 3), "float32"), placeholder((k, 4, 3), "float32")
    assert ops.conv_transpose(x, w, s, padding, output_padding, dilation_rate=d).shape == (2, expected, 4)


def test_gradients(backend_name):
    x, k = RNG.normal(size=(2, 5, 6, 2)), RNG.normal(size=(3, 2, 2, 2))
    for order in (1, 2):
        check_gradients(lambda a, b: [ops.conv(a, b, (2, 1), "same"), ops.conv_transpose(a, b, 2, "same"),
                                      ops.depthwise_conv(a, b)], [x, k], backend=backend_name, order=order)


def image(*shape):
    return placeholder(shape, "float32")


X, K = image(2, 8, 8, 3), image(3, 3, 3, 4)


@pytest.mark.parametrize("call, error, message", [
    (lambda: ops.conv(X, image(3, 3, 2, 4)), ValueError, r"3 channels.*groups=1 expects 2"),
    (lambda: ops.conv(image(2, 8, 8, 4), image(3, 3, 2, 3), groups=2), ValueError, "3 filters do not divide"),
    (lambda: ops.conv(X, image(3, 3, 4)), ValueError, "need at least 3 axes and a kernel with as many"),
    (lambda: ops.conv(image(2, 8), image(3, 4)), ValueError, "at least 3 axes"),
    (lambda: ops.conv(X, image(9, 3, 3, 4)), ValueError,
     r"reaches over \(9, 3\).*more than the input's \(8, 8\)"),
    (lambda: ops.conv(X, K, dilation_rate=4), ValueError, r"reaches over \(9, 9\)"),
    (lambda: ops.conv(X, K, strides=0), ValueError, "strides=0 must be at least 1"),
    (lambda: ops.conv(X, K, strides=1.5), TypeError, "strides=1.5 must be an int"),
    (lambda: ops.conv(X, K, strides=(1, 2, 3)), ValueError, "tuple of 2 ints"),
    (lambda: ops.conv(X, K, strides=(1, True)), TypeError, "made of ints"),
    (lambda: ops.conv(X, K, padding="full"), ValueError,
     "padding='full' is not known; expected 'valid', 'same'"),
    (lambda: ops.conv(X, K, padding="causal"), ValueError, "padding='causal' is not known"),
    (lambda: ops.conv(X, K, padding=-1), ValueError, "must not be negative"),
    (lambda: ops.conv(X, K, padding=(1, 2, 3)), ValueError, "each of the 2 spatial axes"),
    (lambda: ops.conv(X, K, data_format="NHWC"), ValueError, "data_format='NHWC' must be"),
    (lambda: ops.conv(X, K, groups=0), ValueError, "groups=0 must be at least 1"),
    (lambda: ops.conv(ops.cast(X, "int32"), ops.cast(K, "int32")), TypeError,
     "must both be float32 or both float64"),
    (lambda: ops.conv_transpose(X, image(3, 3, 4, 3), padding=1), ValueError, "padding=1 is not known here"),
    (lambda: ops.conv_transpose(X, image(3, 3, 4, 2)), ValueError, "3 channels, but the kernel.*expects 2"),
    (lambda: ops.conv_transpose(X, image(3, 4, 3)), ValueError,
     "need at least 3 axes and a kernel with as many"),
    (lambda: ops.conv_transpose(X, image(3, 3, 4, 3), 2, output_padding=2), ValueError,
     r"output_padding=2 must be smaller than strides=\(2, 2\)"),
])
def test_errors(call, error, message):
    with pytest.raises(error, match=message):
        call()
