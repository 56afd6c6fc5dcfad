"""Multi-head attention: numbers, weights and masks as Keras's, gradients, and a model with it."""

import json
import os

import numpy as np
import pytest

import pyconv
from pyconv import layers, ops
from pyconv.testing import check_gradients, check_layer

RNG = np.random.default_rng(4)
Q, V, K = (RNG.normal(size=s).astype("float32") for s in ((2, 3, 6), (2, 5, 4), (2, 5, 7)))
MASK = RNG.random((2, 3, 5)) < 0.6
MASK[:, :, 0] = True

CASES = {
    "plain": ({"num_heads": 2, "key_dim": 3}, (Q, V), {}),
    "key": ({"num_heads": 2, "key_dim": 3, "value_dim": 4}, (Q, V, K), {}),
    "output": ({"num_heads": 3, "key_dim": 2, "output_shape": (2, 5), "use_bias": False}, (Q, V), {}),
    "mask": ({"num_heads": 2, "key_dim": 3}, (Q, V), {"attention_mask": MASK}),
    "mask_of_all": ({"num_heads": 2, "key_dim": 3}, (Q, V), {"attention_mask": MASK[:1]}),
    "causal": ({"num_heads": 2, "key_dim": 3}, (V, V), {"use_causal_mask": True}),
    "causal_mask": ({"num_heads": 2, "key_dim": 3}, (Q, V), {"use_causal_mask": True, "attention_mask": MASK}),
    "window": ({"num_heads": 2, "key_dim": 3, "sliding_window": 2}, (V, V), {}),
    "gate": ({"num_heads": 2, "key_dim": 3, "value_dim": 2, "use_gate": True, "bias_initializer": "ones"}, (Q, V), {}),
    "axes": ({"num_heads": 2, "key_dim": 3, "attention_axes": (2,)},
             tuple(RNG.normal(size=(2, 3, 4, 5)).astype("float32") for _ in range(2)), {}),
    "all_axes": ({"num_heads": 2, "key_dim": 3}, tuple(RNG.normal(size=(2, 3, 2, 5)).astype("float32")
                                                       for _ in range(2)), {}),
}


GROUPED = {"head_dim": 3, "num_query_heads": 4, "num_key_value_heads": 2}
CASES |= {
    "groups": (GROUPED, (Q, V, K), {}),
    "groups_mask": ({**GROUPED, "use_gate": True}, (Q, V), {"attention_mask": MASK}),
    "groups_causal": ({**GROUPED, "num_key_value_heads": 1, "use_bias": False}, (V, V), {"use_causal_mask": True}),
}


def make(case, **extra):
    arguments, inputs, options = CASES[case]
    cls = layers.GroupQueryAttention if case.startswith("groups") else layers.MultiHeadAttention
    return cls(**arguments, **extra), inputs, options


@pytest.mark.peers
@pytest.mark.parametrize("case", CASES)
def test_numbers_weights_and_configuration_are_kerass(case):
    os.environ.setdefault("KERAS_BACKEND", "jax")
    keras = pytest.importorskip("keras")
    ours, inputs, options = make(case)
    y, scores = ours(*inputs, return_attention_scores=True, **options)
    theirs = getattr(keras.layers, type(ours).__name__).from_config(json.loads(json.dumps(ours.get_config())))
    theirs.build(*(a.shape for a in inputs))
    assert [w.shape for w in ours.weights] == [tuple(w.shape) for w in theirs.weights]
    theirs.set_weights(ours.get_weights())
    expected = [keras.ops.convert_to_numpy(t) for t in theirs(*inputs, return_attention_scores=True, **options)]
    np.testing.assert_allclose(y, expected[0], rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(scores, expected[1], rtol=1e-4, atol=1e-5)
    again = type(ours).from_config(json.loads(json.dumps(theirs.get_config())))
    again(*inputs)
    again.set_weights(ours.get_weights())
    np.testing.assert_allclose(again(*inputs, **options), y, rtol=1e-6)


@pytest.mark.parametrize("case", CASES)
def test_gradients(case):
    layer, inputs, options = make(case, dtype="float64")
    inputs = [a.astype("float64") for a in inputs]
    layer(*inputs)
    check_gradients(lambda *tensors: layer(*tensors, **options), inputs, layer.trainable_variables)


@pytest.mark.parametrize("case", CASES)
def test_configuration_and_shapes(case):
    layer, inputs, options = make(case, name="heads", trainable=False)
    y = layer(*inputs, **options)
    assert layer.compute_output_shape(*(a.shape for a in inputs)) == y.shape
    config = json.loads(json.dumps(layers.serialize(layer)))
    again = layers.deserialize(config)
    assert json.loads(json.dumps(again.get_config())) == config["config"] and not again.trainable
    again(*inputs)
    again.set_weights(layer.get_weights())
    np.testing.assert_array_equal(again(*inputs, **options), y)


def test_keeps_the_properties_of_layers():
    check_layer(layers.MultiHeadAttention, {"num_heads": 2, "key_dim": 3}, ((3, 4), (2, 5)), skip=["errors"],
                max_examples=2)


def test_a_masked_value_does_not_matter():
    layer, _, _ = make("plain")
    mask = np.array([[True, True, False, True, False]] * 2)
    y = layer(Q, V, value_mask=mask)
    changed = np.where(mask[..., None], V, 9.0).astype("float32")
    np.testing.assert_array_equal(layer(Q, changed, value_mask=mask), y)
    _, scores = layer(Q, V, value_mask=mask, return_attention_scores=True)
    assert np.all(scores[..., ~mask[0]] == 0)


def test_dropout_only_in_training():
    layer, inputs, _ = make("plain", dropout=0.5, seed=3)
    y = layer(*inputs)
    np.testing.assert_array_equal(layer(*inputs, training=False), y)
    assert not np.allclose(layer(*inputs, training=True), y)


@pytest.mark.parametrize("mask", [[None, np.array([[True, False, True]] * 2)],
                                  [np.array([[True, False]] * 2), None]])
def test_masks_and_scores_of_attention(mask):
    q, v = RNG.normal(size=(2, 2, 4)), RNG.normal(size=(2, 3, 4))
    layer = layers.Attention(dtype="float64")
    y, weights = layer([q, v], mask=mask, return_attention_scores=True)
    scores = q @ v.swapaxes(1, 2)
    if mask[1] is not None:
        scores = np.where(mask[1][:, None], scores, -np.inf)
    expected = np.exp(scores) / np.exp(scores).sum(-1, keepdims=True)
    np.testing.assert_allclose(weights, expected, rtol=1e-12)
    kept = 1 if mask[0] is None else mask[0][..., None]
    np.testing.assert_allclose(y, expected @ v * kept, rtol=1e-12)


def test_a_network_with_attention_learns():
    """Which of the steps of a sequence is marked says which number is the answer."""
    x = RNG.normal(size=(256, 6, 2)).astype("float32")
    x[..., 1] = 0
    at = RNG.integers(0, 6, 256)
    x[np.arange(256), at, 1] = 3
    y = x[np.arange(256), at, 0]
    inputs = pyconv.Input((6, 2))
    hidden = layers.Dense(16, activation="relu")(inputs)
    hidden = layers.Add()([hidden, layers.MultiHeadAttention(2, 8)(hidden, hidden)])
    model = pyconv.Model(inputs, layers.Dense(1)(layers.GlobalMaxPooling1D()(layers.LayerNormalization()(hidden))))
    model.compile(pyconv.optimizers.Adam(0.01), "mse")
    history = model.fit(x, y, epochs=15, batch_size=32, verbose=0).history["loss"]
    assert history[-1] < 0.35 * history[0]
    again = pyconv.Model.from_config(json.loads(json.dumps(model.get_config())))
    again.set_weights(model.get_weights())
    np.testing.assert_array_equal(again.predict(x, verbose=0), model.predict(x, verbose=0))


def squeeze_and_excitation(x, ratio=4):
    """Hu et al., *Squeeze-and-excitation networks*, 2018."""
    channels = x.shape[-1]
    s = layers.GlobalAveragePooling2D(keepdims=True)(x)
    s = layers.Conv2D(channels // ratio, 1, activation="relu")(s)
    return layers.Multiply()([x, layers.Conv2D(channels, 1, activation="sigmoid")(s)])


def test_squeeze_and_excitation():
    inputs = pyconv.Input((5, 4, 8), dtype="float64")
    model = pyconv.Model(inputs, squeeze_and_excitation(inputs))
    x = RNG.normal(size=(3, 5, 4, 8))
    w1, b1, w2, b2 = model.get_weights()
    hidden = np.maximum(x.mean((1, 2)) @ w1[0, 0] + b1, 0)
    gate = 1 / (1 + np.exp(-(hidden @ w2[0, 0] + b2)))
    np.testing.assert_allclose(model.predict(x, verbose=0), x * gate[:, None, None], rtol=1e-5, atol=1e-6)
    check_gradients(lambda t: ops.cast(model(t), "float64"), [x[:1]], rtol=1e-2, atol=1e-2)


@pytest.mark.parametrize("call, message", [
    (lambda: layers.MultiHeadAttention(2, 3)(Q, V[0]), "needs a query"),
    (lambda: layers.MultiHeadAttention(2, 3)(Q, V, K[:, :3]), "needs a query"),
    (lambda: layers.MultiHeadAttention(2, 3, attention_axes=2)(Q, V), "must lie between"),
    (lambda: layers.GroupQueryAttention(3, 4, 3), "must be a multiple of"),
    (lambda: layers.Attention()(Q), "a list of 2 or 3 tensors"),
    (lambda: layers.Attention(score_mode="dto"), "Did you mean 'dot'"),
    (lambda: layers.MultiHeadAttention(0, 3), "num_heads must be at least 1"),
    (lambda: layers.MultiHeadAttention(2, 3, dropout=1.0), "dropout must be"),
])
def test_errors(call, message):
    with pytest.raises(ValueError, match=message):
        call()
