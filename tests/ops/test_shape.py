"""Ops that move elements: indexing against NumPy's, and the errors."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from pyconv import backends, ops
from pyconv.graph import placeholder, trace
from pyconv.testing import check_gradients

X = np.arange(60.0).reshape(3, 4, 5)


@given(data=st.data())
def test_indexing_is_numpys(backend_name, data):
    shape = tuple(data.draw(st.lists(st.integers(0, 5), min_size=1, max_size=4)))
    key = data.draw(hnp.basic_indices(shape, allow_newaxis=True))
    x = np.arange(np.prod(shape, dtype=int), dtype="float32").reshape(shape)
    backends.set_current(backend_name)
    np.testing.assert_array_equal(ops.getitem(x, key), x[key])
    graph, _ = trace(lambda t: t[key], [(shape, "float32")])
    np.testing.assert_array_equal(backends.get(backend_name).compile(graph)([x])[0], x[key])


def test_a_tensor_iterates_over_its_first_axis(backend):
    graph, _ = trace(lambda x: [row for row in x], [(X.shape, "float64")])
    np.testing.assert_array_equal(np.stack(backend.compile(graph)([X])), X)


def test_split_into_equal_parts(backend):
    for found, expected in zip(ops.split(X, 2, axis=1), np.split(X, 2, axis=1), strict=True):
        np.testing.assert_array_equal(found, expected)
    assert [p.shape[0] for p in ops.split(X, [0, 2])] == [0, 2, 1]


def test_pad_by_one_number(backend):
    np.testing.assert_array_equal(ops.pad(X, 1), np.pad(X, 1))
    np.testing.assert_array_equal(ops.pad(X.astype("int64"), 2, constant_values=7),
                                  np.pad(X.astype("int64"), 2, constant_values=7))


def test_transpose_reverses_by_default(backend):
    np.testing.assert_array_equal(ops.transpose(X), X.T)


def test_squeeze_takes_all_or_the_named(backend):
    x = X[:1, :, :1]
    assert ops.squeeze(x).shape == (4,)
    assert ops.squeeze(x, 0).shape == (4, 1)
    assert ops.squeeze(x, (0, -1)).shape == (4,)


def test_concatenate_matches_types(backend):
    assert ops.concatenate([np.ones(2, "float32"), np.ones(2, "int32")]).dtype == "float32"
    np.testing.assert_array_equal(ops.stack([X, X], 1), np.stack([X, X], 1))


def test_gradients_of_compositions(backend_name):
    def function(x):
        return [x[::2, 1:, ::-1], ops.stack([x, x * x], 1), ops.concatenate([x, x[:, :2]], 1),
                ops.flip(x, (0, 2)),
                ops.pad(x, 2)[1:, 1:], ops.broadcast_to(ops.expand_dims(x, 0),
                                                        (2, 3, 4, 5)), *ops.split(x, [1], 1)]
    check_gradients(function, [X / 30], backend=backend_name)


@pytest.mark.parametrize("call, error, message", [
    (lambda x: ops.reshape(x, (7, -1)), ValueError, r"60 elements of shape \(3, 4, 5\) do not divide"),
    (lambda x: ops.reshape(x, (7, 9)), ValueError, "do not fill shape"),
    (lambda x: ops.reshape(x, (-1, -1)), ValueError, "may have one -1"),
    (lambda x: ops.reshape(x, (0, -1)), ValueError, "do not divide"),
    (lambda x: ops.transpose(x, (0, 1)), ValueError, "no permutation of the 3 axes"),
    (lambda x: ops.transpose(x, (0, 1, 3)), ValueError, "axes=3 does not exist"),
    (lambda x: ops.broadcast_to(x, (3, 4, 6)), ValueError, "does not spread"),
    (lambda x: ops.broadcast_to(x, (4, 5)), ValueError, "does not spread"),
    (lambda x: ops.pad(x, [(1, 1)]), ValueError, "pad_width has 1 pairs for a tensor with 3 axes"),
    (lambda x: ops.pad(x, [(1, -1)] * 3), ValueError, "negative width"),
    (lambda x: ops.pad(x, 1, mode="mirror"), ValueError, "mode='mirror' is not known"),
    (lambda x: ops.slice(x, (0, 0, 0), (3, 4, 6)), ValueError, "does not lie inside"),
    (lambda x: ops.concatenate([x, x[:, :2]], -1), ValueError, "must agree on every axis but axis=2"),
    (lambda x: ops.concatenate([x, x[0]]), ValueError, "must agree on every axis|different"),
    (lambda x: ops.concatenate([]), ValueError, "nothing to join"),
    (lambda x: ops.squeeze(x, 0), ValueError, "length other than 1"),
    (lambda x: ops.expand_dims(x, 4), ValueError, "axis=4 does not exist in a tensor with 4 axes"),
    (lambda x: ops.flip(x, 3), ValueError, "axis=3 does not exist"),
    (lambda x: ops.split(x, 3, 1), ValueError, "axis 1 of length 4 does not divide into 3 equal parts"),
    (lambda x: ops.getitem(x, (0, 0, 0, 0)), IndexError, "4 indices for a tensor with 3 axes"),
    (lambda x: ops.getitem(x, 3), IndexError, "index 3 is out of range for axis 0 of length 3"),
    (lambda x: ops.getitem(x, [0, 1]), TypeError, "not by list"),
    (lambda x: ops.getitem(x, True), TypeError, "not by bool"),
])
@pytest.mark.parametrize("symbolic", [False, True])
def test_errors(call, error, message, symbolic, backend):
    with pytest.raises(error, match=message):
        call(placeholder(X.shape, "float64") if symbolic else X)


@pytest.mark.parametrize("n, shorts", [(8, 2), (9, 7), (20000, 3), (40001, 2), (16411, 3)])
@pytest.mark.parametrize("dtype", ["uint8", "float32", "float64"])
def test_copies_along_a_long_axis_and_a_short_one(n, shorts, dtype, backend):
    x = np.arange(shorts * n).astype(dtype).reshape(shorts, n)
    np.testing.assert_array_equal(ops.transpose(x), x.T)
    np.testing.assert_array_equal(ops.transpose(x.T), x)
    np.testing.assert_array_equal(ops.transpose(np.stack([x, x]), (0, 2, 1)), np.stack([x.T, x.T]))
