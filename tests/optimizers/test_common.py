"""What all optimizers can do: averages of weights, gathered gradients, scaled losses, weights left out of the
decay."""

import os

import numpy as np
import pytest

from pyconv import ops, optimizers
from pyconv.graph import Variable
from pyconv.ops.function import Function
from pyconv.optimizers import SGD, Adam

os.environ.setdefault("KERAS_BACKEND", "torch")
pytestmark = pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")    # in Keras

rng = np.random.default_rng(5)
STARTS = [rng.normal(size=(3, 2)).astype("float32"), rng.normal(size=(4,)).astype("float32")]
GRADS = [[rng.normal(size=s.shape).astype("float32") for s in STARTS] for _ in range(7)]

CASES = [("SGD", {"use_ema": True}), ("SGD", {"use_ema": True, "ema_momentum": 0.5, "learning_rate": 0.3}),
         ("SGD", {"use_ema": True, "ema_momentum": 0.7, "ema_overwrite_frequency": 3, "learning_rate": 0.3}),
         ("SGD", {"gradient_accumulation_steps": 2, "learning_rate": 0.3, "momentum": 0.9}),
         ("Adam", {"gradient_accumulation_steps": 3, "learning_rate": 0.1, "weight_decay": 0.1}),
         ("Nadam", {"gradient_accumulation_steps": 3, "learning_rate": 0.1, "clipvalue": 0.3}),
         ("Lamb", {"gradient_accumulation_steps": 2, "learning_rate": 0.1, "clipnorm": 0.3}),
         ("Muon", {"gradient_accumulation_steps": 2, "learning_rate": 0.1, "global_clipnorm": 0.3}),
         ("RMSprop", {"gradient_accumulation_steps": 2, "learning_rate": 0.1, "use_ema": True,
                      "ema_momentum": 0.6, "ema_overwrite_frequency": 2}),
         ("SGD", {"loss_scale_factor": 8.0, "learning_rate": 0.3})]


def stepper(optimizer, weights):
    def step(*grads):
        optimizer.apply(list(grads), weights)
        return weights[0].read()
    return Function(step, training=True)


@pytest.mark.peers
@pytest.mark.parametrize(("name", "arguments"), CASES)
def test_steps_and_averages_equal_those_of_keras(name, arguments, backend):
    keras = pytest.importorskip("keras")
    theirs, own = getattr(keras.optimizers, name)(**arguments), getattr(optimizers, name)(**arguments)
    variables, weights = [keras.Variable(s) for s in STARTS], [Variable(s) for s in STARTS]
    eager, loose = getattr(optimizers, name)(**arguments), [Variable(s) for s in STARTS]
    theirs.build(variables)
    function = stepper(own, weights)

    def check():
        for mine, other, v in zip(weights, loose, variables, strict=True):
            expected = keras.ops.convert_to_numpy(v)
            np.testing.assert_allclose(mine.numpy(), expected, rtol=2e-5, atol=2e-6)
            np.testing.assert_allclose(other.numpy(), expected, rtol=2e-5, atol=2e-6)
    for grads in GRADS:
        theirs.apply([keras.ops.convert_to_tensor(g) for g in grads])
        function(*grads), eager.apply(grads, loose)
        check()
        assert int(own.iterations) == int(theirs.iterations)
    for optimizer, own_variables in ((theirs, variables), (own, weights), (eager, loose)):
        optimizer.finalize_variable_values(own_variables)
    check()


def test_averages_are_their_formula(backend):
    weight, optimizer = Variable(np.zeros(2, "float32")), SGD(1.0, use_ema=True, ema_momentum=0.75)
    function, average, value = stepper(optimizer, [weight]), None, np.zeros(2)
    for step in range(4):
        function(np.array([1.0, -2.0], "float32"))
        value = value - [1.0, -2.0]
        average = value if step == 0 else 0.75 * average + 0.25 * value
        np.testing.assert_allclose(optimizer.average_of(weight).numpy(), average, rtol=1e-6)
    np.testing.assert_allclose(weight.numpy(), value, rtol=1e-6)
    optimizer.finalize_variable_values([weight])
    np.testing.assert_allclose(weight.numpy(), average, rtol=1e-6)


def test_gathered_gradients_give_the_step_of_their_mean(backend):
    a, b = Variable(STARTS[1]), Variable(STARTS[1])
    gathering, plain = Adam(0.1, gradient_accumulation_steps=3), Adam(0.1)
    one, other = stepper(gathering, [a]), stepper(plain, [b])
    for k in range(6):
        one(GRADS[k][1])
        if k == 1:
            np.testing.assert_array_equal(a.numpy(), STARTS[1])
        if k % 3 == 2:
            other(np.mean([g[1] for g in GRADS[k - 2:k + 1]], 0))
            np.testing.assert_allclose(a.numpy(), b.numpy(), rtol=1e-5)
    assert int(gathering.iterations) == 2 and int(gathering._iterations.numpy()) == 6


def test_a_scaled_loss_gives_the_same_step():
    optimizer, weight = SGD(0.5, loss_scale_factor=16.0), Variable(np.ones(3, "float32"))
    assert optimizer.scale_loss(2.0) == 32.0 and SGD().scale_loss(2.0) == 2.0
    optimizer.apply([np.full(3, 16.0, "float32")], [weight])
    np.testing.assert_array_equal(weight.numpy(), [0.5] * 3)


@pytest.mark.parametrize("optimizer", [SGD(0.5, weight_decay=0.5), optimizers.Muon(0.5,
                                                                                   adam_weight_decay=0.5)])
def test_weights_left_out_of_the_decay(optimizer):
    kernel, bias = Variable(np.ones(2, "float32"), name="kernel"), Variable(np.ones(2, "float32"),
                                                                            name="bias")
    third = Variable(np.ones(2, "float32"), name="third")
    optimizer.exclude_from_weight_decay([third], ["bias"])
    zero = np.zeros(2, "float32")
    optimizer.apply([zero] * 3, [kernel, bias, third])
    np.testing.assert_allclose([v.numpy()[0] for v in (kernel, bias, third)], [0.75, 1, 1], atol=1e-6)
    with pytest.raises(ValueError, match="before the optimizer is built"):
        optimizer.exclude_from_weight_decay([kernel])


def test_constraints_come_after_the_average(backend):
    weight = Variable(np.array([1.0], "float32"))
    weight.constraint = lambda w: ops.maximum(w, 0.5)
    optimizer = SGD(1.0, use_ema=True, ema_momentum=0.5, ema_overwrite_frequency=1)
    function = stepper(optimizer, [weight])
    for _ in range(2):
        function(np.ones(1, "float32"))
    np.testing.assert_allclose(optimizer.average_of(weight).numpy(), [(0 + -0.5) / 2])
    np.testing.assert_allclose(weight.numpy(), [0.5])


def test_state_names_and_first_values():
    weight = Variable(np.zeros((2, 2), "float32"), name="w")
    optimizer = optimizers.Adagrad(initial_accumulator_value=0.25, use_ema=True,
                                   gradient_accumulation_steps=2)
    optimizer.build([weight])
    assert [v.name for v in optimizer.variables] == ["iterations", "learning_rate", "w_accumulator",
                                                     "w_average",
                                                     "w_gradient_accumulator"]
    assert [float(v.numpy().mean()) for v in optimizer.variables[2:]] == [0.25, 0, 0]
    nadam = optimizers.Nadam()
    nadam.build([weight])
    assert [v.name for v in nadam.variables] == ["iterations", "learning_rate", "u_product", "w_momentum",
                                                 "w_velocity"]


def test_adafactor_keeps_rows_and_columns():
    """A kernel of 3 x 3 x 4 x 5 has 36 and 45 numbers in the place of 180, a bias all of its own."""
    kernel, bias = Variable(np.ones((3, 3, 4, 5), "float32"), name="k"), Variable(np.ones(5, "float32"), name="b")
    optimizer = optimizers.Adafactor(0.1)
    optimizer.build([kernel, bias])
    assert {v.name: v.shape for v in optimizer.variables[2:]} == {"k_row": (3, 3, 4), "k_column": (3, 3, 5),
                                                                  "b_velocity": (5,)}


def test_muon_takes_matrices_and_adam_the_rest():
    shapes = {"dense/kernel": (3, 2), "dense/bias": (2,), "conv/kernel": (3, 3, 2, 2),
              "embedding/embeddings": (4, 2),
              "head/kernel": (2, 2)}
    weights = []
    for path, shape in shapes.items():
        weights.append(Variable(np.ones(shape, "float32"), name=path))
    optimizer = optimizers.Muon(exclude_layers=["head"])
    optimizer.build(weights)
    adam = {v.name.removesuffix("_velocity") for v in optimizer.variables if v.name.endswith("_velocity")}
    assert adam == {"dense_bias", "conv_kernel", "embedding_embeddings", "head_kernel"}
    # The steps of a matrix have singular values near the learning rate times the scale.
    before = weights[0].numpy()
    optimizer = optimizers.Muon(1.0, weight_decay=None, rms_rate=None)
    optimizer.apply([rng.normal(size=(3, 2)).astype("float32")], weights[:1])
    assert (abs(np.linalg.svd(weights[0].numpy() - before)[1] - 1) < 0.4).all()


@pytest.mark.parametrize(("make", "message"), [
    (lambda: SGD(ema_momentum=2), "ema_momentum=2.0 must be from 0 to 1"),
    (lambda: SGD(ema_overwrite_frequency=0), "ema_overwrite_frequency=0 must be an int of at least 1"),
    (lambda: SGD(gradient_accumulation_steps=1),
     "gradient_accumulation_steps=1 must be an int of at least 2"),
    (lambda: SGD(loss_scale_factor=0), "loss_scale_factor=0 must be above 0"),
    (lambda: optimizers.AdamW(weight_decay=None), "use Adam for no weight decay"),
    (lambda: optimizers.Lion(beta_1=0), "beta_1=0 must be above 0"),
    (lambda: optimizers.Ftrl(learning_rate_power=0.5), "learning_rate_power=0.5 must be from"),
    (lambda: optimizers.Ftrl(l1_regularization_strength=-1),
     "l1_regularization_strength=-1.0 must be at least 0"),
    (lambda: optimizers.Muon(ns_steps=0), "ns_steps=0 must be an int of at least 1"),
    (lambda: optimizers.RMSprop(rho=1.5), "rho=1.5 must be from 0 to 1"),
    (lambda: optimizers.Adafactor(beta_2_decay=0.8), "-beta_2_decay=-0.8 must be at least 0"),
    (lambda: optimizers.Adafactor(clip_threshold=0), "clip_threshold=0 must be above 0"),
    (lambda: optimizers.ScheduleFreeAdamW(beta_1=0), "beta_1=0 must be above 0"),
    (lambda: optimizers.ScheduleFreeAdamW(warmup_steps=1.5), "warmup_steps=1.5 must be an int"),
    (lambda: SGD().average_of(Variable(1.0)), "keeps no averages"),
    (lambda: SGD(use_ema=True).average_of(Variable(1.0)), "knows no average of 'variable'")])
def test_arguments_that_do_not_fit(make, message):
    with pytest.raises(ValueError, match=message):
        make()
