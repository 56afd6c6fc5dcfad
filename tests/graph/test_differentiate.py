"""Differentiation of graphs: which tensors have gradients, sums over paths, and the errors."""

import numpy as np
import pytest

from pyconv import ops
from pyconv.graph import Graph, Variable, constant, gradients, placeholder, trace
from pyconv.testing import check_gradients


def value(backend, inputs, tensors, arrays):
    return backend.compile(Graph(inputs, tensors))(arrays)


def test_paths_add_up(backend):
    x = placeholder((3,), "float64")
    y = ops.tanh(x)
    loss = ops.sum(y * y + x + y * x)
    (dx,) = gradients(loss, [x])
    at = np.array([0.3, -1.0, 2.0])
    t = np.tanh(at)
    np.testing.assert_allclose(value(backend, [x], [dx], [at])[0], (2 * t + at) * (1 - t * t) + 1 + t)


def test_gradients_for_inner_tensors(backend):
    """The gradient for a tensor inside of the graph holds what is above it fixed."""
    x = placeholder((2,), "float64")
    y = x * 3
    loss = ops.sum(y * y)
    dx, dy = gradients(loss, [x, y])
    found = value(backend, [x], [dx, dy], [np.array([1.0, 2.0])])
    np.testing.assert_allclose(found, [[18, 36], [6, 12]])


def test_none_where_the_loss_does_not_depend():
    x, y, n = placeholder((2,), "float32"), placeholder((2,), "float32"), placeholder((2,), "int32")
    loss = ops.sum(x * ops.cast(n, "float32")) + ops.sum(ops.cast(y > 0, "float32"))
    dx, dy, dn = gradients(loss, [x, y, n])
    assert dx.shape == (2,) and dy is None and dn is None


def test_the_loss_itself_and_a_seed(backend):
    x = placeholder((2,), "float64")
    y = x * x
    (dx,) = gradients(y, [x], seed=constant(np.array([1.0, 10.0])))
    np.testing.assert_allclose(value(backend, [x], [dx], [np.array([1.0, 2.0])])[0], [2, 40])
    loss = ops.sum(x)
    (one,) = gradients(loss, [loss])
    assert value(backend, [x], [one], [np.zeros(2)])[0] == 1


def test_of_variables(backend):
    w = Variable(np.array([[2.0, 0.0], [1.0, 3.0]]))

    def function(x):
        loss = ops.sum(x @ w)
        return gradients(loss, [w.read()])
    graph, _ = trace(function, [((5, 2), "float64")])
    x = np.arange(10.0).reshape(5, 2)
    np.testing.assert_allclose(backend.compile(graph)([x])[0], np.stack([x.sum(0)] * 2, 1))


def test_higher_orders(backend):
    x = placeholder((), "float64")
    y = x ** 5
    expected = 3.0 ** 5
    for k in range(5):
        (y,) = gradients(y, [x])
        expected = expected * (5 - k) / 3.0
        np.testing.assert_allclose(value(backend, [x], [y], [np.array(3.0)])[0], expected)


def test_broadcasting_is_undone(backend_name):
    rng = np.random.default_rng(0)
    check_gradients(lambda a, b, c: a * b + c / (b * b + 1), [rng.normal(size=s) for s in ((4, 1, 3), (2, 1),
                                                                                           ())],
                    backend=backend_name)


def test_only_scalars():
    x = placeholder((2, 3), "float32")
    with pytest.raises(ValueError,
                       match=r"Only a scalar has a gradient; the loss has shape \(2, 3\).*ops.mean"):
        gradients(x * 2, [x])


def test_only_floats():
    n = placeholder((), "int32")
    with pytest.raises(TypeError, match="float"):
        gradients(n * 2, [n])


def test_a_tensor_below_wrt_is_not_differentiated():
    """What lies below the tensors asked for needs no derivative."""
    x = placeholder((1, 4, 1), "float32")
    (g,) = gradients(ops.sum(ops.max_pool(x, 2)), [x])
    y = g * 2
    assert gradients(ops.sum(y * y), [g])[0].shape == (1, 4, 1)
