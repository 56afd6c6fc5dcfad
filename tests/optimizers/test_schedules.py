"""Learning-rate schedules: their formulas, Keras's numbers, and their place in a compiled step."""

import functools
import inspect
import json
import math
import os

import numpy as np
import pytest

import pyconv
from pyconv import ops, optimizers
from pyconv.graph import Variable
from pyconv.ops.function import Function
from pyconv.optimizers import SGD, schedules
from pyconv.saving import register_serializable

os.environ.setdefault("KERAS_BACKEND", "torch")
pytestmark = pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")    # in Keras

CASES = [
    ("ExponentialDecay", (0.1, 10, 0.9)), ("ExponentialDecay", (0.1, 10, 0.5, True)),
    ("InverseTimeDecay", (0.1, 10, 0.5)), ("InverseTimeDecay", (0.1, 7, 2.0, True)),
    ("PiecewiseConstantDecay", ([5, 20], [1.0, 0.5, 0.1])), ("PiecewiseConstantDecay", ([10], [1.0, 0.5])),
    ("PolynomialDecay", (0.1, 20)), ("PolynomialDecay", (0.1, 20, 0.01, 2.0)),
    ("PolynomialDecay", (0.1, 7, 0.01, 0.5, True)), ("CosineDecay", (0.1, 20)), ("CosineDecay", (0.1, 20,
                                                                                                 0.2)),
    ("CosineDecay", (0.0, 20, 0.1, "c", 0.5, 8)), ("CosineDecay", (0.1, 20, 0.0, "c", 0.5, 0)),
    ("CosineDecayRestarts", (0.1, 5)), ("CosineDecayRestarts", (0.1, 5, 1.0, 0.5)),
    ("CosineDecayRestarts", (0.1, 6, 1.5, 0.8, 0.1))]


STEPS = (0, 1, 2, 3, 4, 5, 6, 7, 8, 10, 11, 13, 19, 20, 21, 26, 44, 1000)


@functools.cache
def rates_of_keras(case):
    """The rates at STEPS, and the schedule."""
    import keras
    name, arguments = CASES[case]
    theirs = getattr(keras.optimizers.schedules, name)(*arguments)
    return [float(theirs(step)) for step in STEPS], theirs


@pytest.mark.peers
@pytest.mark.parametrize("case", range(len(CASES)), ids=[name for name, _ in CASES])
def test_rates_equal_those_of_keras(case, backend):
    pytest.importorskip("keras")
    name, arguments = CASES[case]
    (rates, theirs), own = rates_of_keras(case), getattr(schedules, name)(*arguments)
    assert own.get_config() == theirs.get_config()
    parameters = [list(inspect.signature(type(s).__init__).parameters) for s in (own, theirs)]
    assert parameters[0] == parameters[1]
    function = Function(lambda step: own(step))
    for step, expected in zip(STEPS, rates, strict=True):
        if name == "CosineDecayRestarts" and step == 1000:
            continue        # the end of the eighth period in single precision: Keras's rounding decides
        np.testing.assert_allclose(float(function(np.asarray(step))), expected, rtol=1e-4, atol=1e-7)
        if step in (7, 20):
            for value in (own(np.asarray(step)), own(step)):
                np.testing.assert_allclose(float(value), expected, rtol=1e-4, atol=1e-7)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_the_cosine(dtype):
    x = np.linspace(0, 1, 1001).astype(dtype)
    np.testing.assert_allclose(schedules.cos_pi(x), np.cos(math.pi * x.astype("float64")),
                               atol=4e-16 if dtype == "float64" else 2e-7)


@pytest.mark.parametrize(("t_mul", "lengths"), [(1.0, [4, 4, 4, 4]), (2.0, [4, 8, 16, 32]), (3.0, [4, 12, 36,
                                                                                                   108])])
def test_restarts_begin_at_full_rate(t_mul, lengths):
    """Rounding does not move a restart, and no rate leaves the range."""
    schedule = schedules.CosineDecayRestarts(1.0, 4, t_mul=t_mul)
    starts = np.cumsum([0, *lengths])
    for start in starts:
        assert float(schedule(int(start))) == pytest.approx(1, abs=1e-6)
    for start, length in zip(starts, lengths, strict=False):
        expected = 0.5 * (1 + np.cos(np.pi * np.arange(length) / length))
        np.testing.assert_allclose([float(schedule(int(start) + i)) for i in range(length)], expected,
                                   atol=2e-6)


def test_an_optimizer_follows_the_schedule(backend):
    optimizer, weight = SGD(schedules.PiecewiseConstantDecay([1], [1.0, 0.25])), Variable(np.zeros(1,
                                                                                                   "float32"))

    def step(g):
        optimizer.apply([g], [weight])
        return weight.read()
    function = Function(step)
    values = [float(function(np.ones(1, "float32"))[0]) for _ in range(4)]
    np.testing.assert_allclose(values, [-1, -2, -2.25, -2.5])
    assert len(function.programs) == 1 and float(optimizer.learning_rate) == 0.25
    assert [v.name for v in optimizer.variables] == ["iterations"]


def test_a_schedule_counts_all_steps():
    optimizer = SGD(schedules.PolynomialDecay(1.0, 4, 0.0), gradient_accumulation_steps=2)
    weight, one = Variable(np.zeros(1, "float32")), np.ones(1, "float32")
    for expected in (0, -0.75, -0.75, -1):
        optimizer.apply([one], [weight])
        np.testing.assert_allclose(weight.numpy(), [expected])


@pytest.mark.parametrize(("name", "arguments"), CASES)
def test_configurations(name, arguments):
    own = getattr(schedules, name)(*arguments)
    config = json.loads(json.dumps(schedules.serialize(own)))
    again = schedules.deserialize(config)
    assert type(again) is type(own) and again.get_config() == own.get_config()
    optimizer = optimizers.get(json.loads(json.dumps(optimizers.serialize(optimizers.Adam(own)))))
    assert optimizer.get_config()["learning_rate"] == config


def test_a_schedule_of_ones_own():
    class Halving(schedules.LearningRateSchedule):
        def __init__(self, start=1.0):
            self.start = start

        def __call__(self, step):
            return self.start * 0.5 ** step
    assert Halving(3.0).get_config() == {"start": 3.0} and repr(Halving()) == "Halving(start=1.0)"
    assert type(schedules.deserialize(schedules.serialize(Halving()))) is Halving
    with pytest.raises(NotImplementedError, match="__call__"):
        schedules.LearningRateSchedule()(1)


@register_serializable("rates")
def falling(step):
    return 1.0 / (ops.cast(step, "float32") + 1.0)


def test_a_function_as_rate_in_a_file(tmp_path):
    model = pyconv.Sequential([pyconv.Input((2,)), pyconv.layers.Dense(1)])
    model.compile(SGD(falling), "mse")
    x, y = np.ones((4, 2), "float32"), np.ones((4, 1), "float32")
    model.fit(x, y, batch_size=2, verbose=0)
    model.save(tmp_path / "m.pyconv")
    loaded = pyconv.saving.load_model(tmp_path / "m.pyconv")
    assert float(loaded.optimizer.learning_rate) == float(model.optimizer.learning_rate) == pytest.approx(1 / 3)
    model.compile(SGD(lambda step: 0.1), "mse")
    with pytest.raises(ValueError, match="is a lambda, and files hold no code"):
        model.save(tmp_path / "m.pyconv")
    with pytest.raises(ValueError, match="learning rate function 'rising' is not known"):
        SGD.from_config({"learning_rate": "rising"})


@pytest.mark.parametrize(("make", "message"), [
    (lambda: schedules.ExponentialDecay(0.1, 0, 0.5), "ExponentialDecay: decay_steps=0 must be above 0"),
    (lambda: schedules.CosineDecay("a", 3), "CosineDecay: initial_learning_rate must be a number, got 'a'"),
    (lambda: schedules.CosineDecay(1.0, 3, warmup_steps=-1), "warmup_steps=-1 must be at least 0"),
    (lambda: schedules.CosineDecayRestarts(1.0, 3, t_mul=0.5), "t_mul=0.5 must be at least 1"),
    (lambda: schedules.PiecewiseConstantDecay([1], [1.0]), "1 boundaries need 2 values"),
    (lambda: schedules.PiecewiseConstantDecay([2, 1], [1.0, 2.0, 3.0]), "must rise"),
    (lambda: schedules.deserialize({"class_name": "CosineDecoy"}), "Did you mean 'CosineDecay'"),
    (lambda: schedules.deserialize(3), "'class_name' and 'config'")])
def test_errors(make, message):
    with pytest.raises((ValueError, TypeError), match=message):
        make()
