"""The functional API: graphs of calls, what models accept, and their configuration."""

import json

import numpy as np
import pytest

import pyconv
from pyconv import layers, ops
from pyconv.models import clone_model

X = np.random.default_rng(0).normal(size=(4, 3)).astype("float32")


def two_inputs():
    a, b = pyconv.Input((3,), name="a"), pyconv.Input((3,), name="b")
    total = layers.Add(name="sum")([a, layers.Dense(3, name="dense")(b)])
    return a, b, total


def round_trip(model):
    again = pyconv.Model.from_config(json.loads(json.dumps(model.get_config())))
    again.set_weights(model.get_weights())
    return again


def test_lists_tuples_and_dictionaries_of_inputs_and_outputs():
    a, b, total = two_inputs()
    dense = total.call.args[0][1].call.target
    expected = X + dense(2 * X)
    for inputs in ([a, b], (a, b), {"a": a, "b": b}):
        model = pyconv.Model(inputs, {"total": total, "twice": total * 2})
        for given in ([X, 2 * X], (X, 2 * X), {"b": 2 * X, "a": X}):
            out = model(given)
            assert list(out) == ["total", "twice"]
            np.testing.assert_allclose(out["total"], expected, rtol=1e-6)
            np.testing.assert_allclose(out["twice"], 2 * expected, rtol=1e-6)
        again = round_trip(model)
        np.testing.assert_array_equal(again({"b": 2 * X, "a": X})["twice"], out["twice"])
        assert again.input_names == ["a", "b"]
    both = pyconv.Model([a, b], (total, a))
    assert isinstance(both([X, X]), tuple) and both.output_shape == ((None, 3), (None, 3))


def test_inputs_that_are_missing_or_too_many():
    a, b, total = two_inputs()
    model = pyconv.Model([a, b], total)
    with pytest.raises(ValueError, match="the input 'b' is missing; given: 'a'"):
        model({"a": X})
    with pytest.raises(ValueError, match="1 inputs were given; the model has 2: 'a', 'b'"):
        model(X)
    with pytest.raises(ValueError, match=r"the input 'b' expects shape \(None, 3\), got \(None, 2\)"):
        model([X, X[:, :2]])


def test_a_disconnected_graph_names_the_missing_input():
    a, b, total = two_inputs()
    with pytest.raises(ValueError,
                       match=r"Input 'b' of shape \(None, 3\), which layer 'dense' uses.*inputs \('a'\)"):
        pyconv.Model(a, total)


@pytest.mark.parametrize("make,expected", [
    (lambda a: pyconv.Model(a, 3), "outputs must be made of tensors"),
    (lambda a: pyconv.Model(X, a), "inputs must be made of tensors"),
    (lambda a: pyconv.Model([], a), "inputs is empty"),
    (lambda a: pyconv.Model([a, a], a), "stands in inputs twice"),
    (lambda a: pyconv.Model(a), "give both inputs and outputs"),
    (lambda a: pyconv.Model(a, layers.Dense(1, name="x")(layers.Dense(1, name="x")(a))),
     "2 layers have the name 'x'"),
])
def test_wrong_graphs(make, expected):
    with pytest.raises((ValueError, TypeError), match=expected):
        make(pyconv.Input((3,)))


def test_shared_layers_have_their_weights_once():
    a, b = pyconv.Input((3,)), pyconv.Input((3,))
    dense = layers.Dense(2)
    model = pyconv.Model([a, b], layers.Concatenate()([dense(a), dense(b)]))
    assert len(model.weights) == 2
    y = model([X, -X])
    np.testing.assert_allclose(y[:, :2], -y[:, 2:], rtol=1e-6)
    np.testing.assert_array_equal(round_trip(model)([X, -X]), y)


def test_functions_on_tensors():
    a = pyconv.Input((3,))
    y = ops.relu(-a + 1.0) @ np.eye(3, dtype="float32")
    y = ops.concatenate([y, a[:, ::-1], 2 / (1 + a * a)], axis=1)
    model = pyconv.Model(a, [y, ops.sum(y, axis=-1), a[..., 0]])
    expected = np.concatenate([np.maximum(1 - X, 0), X[:, ::-1], 2 / (1 + X * X)], 1)
    for one in (model, round_trip(model)):
        for found, wanted in zip(one(X), (expected, expected.sum(-1), X[:, 0]), strict=True):
            np.testing.assert_allclose(found, wanted, rtol=1e-5)
    assert [t.shape for t in model.outputs] == [(None, 9), (None,), (None,)]


def test_models_in_models():
    inner = pyconv.Sequential([pyconv.Input((3,)), layers.Dense(2, name="deep")], name="inner")
    a = pyconv.Input((3,))
    middle = pyconv.Model(a, layers.Dense(1)(inner(a)), name="middle")
    b = pyconv.Input((3,))
    outer = pyconv.Model(b, middle(b) + 1.0)
    np.testing.assert_allclose(outer(X), middle(X) + 1, rtol=1e-6)
    assert len(outer.weights) == 4 and outer.get_layer("middle").get_layer("inner") is inner
    np.testing.assert_array_equal(round_trip(outer)(X), outer(X))
    with pytest.raises(ValueError, match=r"Model 'middle' \(Model\): the input .* got \(None, 5\)"):
        middle(pyconv.Input((5,)))


def test_a_model_of_intermediate_tensors():
    model = pyconv.Sequential([pyconv.Input((3,)), layers.Dense(4, name="first"),
                               layers.Dense(2, name="second")])
    features = pyconv.Model(model.inputs, model.get_layer("first").output)
    head = pyconv.Model(model.get_layer("second").input, model.outputs)
    np.testing.assert_allclose(head(features(X))[0], model(X), rtol=1e-6)
    assert features.output_shape == (None, 4)


def test_arrays_are_cast_to_the_inputs_type():
    image, label = pyconv.Input((2, 2, 1)), pyconv.Input((), dtype="int32", name="label")
    model = pyconv.Model([image, label], [image * 1.0, label + 1])
    x = np.arange(8, dtype="uint8").reshape(2, 2, 2, 1)
    y, n = model([x, np.array([3, 4])])
    assert y.dtype == "float32" and n.dtype == "int32" and n.tolist() == [4, 5]
    np.testing.assert_array_equal(y, x)
    (function,) = [f for k, f in model._programs.items() if k != "version"]
    assert "uint8" in str(list(function.programs))          # the program takes bytes and converts them itself


def test_a_last_axis_of_one_may_be_missing_or_superfluous():
    model = pyconv.Sequential([pyconv.Input((5, 4, 1)), layers.Conv2D(2, 3), layers.Flatten()])
    x = np.random.default_rng(0).normal(size=(3, 5, 4))
    np.testing.assert_array_equal(model(x), model(x[..., None]))
    flat = pyconv.Sequential([pyconv.Input((4,)), layers.Dense(2)])
    np.testing.assert_array_equal(flat(x[:, 0, :, None]), flat(x[:, 0]))
    assert model(pyconv.Input((5, 4))).shape == (None, 12)
    for shape in ((3, 5, 3), (3, 5, 4, 2), (5, 4, 1, 1, 1), (3,)):
        with pytest.raises(ValueError, match=r"expects shape \(None, 5, 4, 1\), got \(None"):
            model(np.zeros(shape))


def test_open_sizes():
    a = pyconv.Input((None, None, 2))
    y = layers.Conv2D(3, 3, strides=2, padding="same")(a)
    model = pyconv.Model(a, layers.MaxPooling2D(2)(y))
    assert model.output_shape == (None, None, None, 3)
    for n in (8, 9, 13):
        size = -(-n // 2) // 2
        assert model(np.zeros((2, n, n, 2), "float32")).shape == (2, size, size, 3)
    with pytest.raises(ValueError, match=r"Dense.*last axis has a known size.*\(None, None\)"):
        layers.Dense(1)(layers.Flatten()(a))


def test_a_fixed_batch():
    a = pyconv.Input((3,), batch_size=4)
    model = pyconv.Model(a, layers.Dense(2)(a))
    assert model.output_shape == (4, 2) and model(X).shape == (4, 2)
    with pytest.raises(ValueError, match=r"expects shape \(4, 3\)"):
        model(X[:2])


def test_layers_of_a_model_and_their_names():
    a, b, total = two_inputs()
    model = pyconv.Model([a, b], total)
    assert [layer.name for layer in model.layers] == ["b", "a", "dense", "sum"]
    assert model.get_layer("dense") is model.get_layer(index=2)
    assert model.output_names == ["sum"]
    for wrong, expected in ((lambda: model.get_layer("dens"), "'dens' is not known. Did you mean 'dense'"),
                            (lambda: model.get_layer(index=9), "index 9 is out of range"),
                            (lambda: model.get_layer(), "either a name or an index"),
                            (lambda: model.get_layer("a", 1), "either a name or an index")):
        with pytest.raises(ValueError, match=expected):
            wrong()


def test_training_mode_recorded_in_a_call_stays():
    a = pyconv.Input((50,))
    model = pyconv.Model(a, layers.Dropout(0.5)(a, training=True))
    assert (model(np.ones((2, 50))) == 0).any()


def test_clone_has_weights_of_its_own():
    a, b, total = two_inputs()
    model = pyconv.Model([a, b], total)
    copy = clone_model(model)
    assert copy.get_config() == model.get_config()
    assert not np.array_equal(copy.get_weights()[0], model.get_weights()[0])


def test_a_configuration_only_reaches_public_functions():
    a = pyconv.Input((3,))
    config = pyconv.Model(a, ops.exp(a)).get_config()
    entry = next(e for e in config["layers"] if e["class_name"] == "Function")
    entry["config"]["function"] = "ops.__import__"
    with pytest.raises(ValueError, match="does not have"):
        pyconv.Model.from_config(config)


def test_a_deep_model_needs_no_recursion():
    x = a = pyconv.Input((2,))
    for _ in range(1200):
        x = x + 1.0
    np.testing.assert_array_equal(pyconv.Model(a, x)(X[:, :2] * 0), np.full((4, 2), 1200))
