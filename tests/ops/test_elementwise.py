"""Elementwise ops: types, broadcasting, Python's operators, extreme values, and the errors."""

import math

import numpy as np
import pytest

from pyconv import config, ops
from pyconv.graph import Variable, gradients, placeholder, trace
from pyconv.testing import check_gradients


@pytest.mark.parametrize("a, b, dtype", [
    ("float32", "float32", "float32"), ("float32", "float64", "float64"), ("int64", "float32", "float32"),
    ("bool", "float32", "float32"), ("int32", "int64", "int64"), ("uint8", "int8", "int16"),
    ("bool", "int32", "int32"), ("uint32", "int32", "int64")])
def test_types_of_two_tensors(a, b, dtype):
    assert ops.add(placeholder((2,), a), placeholder((2,), b)).dtype == dtype
    assert ops.add(placeholder((2,), b), placeholder((2,), a)).dtype == dtype


@pytest.mark.parametrize("tensor, number, dtype", [
    ("float32", 2, "float32"), ("float32", 2.5, "float32"), ("float64", 1.0, "float64"), ("int32", 2,
                                                                                          "int32"),
    ("uint8", 2, "uint8"), ("int32", 2.5, "float32"), ("bool", 2, "int32"), ("bool", True, "bool"),
    ("bool", 0.5, "float32"), ("float32", np.float64(2.5), "float32")])
def test_python_numbers_take_the_tensors_type(tensor, number, dtype):
    assert ops.multiply(placeholder((2,), tensor), number).dtype == dtype
    assert ops.multiply(number, placeholder((2,), tensor)).dtype == dtype


def test_default_float_type(backend):
    assert ops.exp(1).dtype == "float32"
    assert ops.divide(np.array([1, 2]), 2).dtype == "float32"
    config.set_floatx("float64")
    assert ops.exp(np.array([1, 2])).dtype == "float64"
    assert ops.divide(np.array([1, 2]), 2).dtype == "float64"


def test_operators(backend):
    x, y = np.array([[1.0, -2.0], [0.5, 3.0]]), np.array([[2.0, 2.0], [-1.0, 3.0]])

    def function(a, b):
        return [a + b, 1 - a, a - 1, 2 * a, a / b, 1 / b, a ** 2, a @ b, y @ a, -a, abs(a), a < b, a <= b,
                a > b,
                a >= b, (a > 0) & (b > 0), (a > 0) | (b > 0), ~(a > 0), a[0], a[:, 1:], y + a,
                np.float32(2) * a, *a]
    graph, _ = trace(function, [((2, 2), "float64")] * 2)
    for found, expected in zip(backend.compile(graph)([x, y]), function(x, y), strict=True):
        np.testing.assert_allclose(found, expected)


def test_operators_on_variables(backend):
    v = Variable(np.array([1.0, 2.0]))
    np.testing.assert_array_equal(v + 1, [2.0, 3.0])
    np.testing.assert_array_equal(np.array([1.0, 1.0]) - v, [0.0, -1.0])
    np.testing.assert_array_equal(v[1:], [2.0])
    assert v.ndim == 1 and v.size == 2 and len(v) == 2


def test_equality_operator_is_identity():
    """== compares tensors as objects, so that they can be dictionary keys; ops.equal compares elements."""
    a, b = placeholder((2,), "float32"), placeholder((2,), "float32")
    assert a == a and a != b and len({a, b}) == 2


NAN, INF = math.nan, math.inf
SPECIAL = [NAN, INF, -INF, 0.0, -0.0, 1.0, -1.0, 1000.0, -1000.0, 88.0, -88.0, 1e-6, -1e-6, 1e-30, -1e-30]


@pytest.mark.filterwarnings("ignore::RuntimeWarning")
@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("name", ["negative", "exp", "expm1", "log", "log1p", "sqrt", "square", "absolute",
                                  "sign",
                                  "floor", "tanh", "isfinite"])
def test_extreme_values(name, dtype, backend):
    """NaN, infinities, overflow and tiny numbers come out as NumPy has them, in vectors and in tails."""
    # CuPy has CUDA's compiler set float32 numbers below the normal ones to zero, such as exp(-88).
    flushed = np.finfo(dtype).tiny if backend.name.startswith("cuda") and dtype == "float32" else 0
    for n in (1, len(SPECIAL), 5 * len(SPECIAL)):
        x = np.resize(np.array(SPECIAL, dtype), n)
        expected = getattr(np, name)(x.astype("float64")).astype(dtype if name != "isfinite" else "bool")
        found = getattr(ops, name)(x)
        if name == "isfinite":
            np.testing.assert_array_equal(found, expected)
        else:
            np.testing.assert_allclose(found, expected, rtol=1e-6 if dtype == "float32" else 1e-14,
                                       atol=flushed)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_extreme_values_of_activations(dtype, backend):
    x = np.array(SPECIAL, dtype)
    np.testing.assert_array_equal(ops.relu(x), np.maximum(x, 0))
    sigmoid = ops.sigmoid(x)
    np.testing.assert_array_equal(sigmoid[[1, 2, 3, 4, 7]], np.array([1, 0, 0.5, 0.5, 1], dtype))
    assert np.isnan(sigmoid[0]) and 0 <= sigmoid[8] < 1e-30
    erf = ops.erf(x)
    np.testing.assert_array_equal(erf[[1, 2, 3, 7, 8]], np.array([1, -1, 0, 1, -1], dtype))
    assert np.isnan(erf[0])
    np.testing.assert_allclose(erf[-4:], 2 / np.sqrt(np.pi) * x[-4:], rtol=1e-6)
    softplus = ops.softplus(x[1:])
    np.testing.assert_allclose(softplus[[0, 1, 6, 7]], [INF, 0, 1000, 0])


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("name", ["add", "subtract", "multiply", "divide", "maximum", "minimum", "equal",
                                  "not_equal", "less", "less_equal", "greater", "greater_equal"])
def test_extreme_values_of_pairs(name, dtype, backend):
    x = np.array(SPECIAL, dtype)
    with np.errstate(all="ignore"):
        expected = getattr(np, name)(x[:, None], x)
    np.testing.assert_array_equal(getattr(ops, name)(x[:, None], x), expected)


def test_power_of_special_values(backend):
    x = np.array([0.0, 1.0, -2.0, -2.0, 4.0, 0.0, INF, -1.0])
    y = np.array([0.0, NAN, 3.0, 2.0, -0.5, 2.0, -1.0, 0.5])
    with np.errstate(all="ignore"):
        np.testing.assert_allclose(ops.power(x, y), np.power(x, y))


@pytest.mark.parametrize("dtype", ["int8", "uint8", "int32", "uint32", "int64"])
def test_integers_wrap_around(dtype, backend):
    low, high = np.iinfo(dtype).min, np.iinfo(dtype).max
    x, y = np.array([low, high, high, 3], dtype), np.array([1, 1, high, 5], dtype)
    with np.errstate(over="ignore"):
        np.testing.assert_array_equal(ops.add(x, y), x + y)
        np.testing.assert_array_equal(ops.subtract(x, y), x - y)
        np.testing.assert_array_equal(ops.multiply(x, y), x * y)
        np.testing.assert_array_equal(ops.negative(x), -x)


@pytest.mark.parametrize("target", ["int8", "int32", "int64", "float32", "float64", "bool"])
@pytest.mark.parametrize("source", ["float32", "float64", "int8", "int64"])
def test_cast_of_negative_numbers(source, target, backend):
    x = np.array([-100, -2.75, -1, -0.25, 0, 0.25, 1, 2.75, 100]).astype(source)
    np.testing.assert_array_equal(ops.cast(x, target), x.astype(target))
    assert ops.cast(x, target).dtype == target


def test_nan_is_true(backend):
    assert ops.cast(np.array([NAN]), "bool")[0]
    assert not ops.logical_not(np.array([NAN]))[0]


def test_where_selects_also_beside_nan(backend):
    x = np.array([1.0, NAN, 3.0])
    np.testing.assert_array_equal(ops.where(np.isnan(x), 0.0, x), [1.0, 0.0, 3.0])


def test_where_takes_any_condition(backend):
    np.testing.assert_array_equal(ops.where(np.array([0, 2]), np.array([1.0, 1.0]), 5), [5.0, 1.0])


@pytest.mark.parametrize("function, expected", [
    (ops.relu, [0, 0, 1]), (ops.absolute, [-1, 0, 1]), (lambda x: ops.maximum(x, 0.0), [0, 1, 1]),
    (lambda x: ops.minimum(x, 0.0), [1, 1, 0]), (lambda x: ops.maximum(0.0, x), [0, 0, 1]),
    (lambda x: ops.clip(x, -0.5, 0.5), [0, 1, 0]), (ops.sign, [0, 0, 0])])
def test_derivatives_at_kinks(function, expected, backend):
    """At 0 relu and the absolute value have derivative 0; at ties the first argument has the gradient."""
    def run(x):
        loss = ops.sum(function(x)) + ops.sum(x * 0)
        return gradients(loss, [x])
    graph, _ = trace(run, [((3,), "float64")])
    (found,) = backend.compile(graph)([np.array([-1.0, 0.0, 1.0])])
    np.testing.assert_array_equal(found, expected)


def test_gradients_of_compositions(backend_name):
    rng = np.random.default_rng(3)
    x, y = rng.normal(size=(3, 4)), rng.uniform(0.5, 2, (4,))
    check_gradients(lambda a, b: [ops.softplus(a * b), ops.rsqrt(b), ops.clip(a, -0.5, 0.7), a ** 3,
                                  2.0 ** a],
                    [x, y], backend=backend_name)
    check_gradients(lambda a, b: [ops.softplus(a * b), ops.rsqrt(b), a ** 3], [x, y], backend=backend_name,
                    order=2)


def test_check_finite(backend):
    x = np.array([1.0, 2.0])
    np.testing.assert_array_equal(ops.check_finite(x), x)
    for bad in (NAN, INF, -INF):
        with pytest.raises(ValueError, match="the loss went astray"):
            ops.check_finite(np.array([1.0, bad]), "the loss went astray")
    np.testing.assert_array_equal(ops.check_finite(x), x)


@pytest.mark.parametrize("call, error, message", [
    (lambda: ops.add(np.ones((2, 3)), np.ones((2, 4))), ValueError,
     r"add: shapes \(2, 3\) and \(2, 4\) do not broadcast"),
    (lambda: ops.where(np.ones(2) > 0, np.ones(3), 1.0), ValueError, r"where: shapes \(2,\) and \(3,\)"),
    (lambda: ops.subtract(np.array([True]), np.array([True])), TypeError, "subtract needs numbers, got bool"),
    (lambda: ops.negative(np.array([True])), TypeError, "negative needs numbers, got bool"),
    (lambda: ops.exp(np.ones(2, "longdouble")), TypeError, "longdouble.*astype|float128.*not supported"),
    (lambda: ops.add(np.ones(2, complex), 1), TypeError, "complex128.*not supported"),
    (lambda: ops.cast(np.ones(2), "string"), TypeError, "'string' is not supported|str.*not supported"),
    (lambda: ops.base.apply("add", np.ones(2), np.ones(2, "float32")), TypeError,
     "float32, float64; cast them"),
    (lambda: ops.base.apply("exp", np.ones(2, "int32")), TypeError,
     "exp needs float32 or float64, got int32"),
    (lambda: ops.base.apply("where", np.ones(2), np.ones(2), np.ones(2)), TypeError,
     "condition must be bool"),
])
def test_errors(call, error, message, backend):
    with pytest.raises(error, match=message):
        call()
