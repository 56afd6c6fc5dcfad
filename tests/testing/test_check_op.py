"""`check_op` finds what is wrong in functions of tensors, and passes those that are right."""

import itertools

import numpy as np
import pytest
from hypothesis import strategies as st

from pyconv import ops
from pyconv.graph import REGISTRY
from pyconv.testing import OP_PROPERTIES, PropertyError, check_op, strategies

COUNTER = itertools.count()


def swish(x):
    return x * ops.sigmoid(x)


def swish_in_numpy(x):
    return x / (1 + np.exp(-x))


def forgotten(x):
    return x * ops.stop_gradient(ops.sigmoid(x))


def square_with_one_derivative(x):
    """Value x ** 2 and gradient 2 x, whose own gradient is lost."""
    return 2 * x * ops.stop_gradient(x) - ops.stop_gradient(x * x)


def leak(x):
    return ops.cast(x, "float64")


def widen(x):
    return ops.cast(x, "float32")


def counted(x):
    return x + next(COUNTER)


def numpy_noise(x):
    return x + np.random.normal()


def in_place(x):
    if isinstance(x, np.ndarray) and x.flags.writeable:
        x[...] = 0.0
    return x * 1.0


def numpy_alone(x):
    return np.tanh(x)


def another_rank_when_traced(x):
    return ops.sum(x, -1) if isinstance(x, np.ndarray) else ops.sum(x, -1, keepdims=True)


PLANTED = {
    "reference": (swish, lambda x: x / (1 + np.exp(-2 * x))), "gradients": (forgotten, swish_in_numpy),
    "second_gradients": (square_with_one_derivative, np.square), "dtype": (leak, None), "inputs": (in_place, None),
    "reproducible": (numpy_noise, None), "call": (numpy_alone, np.tanh),
}


@pytest.mark.parametrize("name", list(PLANTED))
def test_planted_bugs_are_found(name):
    function, reference = PLANTED[name]
    with pytest.raises(PropertyError) as caught:
        check_op(function, [(None, 3)], reference)
    assert name in caught.value.failures
    assert f"[{name}] " in str(caught.value) and f"Smallest case found: {function.__name__}(" in str(caught.value)


@pytest.mark.parametrize("function, name", [(counted, "traced"), (another_rank_when_traced, "shape"), (widen, "dtype")])
def test_more_planted_bugs(function, name):
    with pytest.raises(PropertyError) as caught:
        check_op(function, [(None, 3)], only=[name])
    assert list(caught.value.failures) == [name]


def test_a_backend_that_computes_something_else_is_found(monkeypatch):
    from pyconv.backends.reference import KERNELS
    right = KERNELS["sigmoid"]
    monkeypatch.setitem(KERNELS, "sigmoid", lambda x: right(x) + 1e-7)
    with pytest.raises(PropertyError) as caught:
        check_op(swish, [(None, 3)], swish_in_numpy, backends=["cpu", "reference"])
    assert list(caught.value.failures) == ["backends"]


def test_right_functions_pass():
    found = check_op(swish, [(None, 3)], swish_in_numpy)
    assert found == {p.name: "holds" for p in OP_PROPERTIES}
    check_op(lambda a, b: ops.matmul(a, b), [(None, 3), (3, 2)], np.matmul)
    check_op(lambda a, b: {"sum": a + b, "order": a > b}, [(None, 3), (3,)], lambda a, b: [a + b, a > b])
    check_op(ops.softmax, strategies.arrays((None, None)), lambda x: np.exp(x) / np.exp(x).sum(-1, keepdims=True))
    check_op(lambda x, axis: ops.flip(x, axis), st.tuples(st.lists(strategies.arrays((2, 3)), min_size=1, max_size=1),
                                                          st.fixed_dictionaries({"axis": st.integers(0, 1)})), np.flip)
    check_op(lambda x, i: ops.take(x, i, 0), [(4, 2), strategies.arrays((None,), "int32")],
             lambda x, i: np.take(x, i, 0))
    found = check_op(lambda i: i + 1, [strategies.arrays((None,), "int32")], lambda i: i + 1)
    assert found["gradients"] == found["dtype"] == "does not apply: no input is a float"


@pytest.mark.parametrize("name", ["tanh", "conv", "where", "sum", "max_pool"])
def test_ops_of_the_registry(name):
    assert name in REGISTRY
    check_op(name, max_examples=5, skip="second_gradients" if name == "max_pool" else ())


def test_a_wrong_rule_of_an_op_is_found(monkeypatch):
    monkeypatch.setattr(REGISTRY["tanh"], "chain", lambda x, y, g: g * (1 + y * y), raising=False)
    with pytest.raises(PropertyError) as caught:
        check_op("tanh")
    assert "gradients" in caught.value.failures


def test_wrong_use():
    with pytest.raises(ValueError, match="'tahn' is not known. Did you mean 'tanh'"):
        check_op("tahn")
    with pytest.raises(TypeError, match="a function of tensors or the name of an op, got 3"):
        check_op(3, [(2,)])
    with pytest.raises(TypeError, match="arguments must be a list"):
        check_op(swish)
    with pytest.raises(ValueError, match="arguments are float64"):
        check_op(swish, [np.ones(3, "float32")])
    with pytest.raises(ValueError, match="only='grad'.*mean 'gradients'"):
        check_op(swish, [(3,)], only="grad")
