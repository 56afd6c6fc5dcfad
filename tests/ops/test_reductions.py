"""Reductions: axes, types, ties, special values and the errors."""

import math

import numpy as np
import pytest

from pyconv import ops
from pyconv.graph import gradients, placeholder, trace
from pyconv.testing import check_gradients

X = np.random.default_rng(5).normal(size=(4, 3, 5))


@pytest.mark.parametrize("keepdims", [False, True])
@pytest.mark.parametrize("axis", [None, 0, -1, 1, (0, 1), (-1, 0), (), [2]])
@pytest.mark.parametrize("name, expectation", [("sum", np.sum), ("mean", np.mean), ("max", np.max),
                                               ("min", np.min),
                                               ("variance", np.var)])
def test_axes(name, expectation, axis, keepdims, backend):
    found = getattr(ops, name)(X, axis, keepdims)
    np.testing.assert_allclose(found, expectation(X, tuple(axis) if isinstance(axis, list) else axis,
                                                  keepdims=keepdims), rtol=1e-12, atol=1e-15)


@pytest.mark.parametrize("dtype, result", [("bool", "int32"), ("uint8", "int32"), ("int16", "int32"),
                                           ("int32", "int32"), ("int64", "int64"), ("float32", "float32")])
def test_type_of_a_sum(dtype, result, backend):
    x = np.ones((300,), dtype)
    total = ops.sum(x)
    assert total == 300 and total.dtype == result


def test_mean_of_integers_is_a_float(backend):
    assert ops.mean(np.array([1, 2], "int32")).dtype == "float32"
    assert ops.mean(np.array([True, False])) == 0.5


def test_sum_over_no_elements(backend):
    np.testing.assert_array_equal(ops.sum(np.ones((0, 3)), 0), np.zeros(3))
    assert ops.sum(np.ones((2, 0, 3)), (1, 2)).shape == (2,)


def test_argmax_of_ties_nan_and_no_axis(backend):
    x = np.array([[1.0, 5.0, 5.0], [math.nan, 7.0, math.nan]])
    np.testing.assert_array_equal(ops.argmax(x, -1), [1, 0])
    np.testing.assert_array_equal(ops.argmin(x, -1), [0, 0])
    assert ops.argmax(x[:1]) == 1 and ops.argmax(x).dtype == "int32"
    np.testing.assert_array_equal(ops.argmax(x, 1, keepdims=True), [[1], [0]])
    assert ops.argmin(x, keepdims=True).shape == (1, 1)


@pytest.mark.parametrize("n", [1, 3, 16, 37])
def test_nan_passes_through(n, backend):
    for at in {0, n // 2, n - 1}:
        x = np.ones((2, n))
        x[1, at] = math.nan
        for function in (ops.sum, ops.mean, ops.max, ops.min):
            np.testing.assert_array_equal(function(x, 1), function(np.where(np.isnan(x), 1, x),
                                                                   1) * [1, math.nan])


def test_extrema_of_infinities(backend):
    x = np.array([[-math.inf, -math.inf], [math.inf, 1.0]])
    np.testing.assert_array_equal(ops.max(x, 1), [-math.inf, math.inf])
    np.testing.assert_array_equal(ops.min(x, 1), [-math.inf, 1.0])


def test_logsumexp_does_not_overflow(backend):
    np.testing.assert_allclose(ops.logsumexp(np.array([1000.0, 1000.0])), 1000 + math.log(2))
    np.testing.assert_allclose(ops.logsumexp(np.array([[-1000.0], [-1001.0]]), 0, keepdims=True),
                               [[-1000 + math.log1p(math.exp(-1))]])


def test_equal_extrema_share_the_gradient(backend):
    graph, _ = trace(lambda x: gradients(ops.sum(ops.max(x, 1)), [x]), [((2, 3), "float64")])
    (found,) = backend.compile(graph)([np.array([[1.0, 4.0, 4.0], [2.0, 2.0, 2.0]])])
    np.testing.assert_allclose(found, [[0, 0.5, 0.5], [1 / 3] * 3])


def test_stop_gradient(backend):
    graph, _ = trace(lambda x: gradients(ops.sum(x * ops.stop_gradient(x)), [x]), [((2,), "float64")])
    (found,) = backend.compile(graph)([np.array([3.0, 5.0])])
    np.testing.assert_array_equal(found, [3.0, 5.0])


def test_gradients_of_compositions(backend_name):
    def function(x):
        return [ops.variance(x, (0, 2)), ops.logsumexp(x, 1), ops.mean(x, keepdims=True), ops.sum(x * x, ())]
    check_gradients(function, [X], backend=backend_name)
    check_gradients(function, [X], backend=backend_name, order=2)


@pytest.mark.parametrize("call, error, message", [
    (lambda x: ops.sum(x, 3), ValueError, "axis=3 does not exist in a tensor with 3 axes; expected -3 to 2"),
    (lambda x: ops.sum(x, (0, -3)), ValueError, "names an axis twice"),
    (lambda x: ops.sum(x, 1.0), TypeError, "axis must be an int, got 1.0"),
    (lambda x: ops.sum(x, True), TypeError, "axis must be an int, got True"),
    (lambda x: ops.max(x[:0], 0), ValueError, r"max over no elements: the shape is \(0, 3, 5\)"),
    (lambda x: ops.min(x[:, :0]), ValueError, "min over no elements"),
    (lambda x: ops.mean(x[:0]), ValueError, "mean over no elements"),
    (lambda x: ops.argmax(x[:0], 0), ValueError, "argmax over no elements"),
    (lambda x: ops.argmax(x, 5), ValueError, "axis=5 does not exist"),
    (lambda x: ops.sum(x[0, 0, 0], 0), ValueError, "has no axes"),
])
@pytest.mark.parametrize("symbolic", [False, True])
def test_errors(call, error, message, symbolic, backend):
    with pytest.raises(error, match=message):
        call(placeholder(X.shape, "float64") if symbolic else X)
