"""clone_model: the same architecture, new weights, and layers replaced on the way; models as JSON."""

import json

import numpy as np
import pytest

import pyconv
from pyconv import layers, ops
from pyconv.models import clone_model, model_from_json

X = np.random.default_rng(0).normal(size=(3, 4)).astype("float32")


def functional():
    inputs = pyconv.Input((4,), name="a")
    shared = layers.Dense(4, name="shared")
    x = ops.relu(shared(shared(inputs))) + 1.0
    return pyconv.Model(inputs, {"y": layers.Dense(2, name="last")(x)}, name="net")


def sequential():
    return pyconv.Sequential([pyconv.Input((4,)), layers.Dense(3, name="first"),
                              layers.Dense(2, name="last")])


def deferred():
    return pyconv.Sequential([layers.Dense(3, name="first"), layers.Dense(2, name="last")])


def value(result):
    return result["y"] if isinstance(result, dict) else result


@pytest.mark.parametrize("make", [functional, sequential, deferred])
@pytest.mark.parametrize("arguments", [{}, {"clone_function": lambda layer: type(layer).from_config(
    layer.get_config())}])
def test_same_network_with_new_weights(make, arguments):
    model = make()
    expected = value(model(X)) if make is not deferred else None
    new = clone_model(model, **arguments)
    assert type(new) is type(model) and new.name == model.name
    assert [n.name for n in new.layers] == [n.name for n in model.layers]
    assert not {id(n) for n in new.layers} & {id(n) for n in model.layers}
    if make is not deferred:
        assert not np.array_equal(value(new(X)), expected)
        new.set_weights(model.get_weights())
        np.testing.assert_array_equal(value(new(X)), expected)


@pytest.mark.parametrize("make", [functional, sequential])
def test_a_clone_function_replaces_layers(make):
    seen = []

    def clone(layer):
        seen.append(layer.name)
        config = layer.get_config()
        return layers.Dense(**{**config, "use_bias": False}) if layer.name == "last" else type(
            layer).from_config(config)
    new = clone_model(make(), clone_function=clone)
    assert seen == [n.name for n in make().layers if not isinstance(n, layers.InputLayer)]
    assert not new.get_layer("last").use_bias and len(new.weights) == 3


@pytest.mark.parametrize("make", [functional, sequential])
def test_other_inputs(make):
    begin = pyconv.Input((2,))
    model = make()
    new = clone_model(model, input_tensors=layers.Dense(4, name="before")(begin))
    assert value(pyconv.Model(begin, new.outputs[0])(X[:, :2])).shape == (3, 2)


def test_layers_are_put_behind_others():
    """Each call of a Dense layer is doubled, with the very same layers: as y = f(x) and 2 f(x) by hand."""
    model = functional()

    def call(layer, *args, **kwargs):
        y = layer(*args, **kwargs)
        return layers.Rescaling(2.0)(y) if layer.name == "last" else y
    new = clone_model(model, clone_function=lambda layer: layer, call_function=call)
    np.testing.assert_allclose(new(X)["y"], 2 * model(X)["y"], rtol=1e-6)
    assert len(new.layers) == len(model.layers) + 1
    with pytest.raises(ValueError, match="call_function is for functional models"):
        clone_model(sequential(), call_function=call)


@pytest.mark.parametrize("recursive,expected", [(True, ["inner_first", "first"]), (False, ["inner", "first"])])
def test_models_within_models(recursive, expected):
    inner = pyconv.Sequential([pyconv.Input((4,)), layers.Dense(3, name="inner_first")], name="inner")
    model = pyconv.Sequential([pyconv.Input((4,)), inner, layers.Dense(3, name="first")])
    seen = []

    def clone(layer):
        seen.append(layer.name)
        return type(layer).from_config(layer.get_config())
    new = clone_model(model, clone_function=clone, recursive=recursive)
    assert seen == expected and new.get_layer("inner").get_layer("inner_first") is not inner.layers[-1]
    new.set_weights(model.get_weights())
    np.testing.assert_array_equal(new(X), model(X))


@pytest.mark.parametrize("make", [functional, sequential])
def test_json(make):
    model = make()
    text = model.to_json(indent=1)
    new = model_from_json(text)
    assert type(new) is type(model) and not new.compiled and json.loads(new.to_json()) == json.loads(text)
    new.set_weights(model.get_weights())
    np.testing.assert_array_equal(value(new(X)), value(model(X)))


def test_json_with_a_class_of_ones_own():
    class Twice(layers.Layer):
        def call(self, inputs):
            return inputs * 2
    text = pyconv.Sequential([pyconv.Input((4,)), Twice()]).to_json()
    np.testing.assert_array_equal(model_from_json(text, {"Twice": Twice})(X), 2 * X)
    for wrong, message in (("{", "is no JSON"), ("[1]", "must describe a model"),
                           ('{"class_name": "Dense", "config": {"units": 1}}', "describes a Dense")):
        with pytest.raises(ValueError, match=message):
            model_from_json(wrong)


def test_errors():
    class Own(pyconv.Model):
        def call(self, inputs):
            return inputs
    with pytest.raises(TypeError, match="takes a model"):
        clone_model(layers.Dense(1))
    with pytest.raises(ValueError, match="only be cloned as a whole"):
        clone_model(Own(), clone_function=lambda n: n)
    with pytest.raises(TypeError, match="must return a layer, got None for 'shared'"):
        clone_model(functional(), clone_function=lambda n: None)
    with pytest.raises(ValueError, match="2 input_tensors"):
        clone_model(functional(), input_tensors=[pyconv.Input((4,)), pyconv.Input((4,))])
