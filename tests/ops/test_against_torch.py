"""Convolutions, pooling and cross-entropies against PyTorch, transposed convolutions against Keras."""

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from pyconv import backends, ops
from pyconv.graph import gradients, simplify, trace
from pyconv.testing.strategies import Kit

torch = pytest.importorskip("torch")
pytestmark = pytest.mark.peers

KIT = Kit(dtypes=("float32", "float64"), layouts=("C",))


def with_gradients(backend_name, function, arrays):
    """The result, and the gradients of its sum, weighted with the last array, for the other floats."""
    def run(*tensors):
        y = function(*tensors[:-1])
        floats = [t for t in tensors[:-1] if t.dtype.startswith("float")]
        return [y, *gradients(ops.sum(y * tensors[-1]), floats)]
    graph, _ = trace(run, [(a.shape, a.dtype.name) for a in arrays])
    return backends.get(backend_name).compile(simplify(graph))(arrays)


def torch_gradients(function, arrays):
    tensors = [torch.tensor(a, requires_grad=a.dtype.kind == "f") for a in arrays[:-1]]
    y = function(*tensors)
    y.backward(torch.tensor(arrays[-1]))
    return [y.detach().numpy(), *(t.grad.numpy() for t in tensors if t.requires_grad)]


def compare(found, expected, dtype):
    for a, b in zip(found, expected, strict=True):
        scale = np.abs(b).max(initial=1)
        np.testing.assert_allclose(a, b, rtol=1e-4 if dtype == "float32" else 1e-10,
                                   atol=(2e-5 if dtype == "float32" else 1e-11) * scale)


def first(t, last):
    return torch.movedim(t, -1, 1) if last else t


def back(t, last):
    return torch.movedim(t, 1, -1) if last else t


@given(data=st.data())
def test_conv(backend_name, data):
    x, kernel, y, attrs = KIT.convolution(data.draw)
    assume(x.size)
    last, rank = attrs["channels_last"], x.ndim - 2
    pairs = [n for p in reversed(attrs["padding"]) for n in p]      # torch's order: the last axis first

    def peer(a, k):
        padded = torch.nn.functional.pad(first(a, last), pairs)
        weight = k.permute(rank + 1, rank, *range(rank))            # (filters, channels / groups, *sizes)
        function = getattr(torch.nn.functional, f"conv{rank}d")
        return back(function(padded, weight, stride=attrs["strides"], dilation=attrs["dilation"],
                             groups=attrs["groups"]), last)
    found = with_gradients(backend_name, lambda a, k: ops.base.apply("conv", a, k, **attrs), [x, kernel, y])
    compare(found, torch_gradients(peer, [x, kernel, y]), x.dtype.name)


@given(data=st.data())
def test_max_pool(backend_name, data):
    """Values without ties: at those, torch's choice is not specified."""
    x, y, attrs = KIT.pooling(data.draw)
    x = np.random.default_rng(x.size).permutation(x.size).reshape(x.shape).astype(x.dtype)
    last, rank = attrs["channels_last"], x.ndim - 2
    # torch pads both sides alike, and by at most half the window.
    assume(x.size and all(p == q <= k // 2 for (p, q), k in zip(attrs["padding"], attrs["window"],
                                                                strict=True)))

    def peer(a):
        function = getattr(torch.nn.functional, f"max_pool{rank}d")
        return back(function(first(a, last), attrs["window"], attrs["strides"],
                             [p for p, _ in attrs["padding"]],
                             attrs["dilation"]), last)
    found = with_gradients(backend_name, lambda a: ops.base.apply("max_pool", a, **attrs), [x, y])
    compare(found, torch_gradients(peer, [x, y]), x.dtype.name)


@given(data=st.data())
def test_sparse_softmax_cross_entropy(backend_name, data):
    logits, labels, weights = KIT.cross_entropy(data.draw)
    classes = logits.shape[-1]

    def peer(a, b):
        return torch.nn.functional.cross_entropy(a.reshape(-1, classes), b.reshape(-1).long(),
                                                 reduction="none").reshape(b.shape)
    arrays = [logits, labels, weights]
    found = with_gradients(backend_name, ops.sparse_softmax_cross_entropy, arrays)
    compare(found, torch_gradients(peer, arrays), logits.dtype.name)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_other_cross_entropies(dtype, backend_name):
    rng = np.random.default_rng(0)
    logits, weights = rng.normal(size=(9, 5)).astype(dtype) * 4, rng.normal(size=(9,)).astype(dtype)
    targets = rng.dirichlet(np.ones(5), 9).astype(dtype)
    compare(with_gradients(backend_name, lambda a: ops.softmax_cross_entropy(a, targets), [logits, weights]),
            torch_gradients(lambda a: torch.nn.functional.cross_entropy(a, torch.tensor(targets),
                                                                        reduction="none"),
                            [logits, weights]), dtype)
    binary = torch.nn.functional.binary_cross_entropy_with_logits
    compare(with_gradients(backend_name, lambda a: ops.sigmoid_cross_entropy(a, targets), [logits, targets]),
            torch_gradients(lambda a: binary(a, torch.tensor(targets), reduction="none"),
                            [logits, targets]), dtype)


@pytest.fixture(scope="module")
def keras():
    """Keras on JAX: its documentation's arithmetic of padding is JAX's and TensorFlow's, not PyTorch's."""
    pytest.importorskip("jax")
    import warnings
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        keras = pytest.importorskip("keras")
    if keras.backend.backend() != "jax":
        pytest.skip(f"Keras runs on {keras.backend.backend()} here; set KERAS_BACKEND=jax")
    return keras


@settings(max_examples=100)
@given(data=st.data())
def test_conv_transpose(keras, backend_name, data):
    rank = data.draw(st.integers(1, 2))
    window = tuple(data.draw(st.integers(1, 5)) for _ in range(rank))
    sizes = tuple(data.draw(st.integers(1, 5)) for _ in range(rank))
    stride = data.draw(st.integers(1, 3))
    dilation = data.draw(st.integers(1, 2)) if stride == 1 else 1      # Keras takes no more together
    padding = data.draw(st.sampled_from(["valid", "same"]))
    output_padding = data.draw(st.sampled_from([None, None, *range(stride)]))
    rng = np.random.default_rng(data.draw(st.integers(0, 1000)))
    x = rng.normal(size=(data.draw(st.integers(1, 9)), *sizes, 3)).astype("float32")
    kernel = rng.normal(size=(*window, 2, 3)).astype("float32")
    if output_padding is not None and padding == "same":
        # A window wholly inside of what is cropped: the size that Keras computes is not positive.
        reach = [(k - 1) * dilation + 1 for k in window]
        assume(all((n - 1) * stride + r - 2 * (r // 2) + output_padding > 0
                   for n, r in zip(sizes, reach, strict=True)))
    expected = keras.ops.conv_transpose(x, kernel, stride, padding, output_padding, "channels_last", dilation)
    backends.set_current(backend_name)
    found = ops.conv_transpose(x, kernel, stride, padding, output_padding, "channels_last", dilation)
    np.testing.assert_allclose(found, np.asarray(expected), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("padding", ["valid", "same"])
@pytest.mark.parametrize("stride", [1, 2])
def test_conv_and_pool_like_keras(keras, padding, stride, backend):
    rng = np.random.default_rng(1)
    x, k = rng.normal(size=(3, 9, 8, 4)).astype("float32"), rng.normal(size=(3, 2, 4, 6)).astype("float32")
    np.testing.assert_allclose(ops.conv(x, k, stride, padding), keras.ops.conv(x, k, stride, padding),
                               rtol=1e-4,
                               atol=1e-5)
    np.testing.assert_allclose(ops.depthwise_conv(x, k, stride, padding),
                               keras.ops.depthwise_conv(x, k, stride, padding), rtol=1e-4, atol=1e-5)
    np.testing.assert_array_equal(ops.max_pool(x, (3, 2), stride, padding),
                                  keras.ops.max_pool(x, (3, 2), stride, padding))
