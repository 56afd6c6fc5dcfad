"""Steps of the optimizers against their formulas, written out in double precision."""

import numpy as np
import pytest

from pyconv import optimizers
from pyconv.graph import Variable
from pyconv.ops.function import Function

rng = np.random.default_rng(11)
START = rng.normal(size=(3, 4))
GRADS = [rng.normal(size=START.shape) for _ in range(5)]


def rmsprop(w, g, s, t):
    s["v"] = 0.9 * s.get("v", 0) + 0.1 * g * g
    s["a"] = 0.9 * s.get("a", 0) + 0.1 * g
    s["m"] = 0.5 * s.get("m", 0) + 0.1 * g / np.sqrt(s["v"] - s["a"] ** 2 + 1e-7)
    return w - s["m"]


def adagrad(w, g, s, t):
    s["s"] = s.get("s", 0.1) + g * g
    return w - 0.1 * g / np.sqrt(s["s"] + 1e-7)


def adadelta(w, g, s, t):
    s["s"] = 0.95 * s.get("s", 0) + 0.05 * g * g
    d = np.sqrt(s.get("e", 0) + 1e-7) / np.sqrt(s["s"] + 1e-7) * g
    s["e"] = 0.95 * s.get("e", 0) + 0.05 * d * d
    return w - 0.1 * d


def adamax(w, g, s, t):
    s["m"] = 0.9 * s.get("m", 0) + 0.1 * g
    s["u"] = np.maximum(0.999 * s.get("u", 0), abs(g))
    return w - 0.1 / (1 - 0.9 ** t) * s["m"] / (s["u"] + 1e-7)


def adamw(w, g, s, t):
    s["m"] = 0.9 * s.get("m", 0) + 0.1 * g
    s["v"] = 0.999 * s.get("v", 0) + 0.001 * g * g
    w = w - 0.1 * 0.25 * w
    return w - 0.1 * np.sqrt(1 - 0.999 ** t) / (1 - 0.9 ** t) * s["m"] / (np.sqrt(s["v"]) + 1e-7)


def nadam(w, g, s, t):
    u = [0.9 * (1 - 0.5 * 0.96 ** k) for k in range(t + 2)]
    s["m"] = 0.9 * s.get("m", 0) + 0.1 * g
    s["v"] = 0.999 * s.get("v", 0) + 0.001 * g * g
    product = np.prod(u[1:t + 1])
    ahead = u[t + 1] / (1 - product * u[t + 1]) * s["m"] + (1 - u[t]) / (1 - product) * g
    return w - 0.1 * ahead / (np.sqrt(s["v"] / (1 - 0.999 ** t)) + 1e-7)


def lion(w, g, s, t):
    m = s.get("m", 0)
    s["m"] = 0.99 * m + 0.01 * g
    return w - 0.1 * np.sign(0.9 * m + 0.1 * g)


def lamb(w, g, s, t):
    s["m"] = 0.9 * s.get("m", 0) + 0.1 * g
    s["v"] = 0.999 * s.get("v", 0) + 0.001 * g * g
    d = s["m"] / (1 - 0.9 ** t) / (np.sqrt(s["v"] / (1 - 0.999 ** t)) + 1e-7)
    return w - 0.1 * np.linalg.norm(w) / np.linalg.norm(d) * d


def ftrl(w, g, s, t):
    n = s.get("n", 0.1)
    s["n"] = n + g * g
    s["z"] = s.get("z", 0) + g - (np.sqrt(s["n"]) - np.sqrt(n)) / 0.1 * w
    clipped = np.clip(s["z"], -0.5, 0.5)
    return (clipped - s["z"]) / (np.sqrt(s["n"]) / 0.1 + 2 * 0.25)


def muon(w, g, s, t):
    s["m"] = 0.95 * s.get("m", 0) + g
    x = g + 0.95 * s["m"]
    x = x / np.linalg.norm(x)
    for _ in range(5):
        a = x @ x.T
        x = 3.4445 * x + (-4.775 * a + 2.0315 * a @ a) @ x
    return w - 0.1 * 0.004 * w - 0.1 * 0.2 * np.sqrt(4) * x


CASES = [(rmsprop, optimizers.RMSprop, {"momentum": 0.5, "centered": True}), (adagrad, optimizers.Adagrad,
                                                                              {}),
         (adadelta, optimizers.Adadelta, {}), (adamax, optimizers.Adamax, {}),
         (adamw, optimizers.AdamW, {"weight_decay": 0.25}), (nadam, optimizers.Nadam, {}),
         (lion, optimizers.Lion, {}), (lamb, optimizers.Lamb, {}), (muon, optimizers.Muon, {}),
         (ftrl, optimizers.Ftrl, {"l1_regularization_strength": 0.5, "l2_regularization_strength": 0.25})]


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize(("formula", "cls", "arguments"), CASES)
def test_steps_are_their_formula(formula, cls, arguments, dtype, backend):
    weight, optimizer = Variable(START.astype(dtype)), cls(0.1, **arguments)
    optimizer.build([weight])

    def step(g):
        optimizer.apply([g], [weight])
        return weight.read()
    function, expected, state = Function(step, training=True), START, {}
    for t, g in enumerate(GRADS, 1):
        expected = formula(expected, g, state, t)
        # The learning rate 0.1 is kept in single precision.
        np.testing.assert_allclose(function(g.astype(dtype)), expected,
                                   rtol=5e-5 if dtype == "float32" else 1e-6,
                                   atol=5e-6 if dtype == "float32" else 1e-7)
    assert len(function.programs) == 1
