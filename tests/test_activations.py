"""Activation functions: formulas, extreme arguments, gradients, names, symbolic use."""

import numpy as np
import pytest

import pyconv
from pyconv import activations, layers
from pyconv.graph import Graph, gradients, simplify, trace
from pyconv.testing import check_gradients

NAMES = [n for n in activations.__all__ if n not in ("get", "serialize", "deserialize", "threshold")]
EACH = pytest.mark.parametrize("name", NAMES)


@EACH
def test_gradients(name):
    x = np.random.default_rng(1).normal(size=(3, 6)) * 2
    check_gradients(getattr(activations, name), [x])


@EACH
def test_large_arguments_stay_finite(name):
    """Neither values nor gradients overflow: an unused branch must not spoil the one that counts."""
    x = np.array([[-1e4, -100, -30, 0, 30, 100, 80, -80]], "float32")
    graph, out = trace(lambda t: getattr(activations, name)(t), [(x.shape, "float32")])
    from pyconv import backends, ops
    if name == "exponential":
        x = np.minimum(x, 80)
    (grad,) = gradients(ops.sum(out), list(graph.inputs))
    y, g = backends.current().compile(simplify(Graph(graph.inputs, [out, grad])))([x])
    assert np.isfinite(y).all() and np.isfinite(g).all()


@EACH
def test_in_layers_and_by_name(name):
    function = getattr(activations, name)
    assert activations.get(name) is function and activations.get(function) is function
    assert activations.serialize(function) in NAMES
    assert activations.deserialize(activations.serialize(function)) is function
    x = np.random.default_rng(1).normal(size=(3, 6)).astype("float32")
    # A layer is a program, where x * sigmoid(x) is one instruction: the last bit may differ from op by op.
    np.testing.assert_allclose(layers.Activation(name)(x), function(x), rtol=1e-6, atol=1e-7)
    inputs = pyconv.Input((6,))
    np.testing.assert_allclose(pyconv.Model(inputs, function(inputs) * 1.0)(x), function(x), rtol=1e-6)


def test_formulas():
    x = np.linspace(-4, 8, 25)
    np.testing.assert_allclose(activations.relu(x, 0.1, 5.0, 1.0),
                               np.where(x > 1, np.minimum(x, 5), 0.1 * (x - 1)))
    np.testing.assert_allclose(activations.relu6(x), np.clip(x, 0, 6))
    np.testing.assert_allclose(activations.silu(x), x / (1 + np.exp(-x)))
    np.testing.assert_allclose(activations.softplus(x), np.log1p(np.exp(x)))
    np.testing.assert_allclose(activations.softmax(x).sum(), 1)
    np.testing.assert_allclose(activations.log_softmax(x), np.log(activations.softmax(x)))
    np.testing.assert_allclose(activations.elu(x, 2.0), np.where(x > 0, x, 2 * np.expm1(x)))
    np.testing.assert_allclose(activations.threshold(x, 1.0, -7.0), np.where(x > 1, x, -7))
    assert activations.get(None) is activations.linear and activations.swish is activations.silu


def test_errors():
    with pytest.raises(ValueError, match="activation 'rellu' is not known. Did you mean 'relu'"):
        activations.get("rellu")
    with pytest.raises(TypeError, match="activation must be a name"):
        activations.get(3)


def test_a_users_function():
    def double(x):
        return 2 * x
    layer = layers.Dense(2, activation=double, kernel_initializer="ones")
    np.testing.assert_array_equal(layer(np.ones((1, 3))), [[6, 6]])
