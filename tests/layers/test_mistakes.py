"""Mistakes in layers, losses and metrics of one's own that would otherwise train or predict something else."""

import numpy as np
import pytest

import pyconv
from pyconv import layers, ops

X = np.random.default_rng(0).random((8, 3), "float32")


class MakesLayer(pyconv.Model):
    def __init__(self, make):
        super().__init__()
        self.make, self.own = make, layers.Dense(3)

    def call(self, inputs):
        return self.make()(self.own(inputs))


class Within(layers.Layer):
    """A layer without weights of its own, whose inner one is made at the first call."""

    def __init__(self):
        super().__init__()
        self.inner = {"first": [layers.Dense(3)]}

    def call(self, inputs):
        return self.inner["first"][0](inputs)


@pytest.mark.parametrize("make", [
    lambda: layers.Dense(3), lambda: pyconv.Sequential([layers.Dense(3)]), Within,
    layers.BatchNormalization])
def test_weights_that_no_caller_owns(make):
    with pytest.raises(ValueError, match="neither trained nor saved"):
        MakesLayer(make).predict(X, verbose=0)


def test_a_lambda_does_not_own_what_its_function_calls():
    hidden = layers.Dense(3)
    model = pyconv.Sequential([layers.Lambda(lambda x: hidden(x))])
    with pytest.raises(ValueError, match="Dense.*Lambda.*to which it does not belong"):
        model.predict(X, verbose=0)


def test_weights_that_some_caller_owns():
    class Passes(layers.Layer):
        def call(self, inputs, layer=None):
            return layer(inputs)

    class Net(pyconv.Model):
        def __init__(self):
            super().__init__()
            self.passes, self.inner, self.within = Passes(), layers.Dense(3), [(Within(),)]

        def call(self, inputs):
            return self.within[0][0](self.passes(inputs, layer=self.inner))

    net = Net()
    assert net.predict(X, verbose=0).shape == (8, 3) and len(net.trainable_weights) == 4


def test_add_weight_in_call():
    class Adds(layers.Layer):
        def call(self, inputs):
            return inputs * self.add_weight(shape=(3,), name="scale")

    with pytest.raises(ValueError, match="add_weight belongs in __init__ or build.*'scale'"):
        Adds()(X)


def test_a_missing_return():
    class Forgets(layers.Layer):
        def call(self, inputs):
            ops.relu(inputs)

    for use in (lambda: Forgets()(X), lambda: pyconv.Sequential([pyconv.Input((3,)), Forgets()])):
        with pytest.raises(TypeError, match="Forgets.*returned None; does it lack"):
            use()


@pytest.mark.parametrize("value, message", [(None, "lack a `return`"), (3.0, "returned 3.0, not a tensor")])
@pytest.mark.parametrize("part", ["loss", "metric"])
def test_losses_and_metrics_without_a_value(value, message, part):
    def own(y_true, y_pred):
        return value

    model = pyconv.Sequential([layers.Dense(3)])
    model.compile("sgd", own if part == "loss" else "mse", metrics=[own] if part == "metric" else [])
    with pytest.raises(TypeError, match=f"the {part} 'own' .*{message}"):
        model.fit(X, X, verbose=0)


def test_numpy_on_symbolic_tensors():
    """Operators with an array at the left work; NumPy's other functions say what to use."""
    a = np.full(3, 2, "float32")

    def several(x):
        total = np.ones((3, 3), "float32")
        total += x
        return total, a + x, a - x, a * x, a / x, a ** x, X @ x[:3], np.float32(2) * x, (a < x) | (a >= x)

    def operators(x):
        total, *others = several(x)
        return ops.concatenate([ops.cast(ops.reshape(v, (-1,)), "float32") for v in (total, *others)], 0)[None]

    class Own(layers.Layer):
        def call(self, inputs):
            return operators(inputs)

    x = X[:3] + 1
    expected = np.concatenate([np.ravel(v) for v in several(x)[:-1]] + [np.ones(9, "float32")])
    np.testing.assert_allclose(Own()(x)[0], expected, rtol=1e-5)
    with pytest.raises(TypeError, match="NumPy's exp cannot compute with a symbolic tensor.*\n?.*pyconv.ops"):
        pyconv.Sequential([layers.Lambda(lambda x: np.exp(x))]).predict(X, verbose=0)
