"""Softmax, cross-entropies, one-hot: large logits, bad labels, and gradients."""

import numpy as np
import pytest

from pyconv import ops
from pyconv.graph import Variable, gradients, placeholder, simplify, trace
from pyconv.testing import check_gradients

RNG = np.random.default_rng(4)
LOGITS = RNG.normal(size=(6, 5))
LABELS = np.array([0, 4, 2, 2, 1, 3])


def test_large_logits_do_not_overflow(backend):
    big = np.array([[1e4, 0.0, -1e4]])
    np.testing.assert_array_equal(ops.softmax(big), [[1, 0, 0]])
    np.testing.assert_array_equal(ops.log_softmax(big), [[0, -1e4, -2e4]])
    np.testing.assert_array_equal(ops.sparse_softmax_cross_entropy(big, np.array([2])), [2e4])
    np.testing.assert_array_equal(ops.sigmoid_cross_entropy(np.array([1e4, -1e4, 1e4]), np.array([1, 0, 0])),
                                  [0, 0, 1e4])


def test_softmax_along_another_axis(backend):
    np.testing.assert_allclose(ops.softmax(LOGITS, 0), ops.softmax(LOGITS.T).T)
    np.testing.assert_allclose(ops.softmax(LOGITS).sum(-1), 1)


@pytest.mark.parametrize("dtype", ["uint8", "int8", "int32", "int64"])
def test_labels_of_any_integer_type(dtype, backend):
    expected = -np.log(ops.softmax(LOGITS))[range(6), LABELS]
    np.testing.assert_allclose(ops.sparse_softmax_cross_entropy(LOGITS, LABELS.astype(dtype)), expected)


@pytest.mark.parametrize("label", [-1, 5, 1000, -2**40])
def test_label_out_of_range(label, backend):
    labels = LABELS.copy()
    labels[3] = label
    with pytest.raises(ValueError, match=rf"label is {label}, .*0 to 4"):
        ops.sparse_softmax_cross_entropy(LOGITS, labels)


def test_label_out_of_range_changes_no_variable(backend):
    weights = Variable(np.ones((5,)))

    def step(x, y):
        loss = ops.mean(ops.sparse_softmax_cross_entropy(x * weights, y))
        (grad,) = gradients(loss, [weights.read()])
        weights.assign_sub(grad)
        return loss
    graph, _ = trace(step, [((6, 5), "float64"), ((6,), "int64")])
    program = backend.compile(simplify(graph))
    with pytest.raises(ValueError, match="label is 9"):
        program([LOGITS, np.where(LABELS == 2, 9, LABELS)])
    np.testing.assert_array_equal(weights.numpy(), np.ones(5))
    program([LOGITS, LABELS])
    assert (weights.numpy() != 1).any()


def test_one_hot(backend):
    x = np.array([[0, 2], [-1, 3]])
    expected = np.array([[[1, 0, 0], [0, 0, 1]], [[0, 0, 0], [0, 0, 0]]], "float32")
    np.testing.assert_array_equal(ops.one_hot(x, 3), expected)
    np.testing.assert_array_equal(ops.one_hot(x, 3, axis=0), np.moveaxis(expected, -1, 0))
    np.testing.assert_array_equal(ops.one_hot(x, 3, axis=1), np.moveaxis(expected, -1, 1))
    assert ops.one_hot(x, 3, dtype="int32").dtype == "int32"


def test_gradients(backend_name):
    targets = RNG.dirichlet(np.ones(5), 6)

    def function(x, t, y):
        return [ops.softmax(x), ops.softmax(x, 0), ops.log_softmax(x), ops.softmax_cross_entropy(x, t),
                ops.sigmoid_cross_entropy(x, t), ops.sparse_softmax_cross_entropy(x, y)]
    for order in (1, 2):
        check_gradients(function, [LOGITS, targets, LABELS], backend=backend_name, order=order)


@pytest.mark.parametrize("call, error, message", [
    (lambda x: ops.sparse_softmax_cross_entropy(x, placeholder((5,), "int32")), ValueError,
     r"logits of shape \(6, 5\) need labels of shape \(6,\), got \(5,\)"),
    (lambda x: ops.sparse_softmax_cross_entropy(x, placeholder((6,), "float32")), TypeError,
     "integer labels"),
    (lambda x: ops.sparse_softmax_cross_entropy(ops.cast(x, "int32"), placeholder((6,), "int32")), TypeError,
     "float logits"),
    (lambda x: ops.one_hot(x, 3), TypeError, "one_hot needs integers, got float64"),
    (lambda x: ops.softmax(x, 2), ValueError, "axis=2 does not exist"),
])
def test_errors(call, error, message, backend):
    with pytest.raises(error, match=message):
        call(placeholder((6, 5), "float64"))
