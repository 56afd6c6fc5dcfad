"""The gradient check finds wrong gradients, and says where it cannot tell."""

import numpy as np
import pytest

from pyconv import ops
from pyconv.graph import REGISTRY, Variable
from pyconv.testing import NotSmooth, check_gradients

RNG = np.random.default_rng(0)
X = RNG.normal(size=(4, 3))


@pytest.mark.parametrize("function, wrong", [
    (ops.tanh, lambda x, y, g: g * (1 + y * y)),
    (ops.tanh, lambda x, y, g: g * (1 - y * y) * 1.00001),
    (ops.exp, lambda x, y, g: g),
    # One wrong element among all.
    (ops.exp, lambda x, y, g: g * y * (1 + 1e-3 * (np.arange(12) == 5).reshape(4, 3))),
])
def test_wrong_gradients_are_found(monkeypatch, function, wrong, backend_name):
    op = REGISTRY[function.__name__]
    check_gradients(function, [X], backend=backend_name)
    monkeypatch.setattr(op, "chain", wrong, raising=False)
    with pytest.raises(AssertionError, match="wrong gradient"):
        check_gradients(function, [X], backend=backend_name)


def test_wrong_second_gradients_are_found(monkeypatch, backend_name):
    def chain(x, y, g):
        return g * (1 - y * ops.stop_gradient(y))
    check_gradients(ops.tanh, [X], backend=backend_name, order=2)
    monkeypatch.setattr(REGISTRY["tanh"], "chain", chain, raising=False)
    check_gradients(ops.tanh, [X], backend=backend_name)
    with pytest.raises(AssertionError, match=r"order 2"):
        check_gradients(ops.tanh, [X], backend=backend_name, order=2)


def test_a_forgotten_path_is_found(backend_name):
    with pytest.raises(AssertionError, match="wrong gradient"):
        check_gradients(lambda x: x * ops.stop_gradient(x), [X], backend=backend_name)


def test_variables_are_checked_and_put_back(backend_name):
    w, moving = Variable(RNG.normal(size=(3, 2))), Variable(np.zeros(2))
    before = w.numpy()

    def function(x):
        y = ops.tanh(x @ w)
        moving.assign(ops.mean(y, 0))
        return y
    for order in (1, 2):
        check_gradients(function, [X], [w], backend=backend_name, order=order)
    np.testing.assert_array_equal(w.numpy(), before)
    np.testing.assert_array_equal(moving.numpy(), 0)
    with pytest.raises(AssertionError, match="wrong gradient"):
        check_gradients(lambda x: x @ ops.stop_gradient(w), [X], [w], backend=backend_name)
    np.testing.assert_array_equal(w.numpy(), before)


@pytest.mark.parametrize("at, function", [
    (0.0, ops.relu), (0.0, ops.absolute), (1.0, lambda x: ops.maximum(x, 1.0)), (1e-7, ops.relu),
    (2.0, lambda x: ops.floor(x) + x * 0), (0.0, lambda x: ops.where(x > 0, x * x + 1, x))])
def test_kinks_and_jumps_are_seen(at, function, backend_name):
    x = X.copy()
    x[1, 2] = at
    with pytest.raises(NotSmooth):
        check_gradients(function, [x], backend=backend_name)


def test_a_kink_nearby_is_stepped_around(backend_name):
    x = X.copy()
    x[1, 2] = 2.0**-13
    check_gradients(ops.relu, [x], backend=backend_name)


def test_steep_and_curved_functions_pass(backend_name):
    check_gradients(ops.log, [np.array([0.02, 0.1, 1.0])], backend=backend_name)
    check_gradients(lambda x: ops.exp(3 * x), [X], backend=backend_name)
    check_gradients(lambda x: 1000 * x + 1e-3 * ops.tanh(x), [X], backend=backend_name)


def test_integers_pass_through(backend_name):
    check_gradients(lambda x, n: ops.where(n > 1, x * x, x), [X, np.arange(12).reshape(4, 3)],
                    backend=backend_name)


def test_empty_arrays(backend_name):
    check_gradients(lambda x: x * x, [np.zeros((0, 3))], backend=backend_name)


def test_errors(backend_name):
    with pytest.raises(ValueError, match="needs float64: finite differences in float32"):
        check_gradients(ops.exp, [X.astype("float32")], backend=backend_name)
    with pytest.raises(ValueError, match="needs float64"):
        check_gradients(lambda: w * 1, [], [w := Variable(np.ones(2, "float32"))], backend=backend_name)
    with pytest.raises(ValueError, match="no float output"):
        check_gradients(lambda x: x > 0, [X], backend=backend_name)
    with pytest.raises(ValueError, match="NaN or infinity"):
        check_gradients(ops.log, [X], backend=backend_name)
