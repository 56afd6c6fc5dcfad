"""Normalization: what adapt finds, and what is saved. Shapes, errors and configurations are tested with all layers."""

import os

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import pyconv
from pyconv import layers

os.environ.setdefault("KERAS_BACKEND", "torch")


@pytest.fixture
def rng():
    return np.random.default_rng(6)


@given(seed=st.integers(0, 999), cuts=st.lists(st.integers(0, 11), max_size=3),
       axis=st.sampled_from([-1, 1, (1, -1), None, (-1, 2, 1)]), shift=st.sampled_from([0.0, 1e6]))
def test_adapt_finds_mean_and_variance_in_any_batches(seed, cuts, axis, shift):
    """Also where the numbers are far from 0, and where batches are empty."""
    x = np.random.default_rng(seed).normal(2, 3, (11, 3, 4)) + shift
    kept = tuple(a % 3 for a in ((axis,) if isinstance(axis, int) else axis or ()))
    gone = tuple(a for a in range(3) if a not in kept)
    batches = np.split(x, sorted(cuts))
    for data in (x, batches, iter(batches), [(b, None) for b in batches]):
        layer = layers.Normalization(axis, dtype="float64")
        layer.adapt(data)
        mean, variance, _ = layer.get_weights()
        np.testing.assert_allclose(mean, x.mean(gone), rtol=1e-12)
        np.testing.assert_allclose(variance, x.var(gone), rtol=1e-8)
    y = layer(x)
    expected = (x - x.mean(gone, keepdims=True)) / x.std(gone, keepdims=True)
    np.testing.assert_allclose(y, expected, atol=1e-8 + shift * 1e-9)
    back = layers.Normalization(axis, invert=True, dtype="float64")
    back.build(x.shape)
    back.set_weights(layer.get_weights())
    np.testing.assert_allclose(back(y), x, rtol=1e-12)


@pytest.mark.peers
@pytest.mark.parametrize("axis", [-1, (1, 3), None])
def test_adapt_equals_keras(axis, rng):
    keras = pytest.importorskip("keras")
    x = rng.integers(0, 256, (20, 3, 4, 2)).astype("uint8")
    ours, theirs = layers.Normalization(axis), keras.layers.Normalization(axis)
    ours.adapt(x)
    theirs.adapt(x)
    np.testing.assert_allclose(ours(x), keras.ops.convert_to_numpy(theirs(x)), rtol=1e-5, atol=1e-6)
    for a, b in zip(ours.get_weights(), theirs.weights, strict=True):
        np.testing.assert_allclose(a, np.asarray(keras.ops.convert_to_tensor(b)), rtol=1e-6)
    theirs.set_weights(ours.get_weights())


def test_a_data_set_of_batches(rng):
    x = rng.normal(size=(10, 4))

    class Batches(pyconv.utils.PyDataset):
        def __len__(self):
            return 4

        def __getitem__(self, i):
            return x[3 * i:3 * i + 3], np.zeros(3)
    layer = layers.Normalization(dtype="float64")
    layer.adapt(Batches())
    np.testing.assert_allclose(layer(x).mean(0), 0, atol=1e-12)
    layer.adapt(x * 10)                 # forgets the first data; the compiled call sees the new numbers
    np.testing.assert_allclose(layer(x * 10).std(0), 1, rtol=1e-9)


def test_saved_with_the_model_and_never_trained(tmp_path, rng, backend):
    x, y = rng.normal(5, 2, (64, 6)).astype("float32"), rng.normal(size=(64, 1)).astype("float32")
    normalize = layers.Normalization()
    normalize.adapt(x)
    model = pyconv.Sequential([layers.Input((6,)), normalize, layers.Dense(1)])
    assert len(model.trainable_weights) == 2
    model.compile("sgd", "mse")
    before = normalize.get_weights()
    model.fit(x, y, verbose=0)
    for a, b in zip(before, normalize.get_weights(), strict=True):
        np.testing.assert_array_equal(a, b)
    model.save(tmp_path / "model.pyconv")
    again = pyconv.saving.load_model(tmp_path / "model.pyconv")
    np.testing.assert_array_equal(again.predict(x, verbose=0), model.predict(x, verbose=0))
    np.testing.assert_allclose(normalize(x).mean(0), 0, atol=1e-5)


def test_constant_features_do_not_divide_by_zero(backend):
    layer = layers.Normalization()
    layer.adapt(np.full((4, 2), 3.0))
    np.testing.assert_array_equal(layer(np.full((1, 2), 3.0)), 0)


@pytest.mark.parametrize("axis, mean, shape", [
    (-1, 2.0, (2, 3)), (-1, [1.0, 2, 3], (2, 3)), (None, 1.0, (2, 3)), (1, [1.0, 2, 3], (4, 3, 2)),
    ((1, 2), [[1.0, 2], [3, 4], [5, 6]], (4, 3, 2)), ((1, 2), [1.0, 2], (4, 3, 2))])
def test_given_numbers(axis, mean, shape, rng, backend):
    x, variance = rng.normal(size=shape), np.square(mean) + 1
    spread = np.asarray(mean) if axis != 1 else np.reshape(mean, (3, 1))
    y = layers.Normalization(axis, mean, variance, dtype="float64")(x)
    np.testing.assert_allclose(y, (x - spread) / np.sqrt(np.square(spread) + 1), rtol=1e-12)


@pytest.mark.parametrize("call, error, message", [
    (lambda: layers.Normalization(mean=1.0), ValueError, "must both be given or both be left out"),
    (lambda: layers.Normalization(mean=[1.0], variance=[1.0, 2]), ValueError, "must have equal shapes"),
    (lambda: layers.Normalization(None, [1.0], [1.0]), ValueError, "mean has 1 axes"),
    (lambda: layers.Normalization(mean=1.0, variance=-1.0), ValueError, "variance must be at least 0"),
    (lambda: layers.Normalization("last"), TypeError, "axis must be an int"),
    (lambda: layers.Normalization(mean=[1.0, 2], variance=[1.0, 2])(np.zeros((2, 3))), ValueError, "do not fit"),
    (lambda: layers.Normalization(0)(np.zeros((2, 3))), ValueError, "must be known"),
    (lambda: layers.Normalization(5)(np.zeros((2, 3))), ValueError, r"axis=\(5,\) does not exist"),
    (lambda: layers.Normalization().adapt([]), ValueError, "no samples"),
    (lambda: layers.Normalization().adapt(3), TypeError, "an array or an iterable of batches"),
    (lambda: layers.Normalization().adapt(np.array(["a"])), TypeError, "takes numbers"),
    (lambda: layers.Normalization().adapt([np.zeros((2, 3)), np.zeros((2, 4))]), ValueError, "3 elements along axis"),
    (lambda: layers.Normalization(mean=1.0, variance=1.0).adapt(np.zeros((2, 3))), ValueError, "cannot be used where"),
])
def test_errors(call, error, message):
    with pytest.raises(error, match=message):
        call()
