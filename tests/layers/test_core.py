"""EinsumDense, Embedding, Lambda, PReLU and the like: what the common tests cannot say."""

import json

import numpy as np
import pytest

import pyconv
from pyconv import layers, ops

RNG = np.random.default_rng(9)


@pytest.mark.parametrize("equation, output_shape, shape", [
    ("abc,cd->abd", (None, 300), (2, 3, 200)), ("abc,cde->abde", (None, 30, 10), (2, 3, 200)),
    ("abcd,cde->abe", (None, 300), (2, 3, 20, 10)), ("abc,dc->abd", (None, 300), (2, 3, 200))])
def test_einsum_dense_starts_with_the_spread_of_a_dense_layer(equation, output_shape, shape):
    """Glorot's limit is that of 200 inputs and 300 outputs, however the axes are arranged."""
    layer = layers.EinsumDense(equation, output_shape)
    layer.build(shape)
    kernel = layer.kernel.numpy()
    limit = np.sqrt(6 / 500)
    assert 0.98 * limit < np.abs(kernel).max() <= limit
    np.testing.assert_allclose(kernel.std(), limit / np.sqrt(3), rtol=0.02)


def test_einsum_dense_is_dense():
    x = RNG.normal(size=(2, 3, 4))
    einsum, dense = (layers.EinsumDense("abc,cd->abd", (None, 5), bias_axes="d", dtype="float64"),
                     layers.Dense(5, dtype="float64"))
    dense(x), einsum(x)
    einsum.set_weights(dense.get_weights())
    np.testing.assert_allclose(einsum(x), dense(x), rtol=1e-12)


@pytest.mark.parametrize("call, message", [
    (lambda: layers.EinsumDense("abc,cd", 3), "equation must be"),
    (lambda: layers.EinsumDense("...b,bc->c...", 3), "equation must be"),
    (lambda: layers.EinsumDense("ab,bc->ad", 3), "equation must be"),
    (lambda: layers.EinsumDense("ab,bc->ac", 3, bias_axes="b"), "bias_axes must be letters"),
    (lambda: layers.EinsumDense("abc,cd->abd", 3).build((None, 2, 4)), "must have 2 sizes"),
    (lambda: layers.EinsumDense("ab,bc->ac", 3).build((None, 2, 4)), "does not fit the equation"),
    (lambda: layers.EinsumDense("ab,bc->ac", 3).build((None, None)), "must be known"),
    (lambda: layers.EinsumDense("abc,cd->abd", (5, 3)).build((None, 2, 4)), "says 5 for 'b'"),
    (lambda: layers.Embedding(4, 2, mask_zero=True), "mask_zero=True is not supported"),
    (lambda: layers.Embedding(4, 2)(np.array([[4]])), "An index is 4"),
    (lambda: layers.PReLU(shared_axes=[3])(np.ones((2, 3))), "must be axes of an input"),
    (lambda: layers.PReLU()(pyconv.Input((None, 3))), "Name open axes in shared_axes"),
    (lambda: layers.RepeatVector(0), "n must be at least 1"),
    (lambda: layers.UpSampling2D(interpolation="bilinar"), "Did you mean 'bilinear'"),
    (lambda: layers.DepthToSpace(2)(np.ones((1, 2, 2, 6))), "no multiple of block_size"),
    (lambda: layers.SpaceToDepth(2)(np.ones((1, 3, 2, 6))), "no multiples of block_size=2"),
    (lambda: layers.Lambda(ops.abs, mask=lambda x, m: m), "masks are not supported"),
    (lambda: layers.Lambda("no_such_function"), "is not known here"),
])
def test_errors(call, message):
    with pytest.raises(ValueError, match=message):
        call()


def test_embedding_takes_first_values_and_learns_those_that_occur():
    first = RNG.normal(size=(5, 3)).astype("float32")
    layer = layers.Embedding(5, 3, weights=first)
    np.testing.assert_array_equal(layer(np.array([[4, 0]])), first[None, [4, 0]])
    assert "weights" not in layer.get_config()
    model = pyconv.Sequential([pyconv.Input((2,), dtype="int32"), layer, layers.Flatten(), layers.Dense(1)])
    model.compile("sgd", "mse")
    model.fit(np.array([[1, 3], [3, 1]]), np.ones((2, 1)), verbose=0)
    changed = np.any(layer.embeddings.numpy() != first, axis=1)
    np.testing.assert_array_equal(changed, [False, True, False, True, False])


def test_softmax_takes_a_mask():
    x, mask = RNG.normal(size=(2, 4)), np.array([[True, False, True, True]] * 2)
    y = layers.Softmax(dtype="float64")(x, mask)
    expected = np.where(mask, np.exp(x), 0)
    np.testing.assert_allclose(y, expected / expected.sum(1, keepdims=True), rtol=1e-12)


def halved(x, training=False):
    return x * (0.25 if training else 0.5)


def test_lambda_in_a_model_is_cloned_but_saved_only_if_registered(tmp_path):
    def model(function):
        return pyconv.Sequential([pyconv.Input((3,)), layers.Lambda(function, name="mine"), layers.Dense(1)])
    x = RNG.normal(size=(4, 3)).astype("float32")
    for function in (lambda x: x * 0.5, halved):
        first = model(function)
        again = pyconv.models.clone_model(first)
        again.set_weights(first.get_weights())
        np.testing.assert_array_equal(again.predict(x, verbose=0), first.predict(x, verbose=0))
        with pytest.raises(ValueError, match="'mine'.*code"):
            first.save(tmp_path / "model.pyconv")
    assert not list(tmp_path.iterdir())
    ours = model(ops.abs)
    ours.save(tmp_path / "ours.pyconv")
    np.testing.assert_array_equal(pyconv.models.load_model(tmp_path / "ours.pyconv").predict(x, verbose=0),
                                  ours.predict(x, verbose=0))
    pyconv.saving.register_serializable("test_core")(halved)
    first = model(halved)
    first.save(tmp_path / "model.pyconv")
    again = pyconv.models.load_model(tmp_path / "model.pyconv")
    np.testing.assert_array_equal(again.predict(x, verbose=0), first.predict(x, verbose=0))
    assert json.loads(json.dumps(again.layers[0].get_config()))["function"] == "test_core>halved"


def test_lambda_sees_training_and_tells_its_shape():
    layer = layers.Lambda(halved)
    x = np.ones((2, 3), "float32")
    np.testing.assert_array_equal(layer(x, training=True), x / 4)
    np.testing.assert_array_equal(layer(x), x / 2)
    pair = layers.Lambda(lambda t: ops.concatenate(t, -1))
    assert pair([pyconv.Input((2,)), pyconv.Input((3,))]).shape == (None, 5)
    assert layers.Lambda(ops.ravel, output_shape=(7,)).compute_output_shape((None, 3)) == (None, 7)
