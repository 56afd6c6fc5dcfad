"""clone_model: the same architecture, new weights, and layers replaced on the way."""

import numpy as np
import pytest

import pyconv
from pyconv import layers, ops
from pyconv.models import clone_model

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
