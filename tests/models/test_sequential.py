"""Sequential models: the list, deferred building, configuration."""

import json

import numpy as np
import pytest

import pyconv
from pyconv import layers
from pyconv.models import clone_model

X = np.random.default_rng(0).normal(size=(4, 3)).astype("float32")


def chain():
    return pyconv.Sequential([pyconv.Input((3,)), layers.Dense(4, activation="relu"), layers.Dense(2)])


def test_with_an_input_the_weights_are_there_at_once():
    model = chain()
    assert model.built and len(model.weights) == 4
    assert model.output_shape == (None, 2) and model.input_shape == (None, 3)
    assert len(model.layers) == 2
    dense, last = model.layers
    np.testing.assert_allclose(model(X), last(dense(X)), rtol=1e-6)


def test_without_an_input_they_are_made_at_the_first_call():
    model = pyconv.Sequential([layers.Conv2D(2, 3), layers.Flatten(), layers.Dense(2)])
    assert not model.built and not model.weights
    with pytest.raises(AttributeError, match="no outputs.*not built yet"):
        model.outputs  # noqa: B018
    assert model(np.zeros((2, 5, 5, 1), "uint8")).shape == (2, 2)
    assert model.built and len(model.weights) == 4 and model.input_shape == (None, 5, 5, 1)
    assert model.inputs[0].dtype == "uint8"
    assert model(np.zeros((2, 5, 5, 1), "float64")).dtype == "float32"
    with pytest.raises(ValueError, match="expects an input with 1 elements along axis -1, got 3"):
        model(np.zeros((2, 5, 5, 3)))


def test_build_makes_them_too():
    model = pyconv.Sequential([layers.Dense(2)])
    model.build((None, 3))
    assert model.built and model.output_shape == (None, 2)
    with pytest.raises(ValueError, match="has no layers"):
        pyconv.Sequential().build((None, 3))
    with pytest.raises(ValueError, match="one tuple of ints"):
        pyconv.Sequential([layers.Dense(2)]).build(3)


def test_add_and_pop():
    model = pyconv.Sequential()
    model.add(pyconv.Input((3,)))
    assert not model.built
    model.add(layers.Dense(4))
    first = model(X)
    model.add(layers.Dense(1))
    assert model(X).shape == (4, 1) and model.output_shape == (None, 1)
    popped = model.pop()
    assert popped.units == 1
    np.testing.assert_array_equal(model(X), first)
    model.pop()
    assert not model.layers and not model.built
    with pytest.raises(IndexError, match="no layer to remove"):
        model.pop()


def test_add_after_a_call_without_input():
    model = pyconv.Sequential([layers.Dense(4)])
    first = model(X)
    kernel = model.weights[0]
    model.add(layers.ReLU())
    np.testing.assert_array_equal(model(X), np.maximum(first, 0))
    assert model.weights[0] is kernel
    model.pop()
    np.testing.assert_array_equal(model(X), first)


def test_a_layer_that_does_not_fit_is_not_added():
    model = chain()
    with pytest.raises(ValueError, match="Conv2D.*expects an input with 4 axes, got 2"):
        model.add(layers.Conv2D(2, 3))
    assert len(model.layers) == 2 and model(X).shape == (4, 2)


@pytest.mark.parametrize("thing,error,expected", [
    (layers.Dense, TypeError, r"write Dense\(...\)"),
    (3, TypeError, "only layers can be added, got 3"),
    (lambda x: x, TypeError, "only layers can be added"),
    (pyconv.Input((3,)), ValueError, "an Input can only come first"),
    (layers.Dense(3, name="taken"), ValueError, "the name 'taken' already"),
], ids=["class", "number", "function", "Input", "name taken"])
def test_things_that_cannot_be_added(thing, error, expected):
    model = chain()
    model.add(layers.Identity(name="taken"))
    with pytest.raises(error, match=expected):
        model.add(thing)
    with pytest.raises(ValueError, match="is in the model already"):
        model.add(model.layers[0])


def test_the_old_input_shape_argument():
    model = pyconv.Sequential([layers.Dense(2, input_shape=(3,))])
    assert model.built and model.input_shape == (None, 3)


def test_a_model_first_brings_its_input():
    model = pyconv.Sequential([chain(), layers.Dense(1)])
    assert model.built and model.input_shape == (None, 3) and len(model.weights) == 6


def test_configuration_round_trip():
    for model in (chain(), pyconv.Sequential([layers.Dense(2), layers.Dense(3)]), pyconv.Sequential()):
        if model.layers:
            model(X)
        config = json.loads(json.dumps(model.get_config()))
        again = pyconv.Sequential.from_config(config)
        assert json.loads(json.dumps(again.get_config())) == config
        if model.layers:
            again.set_weights(model.get_weights())
            np.testing.assert_array_equal(again(X), model(X))
    assert clone_model(chain()).output_shape == (None, 2)


def test_a_batch_of_any_size_and_many_calls():
    model = chain()
    for n in (1, 3, 0, 4):
        np.testing.assert_allclose(model(X[:n]), model(X)[:n], rtol=1e-6)


def test_freezing_a_layer_is_seen_by_training():
    model = chain()
    model.layers[0].trainable = False
    model.compile("sgd", "mse")
    before = model.get_weights()
    model.fit(X, X[:, :2], verbose=0)
    after = model.get_weights()
    np.testing.assert_array_equal(before[0], after[0])
    assert (before[2] != after[2]).any()
    model.layers[0].trainable = True
    model.compile("sgd", "mse")
    model.fit(X, X[:, :2], verbose=0)
    assert (model.get_weights()[0] != before[0]).any()
