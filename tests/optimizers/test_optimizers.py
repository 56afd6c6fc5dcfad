"""The optimizers' steps: against formulas written out here, and against Keras."""

import inspect
import os

import numpy as np
import pytest

import pyconv
from pyconv import ops, optimizers
from pyconv.graph import Variable
from pyconv.ops.function import Function
from pyconv.optimizers import SGD, Adam

os.environ.setdefault("KERAS_BACKEND", "torch")
pytestmark = pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")    # in Keras

rng = np.random.default_rng(3)
STARTS = [rng.normal(size=(4, 3)).astype("float32"), rng.normal(size=(5,)).astype("float32")]
GRADS = [[rng.normal(size=s.shape).astype("float32") * 3 for s in STARTS] for _ in range(6)]


def weights_after(optimizer, starts=STARTS, steps=GRADS):
    """The weights after some compiled steps."""
    weights = [Variable(s, name=f"w{i}") for i, s in enumerate(starts)]

    def step(*grads):
        optimizer.apply(list(grads), weights)
        return weights[0].read()
    function = Function(step, training=True)
    for grads in steps:
        function(*grads)
    return [w.numpy() for w in weights]


def test_sgd_is_its_formula(backend):
    expected = [s - 0.1 * sum(g[i] for g in GRADS) for i, s in enumerate(STARTS)]
    for w, e in zip(weights_after(SGD(0.1)), expected, strict=True):
        np.testing.assert_allclose(w, e, rtol=1e-5, atol=1e-6)


def test_nesterov_is_its_formula(backend):
    expected = [s.astype("float64") for s in STARTS]
    m = [np.zeros_like(e) for e in expected]
    for grads in GRADS:
        for i, g in enumerate(grads):
            m[i] = 0.9 * m[i] - 0.1 * g
            expected[i] = expected[i] + 0.9 * m[i] - 0.1 * g
    for w, e in zip(weights_after(SGD(0.1, 0.9, nesterov=True)), expected, strict=True):
        np.testing.assert_allclose(w, e, rtol=1e-5, atol=1e-5)


def test_adam_is_its_formula(backend):
    expected = [s.astype("float64") for s in STARTS]
    m, v = [0.0, 0.0], [0.0, 0.0]
    for t, grads in enumerate(GRADS, 1):
        for i, g in enumerate(grads):
            m[i] = 0.9 * m[i] + 0.1 * g.astype("float64")
            v[i] = 0.99 * v[i] + 0.01 * g.astype("float64") ** 2
            rate = 0.1 * np.sqrt(1 - 0.99**t) / (1 - 0.9**t)
            expected[i] = expected[i] - rate * m[i] / (np.sqrt(v[i]) + 1e-7)
    for w, e in zip(weights_after(Adam(0.1, beta_2=0.99)), expected, strict=True):
        np.testing.assert_allclose(w, e, rtol=1e-4, atol=1e-5)


NAMES = ("SGD", "Adam", "AdamW", "Adamax", "Nadam", "RMSprop", "Adagrad", "Adadelta", "Lion", "Lamb", "Ftrl",
         "Muon", "Adafactor", "ScheduleFreeAdamW")
CASES = [("SGD", {}), ("SGD", {"momentum": 0.9}), ("SGD", {"momentum": 0.9, "nesterov": True}), ("Adam", {}),
         ("Adam", {"learning_rate": 0.1, "beta_1": 0.8, "beta_2": 0.9, "epsilon": 1e-3}),
         ("Adam", {"amsgrad": True}),
         ("SGD", {"weight_decay": 0.1}), ("Adam", {"weight_decay": 0.1}), ("SGD", {"clipnorm": 1.0}),
         ("SGD", {"clipvalue": 0.5}), ("SGD", {"global_clipnorm": 2.0, "momentum": 0.5}),
         ("AdamW", {}), ("AdamW", {"weight_decay": 0.5, "learning_rate": 0.05, "amsgrad": True}), ("Adamax",
                                                                                                   {}),
         ("Adamax", {"learning_rate": 0.1, "beta_1": 0.5, "beta_2": 0.8}), ("Nadam", {}),
         ("Nadam", {"learning_rate": 0.1, "beta_1": 0.7, "beta_2": 0.9}), ("RMSprop", {}),
         ("RMSprop", {"learning_rate": 0.1, "rho": 0.5, "momentum": 0.7}), ("RMSprop", {"centered": True}),
         ("RMSprop", {"centered": True, "momentum": 0.9, "epsilon": 0.01}), ("Adagrad", {}),
         ("Adagrad", {"learning_rate": 0.3, "initial_accumulator_value": 0.0}), ("Adadelta", {}),
         ("Adadelta", {"learning_rate": 1.0, "rho": 0.7, "epsilon": 1e-3}), ("Lion", {}),
         ("Lion", {"learning_rate": 0.1, "beta_1": 0.5, "beta_2": 0.7}), ("Lamb", {}),
         ("Lamb", {"learning_rate": 0.1, "weight_decay": 0.1}), ("Ftrl", {}),
         ("Ftrl", {"learning_rate": 0.5, "l1_regularization_strength": 0.3, "l2_regularization_strength": 0.1,
                   "l2_shrinkage_regularization_strength": 0.2, "beta": 0.4}),
         ("Ftrl", {"learning_rate": 0.1, "learning_rate_power": -0.3, "initial_accumulator_value": 0.5}),
         ("Muon", {}), ("Muon", {"learning_rate": 0.1, "adam_lr_ratio": 0.3, "nesterov": False,
                                 "rms_rate": None}),
         ("Muon", {"learning_rate": 0.1, "weight_decay": 0.5, "adam_weight_decay": None, "ns_steps": 3}),
         ("Muon", {"exclude_layers": ["."]}), ("Adafactor", {}),
         ("Adafactor", {"learning_rate": 0.3, "beta_2_decay": -0.5, "epsilon_1": 1e-3, "epsilon_2": 0.1,
                        "clip_threshold": 0.5, "weight_decay": 0.1}),
         ("ScheduleFreeAdamW", {}), ("ScheduleFreeAdamW", {"learning_rate": 0.1, "beta_1": 0.6, "beta_2": 0.9,
                                                           "epsilon": 1e-3, "warmup_steps": 4, "weight_decay": 0.1})]


@pytest.mark.peers
@pytest.mark.parametrize(("name", "arguments"), CASES)
def test_steps_equal_those_of_keras(name, arguments, backend):
    keras = pytest.importorskip("keras")
    theirs = getattr(keras.optimizers, name)(**arguments)
    variables = [keras.Variable(s) for s in STARTS]
    theirs.build(variables)
    for count in range(1, len(GRADS) + 1):
        theirs.apply([keras.ops.convert_to_tensor(g) for g in GRADS[count - 1]])
        own = weights_after(getattr(optimizers, name)(**arguments), steps=GRADS[:count])
        for w, v in zip(own, variables, strict=True):
            np.testing.assert_allclose(w, keras.ops.convert_to_numpy(v), rtol=2e-5, atol=2e-6)


@pytest.mark.peers
def test_defaults_equal_those_of_keras():
    keras = pytest.importorskip("keras")
    for name in NAMES:
        theirs, own = getattr(keras.optimizers, name)(), getattr(optimizers, name)()
        config = theirs.get_config()
        assert set(own.get_config()) == set(config), name
        for key in set(config) - {"name"}:
            assert own.get_config()[key] == pytest.approx(config[key]), (name, key)
        signatures = [list(inspect.signature(type(o).__init__).parameters) for o in (own, theirs)]
        assert signatures[0] == [n for n in signatures[1] if n != "kwargs"], name


def test_learning_rate_can_be_assigned_between_steps(backend):
    optimizer, weight = SGD(0.5), Variable(np.zeros(2, "float32"))

    def step(g):
        optimizer.apply([g], [weight])
        return weight.read()
    function, one = Function(step), np.ones(2, "float32")
    function(one)
    optimizer.learning_rate = 0.25
    function(one)
    np.testing.assert_array_equal(weight.numpy(), [-0.75, -0.75])
    assert len(function.programs) == 1
    assert float(optimizer.learning_rate.numpy()) == 0.25
    assert int(optimizer.iterations.numpy()) == 2


def test_learning_rate_may_be_a_schedule(backend):
    optimizer = SGD(lambda step: 1.0 / (ops.cast(step, "float32") + 1.0))
    weights = weights_after(optimizer, [np.zeros(1, "float32")], [[np.ones(1, "float32")]] * 3)
    np.testing.assert_allclose(weights[0], [-(1 + 1 / 2 + 1 / 3)], rtol=1e-6)
    with pytest.raises(TypeError, match="follows the schedule"):
        optimizer.learning_rate = 0.1


def test_float64_weights_are_updated_in_float64():
    start, grad = np.ones(3), np.full(3, 1e-12)
    assert weights_after(SGD(1.0), [start], [[grad]])[0].dtype == np.float64
    np.testing.assert_array_equal(weights_after(SGD(1.0), [start], [[grad]])[0], 1 - 1e-12)


def test_constraint_is_applied_after_the_update(backend):
    weight = Variable(np.array([1.0, 1.0], "float32"))
    weight.constraint = lambda w: ops.maximum(w, 0.0)
    optimizer = SGD(1.0)

    def step(g):
        optimizer.apply([g], [weight])
        return weight.read()
    Function(step)(np.array([5.0, 0.25], "float32"))
    np.testing.assert_array_equal(weight.numpy(), [0.0, 0.75])


def test_variables_are_in_kerass_order():
    optimizer = Adam()
    weights_after(optimizer)
    names = [v.name for v in optimizer.variables]
    assert names == ["iterations", "learning_rate", "w0_momentum", "w0_velocity", "w1_momentum",
                     "w1_velocity"]
    assert optimizer.variables[0].dtype == "int64"


def test_apply_works_outside_of_a_trace():
    optimizer, weight = SGD(0.5), Variable(np.zeros(2, "float32"))
    optimizer.apply([np.ones(2, "float32")], [weight])
    np.testing.assert_array_equal(weight.numpy(), [-0.5, -0.5])


def test_missing_gradients():
    a, b = Variable(np.zeros(2, "float32"), name="a"), Variable(np.zeros(2, "float32"), name="b")
    with pytest.warns(UserWarning, match="not trained: b"):
        SGD().apply([np.ones(2, "float32"), None], [a, b])
    with pytest.raises(ValueError, match="depends on no trainable weight.*a, b"):
        SGD().apply([None, None], [a, b])
    optimizer = SGD()
    optimizer.build([a])
    with pytest.raises(ValueError, match="does not know 'b'"):
        optimizer.apply([np.ones(2, "float32")], [b])
    with pytest.raises(ValueError, match="2 gradients were given for 1 variables"):
        SGD().apply([1, 2], [a])


def test_config_round_trip():
    for optimizer in (SGD(0.25, momentum=0.5, nesterov=True, clipnorm=1.5),
                      Adam(amsgrad=True, weight_decay=0.125), *(getattr(optimizers, n)(0.5) for n in NAMES)):
        config = optimizer.get_config()
        assert type(optimizer).from_config(config).get_config() == config
        assert optimizers.get(optimizers.serialize(optimizer)).get_config() == config


def test_get():
    assert isinstance(optimizers.get("adam"), Adam)
    assert isinstance(optimizers.get("SGD"), SGD)
    for name in NAMES:
        assert type(optimizers.get(name)) is type(optimizers.get(name.lower())) is getattr(optimizers, name)
    assert optimizers.get(None) is None
    with pytest.raises(ValueError, match="Did you mean 'adam'"):
        optimizers.get("adm")
    with pytest.raises(ValueError, match="'newton' is not known.*adam, adamax.*rmsprop.*sgd"):
        optimizers.get("newton")
    with pytest.raises(TypeError, match=r"give an instance: Adam\(\)"):
        optimizers.get(Adam)


@pytest.mark.parametrize(("make", "message"), [
    (lambda: SGD(-1), "learning_rate=-1.0 must be at least 0"),
    (lambda: SGD(momentum=1.5), "momentum=1.5 must be from 0 to 1"),
    (lambda: Adam(beta_1=1.0), "beta_1=1.0 must be from 0 to below 1"),
    (lambda: Adam(clipnorm=0), "clipnorm=0 must be above 0"),
    (lambda: Adam(clipnorm=1, clipvalue=1), "clipnorm and clipvalue"),
    (lambda: SGD("fast"), "learning_rate must be a number, got 'fast'"),
    (lambda: Adam(learning_rate=float("nan")), "learning_rate=nan")])
def test_arguments_that_do_not_fit(make, message):
    with pytest.raises((ValueError, TypeError), match=message):
        make()


def test_steps_are_reproducible():
    assert pyconv.optimizers is optimizers
    for a, b in zip(weights_after(Adam()), weights_after(Adam()), strict=True):
        np.testing.assert_array_equal(a, b)


def test_weights_may_join_later():
    a, b = Variable(np.zeros(2, "float32"), name="a"), Variable(np.zeros(2, "float32"), name="b")
    optimizer, one = SGD(1.0, momentum=0.5), np.ones(2, "float32")
    optimizer.apply([one], [a])
    optimizer.apply([one, one], [a, b])
    np.testing.assert_array_equal([a.numpy(), b.numpy()], [[-2.5, -2.5], [-1, -1]])
