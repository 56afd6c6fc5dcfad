"""Own training steps with value_and_grad, frozen parts, losses and metrics of layers, several outputs."""

import numpy as np
import pytest

import pyconv
from pyconv import layers, losses, metrics, ops
from pyconv.utils import value_and_grad

rng = np.random.default_rng(0)
X = rng.normal(size=(20, 4)).astype("float32")
Y = rng.normal(size=(20, 2)).astype("float32")


# ---- value_and_grad

def test_gradient_of_a_least_squares_fit(backend):
    """Against the formula: d mean((Xw - y)^2) / dw = 2 X'(Xw - y) / n."""
    w = pyconv.Variable(rng.normal(size=(4, 2)).astype("float32"))
    value, (grad,) = value_and_grad(lambda x, y: ops.mean(ops.square(ops.matmul(x, w) - y)), [w])(X, Y)
    rest = X @ w.array - Y
    np.testing.assert_allclose(value, np.mean(rest ** 2), rtol=1e-5)
    np.testing.assert_allclose(grad, 2 * X.T @ rest / rest.size, rtol=1e-4, atol=1e-6)


def test_with_respect_to_the_first_argument():
    value, grad = value_and_grad(lambda x: ops.sum(ops.square(x)))(np.arange(3.0))
    assert value == 5 and grad.dtype == "float64"
    np.testing.assert_array_equal(grad, [0, 2, 4])
    _, grads = value_and_grad(lambda x, k: ops.sum(x["a"] * k) + 3 * x["b"])({"a": np.ones(2), "b": 1.0},
                                                                            np.array([5.0, 6.0]))
    np.testing.assert_array_equal(grads["a"], [5, 6])
    assert grads["b"] == 3


def test_structures_and_what_the_loss_does_not_depend_on():
    w, u = pyconv.Variable(3.0), pyconv.Variable(1.0)
    value, grads = value_and_grad(lambda: w * w, {"w": w, "u": u})()
    assert value == 9 and grads["w"] == 6 and grads["u"] is None
    assert value_and_grad(lambda: w * w, w)()[1] == 6


def test_aux_keywords_and_state():
    w, seen = pyconv.Variable(2.0), pyconv.Variable(0.0, trainable=False)

    def loss(x, factor=1.0):
        seen.assign_add(1.0)
        return ops.sum(w * x) * factor, {"double": x * 2}
    gradient = value_and_grad(loss, [w], has_aux=True)
    (value, aux), (grad,) = gradient(X[:1], factor=3.0)
    np.testing.assert_allclose(value, 6 * X[:1].sum(), rtol=1e-5)
    np.testing.assert_allclose(grad, 3 * X[:1].sum(), rtol=1e-5)
    np.testing.assert_array_equal(aux["double"], 2 * X[:1])
    gradient(X[:1])
    assert float(seen) == 2


@pytest.mark.parametrize("call,error,expected", [
    (lambda: value_and_grad(3), TypeError, "must be callable"),
    (lambda: value_and_grad(ops.sum, [X]), TypeError, "pyconv.Variable objects"),
    (lambda: value_and_grad(lambda x: x * 1.0)(X), ValueError, "Only a scalar has a gradient"),
    (lambda: value_and_grad(ops.sum)(np.arange(3)), TypeError, "only floats have gradients"),
    (lambda: value_and_grad(lambda: ops.sum(X))(), TypeError, "there is none"),
    (lambda: value_and_grad(lambda x: (ops.sum(x), x))(X), TypeError, "has_aux=True"),
    (lambda: value_and_grad(ops.sum, has_aux=True)(X), TypeError, r"must return \(loss, aux\)")])
def test_errors(call, error, expected):
    with pytest.raises(error, match=expected):
        call()


class Own(pyconv.Model):
    """The step of `Model`, written by a user."""

    def train_step(self, data):
        x, y, sample_weight = data

        def loss():
            return self.compute_loss(x, y, self(x, training=True), sample_weight)
        value, grads = value_and_grad(loss, self.trainable_variables)()
        self.optimizer.apply(grads, self.trainable_variables)
        return {"loss": value}


def build(cls):
    pyconv.utils.set_random_seed(3)
    inputs = pyconv.Input((4,))
    x = layers.Dropout(0.2)(layers.Dense(5, activation="relu", kernel_regularizer="l2")(inputs))
    model = cls(inputs, layers.Dense(2)(x))
    model.compile("adam", "mse")
    return model


def test_an_own_step_is_the_built_in_one(backend):
    first, second = build(pyconv.Model), build(Own)
    for model in (first, second):
        model.fit(X, Y, batch_size=10, epochs=2, shuffle=False, verbose=0)
    for a, b in zip(first.get_weights(), second.get_weights(), strict=True):
        np.testing.assert_array_equal(a, b)


@pytest.mark.parametrize("once", [True, False])
def test_an_own_step_may_ask_for_weights_before_it_calls_the_model(once):
    class Own(pyconv.Model):
        def __init__(self):
            super().__init__()
            self.a, self.b = layers.Dense(4), layers.Dense(2)

        def call(self, inputs):
            return self.b(self.a(inputs))

        def train_step(self, data):
            x, y, _ = data
            weights = self.trainable_variables
            loss, grads = value_and_grad(lambda: ops.mean(ops.square(self(x) - y)), weights)()
            self.optimizer.apply(grads, weights if once else self.trainable_variables)
            return {"loss": loss}

    model = Own()
    model.compile(pyconv.optimizers.SGD(0.1, momentum=0.9))
    history = model.fit(X, Y, batch_size=20, epochs=5, verbose=0).history["loss"]
    assert history[-1] < history[0] and len(model.optimizer.variables) == 2 + 4


def test_an_own_step_has_optimizers_of_its_own():
    class Twice(pyconv.Model):
        def __init__(self):
            super().__init__()
            self.a, self.b = layers.Dense(4), layers.Dense(2)
            self.slow, self.quick = pyconv.optimizers.SGD(0.01), pyconv.optimizers.Adam(0.1)

        def call(self, inputs):
            return self.b(self.a(inputs))

        def train_step(self, data):
            x, y, _ = data
            weights = self.a.trainable_variables + self.b.trainable_variables
            loss, grads = value_and_grad(lambda: ops.mean(ops.square(self(x) - y)), weights)()
            self.slow.apply(grads[:2], weights[:2])
            self.quick.apply(grads[2:], weights[2:])
            return {"loss": loss}

    model = Twice()
    model.compile(optimizer=None)
    history = model.fit(X, Y, epochs=5, verbose=0).history["loss"]
    assert history[-1] < history[0] and int(model.quick.iterations) == int(model.slow.iterations) == 5
    plain = pyconv.Sequential([layers.Dense(2)])
    plain.compile(optimizer=None, loss="mse")
    with pytest.raises(ValueError, match="without an optimizer"):
        plain.fit(X, Y, verbose=0)


def test_a_gradient_of_a_gradient_in_a_step():
    """The penalty |dD/dx|^2 of a discriminator (WGAN-GP) trains: gradients are part of the graph."""
    class Penalized(pyconv.Sequential):
        def train_step(self, data):
            x, y, _ = data

            def loss():
                _, slope = value_and_grad(lambda v: ops.sum(self(v, training=True)))(x)
                return ops.mean(ops.square(ops.sum(ops.square(slope), -1) - 1.0))
            value, grads = value_and_grad(loss, self.trainable_variables[:1])()
            self.optimizer.apply(grads, self.trainable_variables[:1])
            return {"loss": value}
    model = Penalized([pyconv.Input((4,)), layers.Dense(1)])
    model.compile(pyconv.optimizers.SGD(0.05))
    model.fit(X, Y[:, :1], epochs=150, verbose=0)
    np.testing.assert_allclose(np.sum(model.get_weights()[0] ** 2), 1, rtol=1e-2)


# ---- parts of models

def test_frozen_layers_do_not_move_and_can_be_set_free():
    inner = pyconv.Sequential([pyconv.Input((4,)), layers.Dense(3), layers.Dense(3)], name="body")
    inputs = pyconv.Input((4,))
    model = pyconv.Model(inputs, layers.Dense(2)(inner(inputs)))
    model.get_layer("body").trainable = False
    assert len(model.trainable_variables) == 2 and not inner.layers[0].trainable
    model.compile("adam", "mse")
    before = inner.get_weights()
    model.fit(X, Y, verbose=0)
    for a, b in zip(before, inner.get_weights(), strict=True):
        np.testing.assert_array_equal(a, b)
    inner.trainable = True
    inner.layers[0].trainable = False
    model.fit(X, Y, verbose=0)
    after = inner.get_weights()
    assert np.array_equal(before[0], after[0]) and not np.array_equal(before[2], after[2])


def test_losses_of_layers_anywhere_in_a_model():
    class Small(layers.Layer):
        def call(self, inputs):
            self.add_loss(0.1 * ops.sum(ops.square(inputs)))
            return inputs
    inner = pyconv.Sequential([pyconv.Input((4,)), Small()])
    model = pyconv.Sequential([pyconv.Input((4,)), inner, layers.Dense(2)])
    model.compile("sgd", "mse")
    expected = np.mean((model.predict(X, verbose=0) - Y) ** 2) + 0.1 * np.sum(X ** 2)
    np.testing.assert_allclose(model.evaluate(X, Y, batch_size=20, verbose=0), expected, rtol=1e-5)


def test_metrics_of_layers_are_in_the_logs():
    class Watched(layers.Layer):
        def __init__(self, **kwargs):
            super().__init__(**kwargs)
            self.size = metrics.Mean(name="size")

        def call(self, inputs):
            self.size.update_state(ops.mean(ops.absolute(inputs)))
            return inputs
    model = pyconv.Sequential([pyconv.Input((4,)), Watched(), layers.Dense(2)])
    model.compile("sgd", "mse", metrics=["mae"])
    history = model.fit(X, Y, epochs=2, batch_size=20, verbose=0).history
    assert list(history) == ["loss", "mae", "size"] == model.metrics_names
    np.testing.assert_allclose(history["size"], np.abs(X).mean(), rtol=1e-5)
    np.testing.assert_allclose(model.evaluate(X, Y, batch_size=10, verbose=0, return_dict=True)["size"],
                               np.abs(X).mean(), rtol=1e-5)


def test_own_metrics_as_attributes():
    class Tracked(pyconv.Sequential):
        def __init__(self, *args, **kwargs):
            super().__init__(*args, **kwargs)
            self.tracker = metrics.Mean(name="own")

        def train_step(self, data):
            x, y, _ = data
            value, grads = value_and_grad(lambda: ops.mean(ops.square(self(x, training=True) - y)),
                                          self.trainable_variables)()
            self.optimizer.apply(grads, self.trainable_variables)
            self.tracker.update_state(value)
            return {"own": self.tracker.result()}
    model = Tracked([pyconv.Input((4,)), layers.Dense(2)])
    model.compile("sgd")
    own = model.fit(X, Y, batch_size=10, epochs=3, verbose=0, shuffle=False).history["own"]
    assert own == sorted(own, reverse=True) and float(model.tracker.count) == 2     # reset in every epoch


# ---- several outputs

def two_outputs():
    inputs = pyconv.Input((4,))
    return pyconv.Model(inputs, {"kind": layers.Dense(3, name="k")(inputs), "size": layers.Dense(2)(inputs)})


def test_a_dictionary_of_outputs_with_a_loss_each():
    model = two_outputs()
    crossentropy = losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile("sgd", {"kind": crossentropy, "size": "mse"}, {"size": 0.25},
                  metrics={"kind": ["accuracy"], "size": ["mae"]})
    labels = {"size": Y, "kind": np.arange(20) % 3}
    logs = model.evaluate(X, labels, verbose=0, return_dict=True)
    out = model.predict(X, verbose=0)
    size = np.mean((out["size"] - Y) ** 2)
    kind = float(crossentropy(labels["kind"], out["kind"]))
    np.testing.assert_allclose([logs["loss"], logs["kind_loss"], logs["size_loss"], logs["size_mae"],
                                logs["kind_accuracy"]],
                               [kind + 0.25 * size, kind, size, np.abs(out["size"] - Y).mean(),
                                (out["kind"].argmax(1) == labels["kind"]).mean()], rtol=1e-5)
    assert len(model.fit(X, labels, verbose=0).history) == 5


def test_names_that_no_output_has():
    model = two_outputs()
    model.compile("sgd", {"kind": "mse", "sise": "mse"})
    with pytest.raises(ValueError, match="'sise'.*'kind', 'size'"):
        model.fit(X, {"kind": Y, "size": Y}, verbose=0)
