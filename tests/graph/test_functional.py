"""Tensors of the functional API: open shapes, and recorded calls."""

import numpy as np
import pytest

from pyconv import ops
from pyconv.graph import FunctionalTensor, Variable, is_functional, trace


def open_tensor(*shape, dtype="float32"):
    return FunctionalTensor(shape, dtype)


X = open_tensor(None, 8, 8, 3)
K = np.ones((3, 3, 3, 4), "float32")


@pytest.mark.parametrize("call, shape, dtype", [
    (lambda: ops.conv(X, K, padding="same"), (None, 8, 8, 4), "float32"),
    (lambda: ops.conv(open_tensor(None, None, None, 3), K), (None, None, None, 4), "float32"),
    (lambda: ops.max_pool(open_tensor(None, None, 8, 3), 2), (None, None, 4, 3), "float32"),
    (lambda: ops.reshape(X, (-1, 192)), (None, 192), "float32"),
    (lambda: ops.sum(X, 0), (8, 8, 3), "float32"),
    (lambda: ops.mean(X), (), "float32"),
    (lambda: ops.argmax(X, -1), (None, 8, 8), "int32"),
    (lambda: X > 0, (None, 8, 8, 3), "bool"),
    (lambda: X[:, 0], (None, 8, 3), "float32"),
    (lambda: X[..., None], (None, 8, 8, 3, 1), "float32"),
    (lambda: 1 - X * 2, (None, 8, 8, 3), "float32"),
    (lambda: ops.concatenate([X, X], axis=0), (None, 8, 8, 3), "float32"),
    (lambda: ops.transpose(X), (3, 8, 8, None), "float32"),
    (lambda: ops.matmul(open_tensor(None, 5), np.ones((5, 2), "float32")), (None, 2), "float32"),
    (lambda: open_tensor(4, 3) + 1, (4, 3), "float32"),
])
def test_shapes(call, shape, dtype):
    result = call()
    assert isinstance(result, FunctionalTensor)
    assert (result.shape, result.dtype) == (shape, dtype)


def test_several_results():
    parts = ops.split(X, 2, axis=1)
    assert [p.shape for p in parts] == [(None, 4, 8, 3)] * 2
    assert parts[0].call is parts[1].call and [p.index for p in parts] == [0, 1]
    assert parts[0].call.inputs == [X]


def test_a_call_is_made_again_on_concrete_tensors(backend):
    y = ops.concatenate([X, X * 2], axis=-1)
    scaled = y.call.inputs[1]

    def again(x):
        values = {id(X): x}
        values[id(scaled)] = scaled.call(values)
        return y.call(values)
    for batch in (1, 5):
        x = np.random.default_rng(0).normal(size=(batch, 8, 8, 3)).astype("float32")
        graph, _ = trace(again, [(x.shape, "float32")])
        np.testing.assert_array_equal(backend.compile(graph)([x])[0], np.concatenate([x, 2 * x], -1))


def test_recording_changes_no_variable():
    v = Variable(np.zeros(3, "float32"))

    @ops.base.operation
    def layer(x):
        v.assign_add(ops.sum(x, 0))
        return x + v
    assert layer(open_tensor(None, 3)).shape == (None, 3)
    np.testing.assert_array_equal(v.numpy(), 0)


def test_errors_come_when_the_call_is_recorded():
    with pytest.raises(ValueError, match="groups=1 expects 5"):
        ops.conv(X, np.ones((3, 3, 5, 4), "float32"))
    with pytest.raises(TypeError, match="cannot decide an `if`"):
        bool(X)
    with pytest.raises(TypeError, match="complex64"):
        FunctionalTensor((None, 3), "complex64")


def test_is_functional():
    assert is_functional([[1, {"a": X}]]) and is_functional([], {"x": (X,)}) and not is_functional([1, None],
                                                                                                   {})
    assert repr(X) == "<FunctionalTensor (None, 8, 8, 3) float32>"
