"""pyconv.random: distributions, seeds, and draws within models."""

import inspect
import math

import numpy as np
import pytest

import pyconv
from pyconv import layers, ops, random
from pyconv.ops.function import Function
from pyconv.utils import set_random_seed

N = 20_000
LOGITS = np.log(np.array([[0.1, 0.2, 0.7], [0.5, 0.5, 1e-9]], "float32"))
DRAWS = {"normal": lambda seed: random.normal((N,), 1.0, 2.0, seed=seed),
         "uniform": lambda seed: random.uniform((N,), -1.0, 3.0, seed=seed),
         "truncated_normal": lambda seed: random.truncated_normal((N,), 1.0, 0.5, seed=seed),
         "randint": lambda seed: random.randint((N,), -3, 4, seed=seed),
         "categorical": lambda seed: random.categorical(LOGITS, 5000, seed=seed),
         "dropout": lambda seed: random.dropout(np.ones(N, "float32"), 0.25, seed=seed),
         "shuffle": lambda seed: random.shuffle(np.arange(N), seed=seed)}


@pytest.mark.parametrize("name", DRAWS)
def test_seeds(name, backend):
    draw = DRAWS[name]
    np.testing.assert_array_equal(draw(3), draw(3))
    assert not np.array_equal(draw(3), draw(4))
    generator, again = random.SeedGenerator(3), random.SeedGenerator(3)
    first, second = draw(generator), draw(generator)
    assert not np.array_equal(first, second)
    np.testing.assert_array_equal(first, draw(again))
    np.testing.assert_array_equal(second, draw(again))
    results = []
    for _ in range(2):
        set_random_seed(5)
        results.append((draw(None), draw(None)))
    np.testing.assert_array_equal(results[0], results[1])
    assert not np.array_equal(*results[0])


def test_backends_agree():
    from pyconv import backends
    for name, draw in DRAWS.items():
        values = []
        for backend in ("reference", "cpu"):
            backends.set_current(backend)
            values.append(draw(11))
        np.testing.assert_allclose(*values, rtol=1e-5, atol=1e-6, err_msg=name)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_distributions(dtype):
    x = random.normal((N,), 1.0, 2.0, dtype, 1)
    assert x.dtype == dtype and abs(x.mean() - 1) < 0.05 and abs(x.std() - 2) < 0.05
    x = random.uniform((N,), -1.0, 3.0, dtype, 2)
    assert x.dtype == dtype and -1 <= x.min() < -0.99 and 2.99 < x.max() < 3
    np.testing.assert_allclose(np.histogram(x, 8, (-1, 3))[0], N / 8, rtol=0.08)
    x = random.truncated_normal((N,), 0.0, 1.0, dtype, 3)
    assert x.dtype == dtype and -2 <= x.min() < -1.9 and 1.9 < x.max() <= 2
    # the parts of the distribution between -2, -1, 0, 1 and 2 deviations
    parts = np.diff([math.erf(v / math.sqrt(2)) for v in (-2, -1, 0, 1, 2)])
    np.testing.assert_allclose(np.histogram(x, 4, (-2, 2))[0] / N, parts / parts.sum(), rtol=0.05)


def test_the_inverse_of_the_error_function():
    """Truncated normal numbers, as a function of the uniform ones behind them: erf brings these back."""
    u = random.uniform((N,), dtype="float64", seed=3)
    x = random.truncated_normal((N,), dtype="float64", seed=3)
    back = np.array([math.erf(v / math.sqrt(2)) for v in x]) / math.erf(math.sqrt(2))
    np.testing.assert_allclose(back, 2 * u - 1 + 2.0**-24, atol=2e-6)


def test_integers_and_classes():
    x = random.randint((N,), -3, 4, seed=1)
    assert x.dtype == "int32" and set(x) == set(range(-3, 4))
    np.testing.assert_allclose(np.bincount(x + 3), N / 7, rtol=0.08)
    wide = random.randint((N,), 0, 2**40, "int64", 1)
    assert wide.dtype == "int64" and len(set(wide)) == N and wide.max() > 2**39
    classes = random.categorical(LOGITS, 5000, "int64", 2)
    assert classes.shape == (2, 5000) and classes.dtype == "int64"
    np.testing.assert_allclose(np.bincount(classes[0]) / 5000, [0.1, 0.2, 0.7], atol=0.03)
    np.testing.assert_allclose(np.bincount(classes[1]) / 5000, [0.5, 0.5], atol=0.03)


def test_dropout_and_shuffle():
    y = random.dropout(np.ones((100, 200), "float32"), 0.25, seed=1)
    assert set(np.unique(y)) == {0, np.float32(4 / 3)} and abs((y == 0).mean() - 0.25) < 0.02
    y = random.dropout(np.ones((100, 20), "float32"), 0.5, (None, 1), 1)
    assert (y.std(1) == 0).all() and 0.2 < (y[:, 0] == 0).mean() < 0.8
    assert not random.dropout(np.ones(3), 1.0).any()
    x = np.arange(60).reshape(3, 20)
    y = random.shuffle(x, 1, 4)
    assert not np.array_equal(x, y) and np.array_equal(np.sort(y, 1), x) and (y[1] - y[0] == 20).all()


class Sampling(layers.Layer):
    """The noise of a variational autoencoder."""

    def __init__(self, **kwargs):
        super().__init__(**kwargs)
        self.seed = random.SeedGenerator(7)

    def call(self, mean, deviation):
        return random.normal(ops.shape(mean), mean, deviation, seed=self.seed)


def test_in_a_model(tmp_path, backend):
    inputs = pyconv.Input((3,))
    model = pyconv.Model(inputs, Sampling()(layers.Dense(2)(inputs), layers.Dense(2, activation="exponential")(inputs)))
    x = np.ones((4, 3), "float32")
    first = model(x)
    assert first.shape == (4, 2) and not np.array_equal(first, model(x))
    state = [v for v in model.variables if v not in model.weights]
    assert len(state) == 1 and state[0].numpy().tolist() == [7, 2]
    before = model.get_weights()
    model.compile("sgd", "mse")
    model.fit(x, np.ones((4, 2)), epochs=2, verbose=0)          # gradients go through mean and deviation
    assert not any(np.array_equal(a, b) for a, b in zip(before, model.get_weights(), strict=True))


def test_without_a_seed_in_a_program(backend):
    function = Function(lambda x: random.uniform((3,)) + x)
    one = np.zeros(3, "float32")
    set_random_seed(1)
    a, b = function(one), function(one)
    set_random_seed(1)
    np.testing.assert_array_equal(function(one), a)
    assert not np.array_equal(a, b)


@pytest.mark.peers
def test_arguments_are_those_of_keras():
    keras = pytest.importorskip("keras")
    for name in DRAWS:
        own, theirs = (inspect.signature(getattr(lib.random, name)) for lib in (pyconv, keras))
        assert str(own) == str(theirs)


@pytest.mark.parametrize("call,message", [
    (lambda: random.normal((2,), seed=-1), "seed=-1 must be an int from 0"),
    (lambda: random.normal((2,), dtype="int32"), "dtype='int32' must be 'float32' or 'float64'"),
    (lambda: random.uniform((2,), dtype="int32"), "there is randint"),
    (lambda: random.randint((2,), 3, 3), "minval=3 and maxval=3"),
    (lambda: random.categorical(np.ones(3), 1), r"got shape \(3,\)"),
    (lambda: random.categorical(LOGITS, 0), "num_samples=0"),
    (lambda: random.dropout(np.ones(3), 1.5), "rate=1.5 must be"),
    (lambda: random.dropout(np.ones((3, 2)), 0.5, (3,)), "noise_shape"),
    (lambda: random.shuffle(np.ones(3), 1), "axis=1 must be an axis"),
    (lambda: random.SeedGenerator("a"), "SeedGenerator: seed='a'")], ids=range(10))
def test_errors(call, message):
    with pytest.raises(ValueError, match=message):
        call()


def test_a_generators_configuration():
    generator = random.SeedGenerator(4, name="g")
    generator.next()
    again = random.SeedGenerator.from_config(generator.get_config())
    assert again.get_config() == {"seed": 4, "name": "g"} and again.state.numpy().tolist() == [4, 0]
