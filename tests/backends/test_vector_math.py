"""The elementwise functions that the CPU kernels compute by themselves, against NumPy in double precision."""

import math

import numpy as np
import pytest

from pyconv import backends, ops
from pyconv.graph import constant, gradients, simplify, trace

SPECIAL = [0.0, -0.0, 1.0, -1.0, np.inf, -np.inf, np.nan, 1e-45, -1e-45, 1e-40, -1e-40, 3e38, -3e38, 88.7, 88.73, 88.8,
           -87.4, -103.9, -104.1, 1e-8, -1e-8, 0.92, 0.9200001, 4.0, -4.0, 3.9999, 9.9, 10.0, -20.0, 20.0, 80.0, 80.1,
           2.0**23]
FUNCTIONS = {            # name: (function in double precision, units in the last place, spans of numbers)
    "exp": (np.exp, 1.5, [(-105, 90), (-1, 1)]),
    "expm1": (np.expm1, 2, [(-25, 90), (-1, 1), (-1e-3, 1e-3)]),
    "log": (np.log, 1.5, [(0, 3), (0, 1e30), (0, 1e-37), (-1, 0)]),
    "log1p": (np.log1p, 2, [(-1, 2), (-1e-4, 1e-4), (0, 1e30), (-2, -1)]),
    "tanh": (np.tanh, 3, [(-12, 12), (-0.5, 0.5), (-1e-6, 1e-6)]),
    "erf": (np.vectorize(math.erf), 2.5, [(-5, 5), (-1, 1), (-1e-6, 1e-6)]),
    "sigmoid": (lambda x: 1 / (1 + np.exp(-x)), 3, [(-80, 80), (-1, 1)]),
    "sin": (np.sin, 3, [(-8192, 8192), (-4, 4), (-1e6, 1e6)]),
    "cos": (np.cos, 3, [(-8192, 8192), (-4, 4), (-1e6, 1e6)]),
}


def draw(spans, count):
    rng = np.random.default_rng(0)
    return np.concatenate([SPECIAL, *(rng.uniform(*span, count) for span in spans)]).astype("float32")


def check(y, truth, limit):
    """y, float32, is within `limit` units in the last place of the truth."""
    nearest = truth.astype("float32")
    with np.errstate(all="ignore"):
        units = np.abs(y - truth) / np.maximum(np.spacing(np.abs(nearest)), np.float32(1e-45))
    same = (np.isnan(y) & np.isnan(truth)) | (y == nearest)
    assert np.all(same | (units <= limit)), (y[~same & ~(units <= limit)][:5], truth[~same & ~(units <= limit)][:5])


@pytest.mark.parametrize("name", FUNCTIONS)
@pytest.mark.filterwarnings("ignore::RuntimeWarning")
def test_single_precision(name):
    function, limit, spans = FUNCTIONS[name]
    x = draw(spans, 20_001)
    check(np.asarray(getattr(ops, name)(x)), function(x.astype("float64")), limit)


@pytest.mark.parametrize("name", FUNCTIONS)
@pytest.mark.filterwarnings("ignore::RuntimeWarning")
def test_double_precision(name):
    function, _, spans = FUNCTIONS[name]
    x = draw(spans, 501).astype("float64")
    np.testing.assert_allclose(np.asarray(getattr(ops, name)(x)), function(x), rtol=1e-14, atol=1e-300)


@pytest.mark.filterwarnings("ignore::RuntimeWarning")
def test_power():
    rng = np.random.default_rng(0)
    x = np.concatenate([np.exp(rng.uniform(-20, 20, 20_001)), rng.uniform(-3, 3, 2001)]).astype("float32")
    y = rng.uniform(-20, 20, len(x)).astype("float32")
    y[-2001::2] = np.round(y[-2001::2])            # negative numbers have powers with whole exponents
    check(np.asarray(ops.power(x, y)), np.power(x.astype("float64"), y.astype("float64")), 1)
    x, y = (np.ravel(a) for a in np.meshgrid(np.float32(SPECIAL), np.float32(SPECIAL)))
    check(np.asarray(ops.power(x, y)), np.power(x.astype("float64"), y.astype("float64")), 1)


@pytest.mark.filterwarnings("ignore::RuntimeWarning")
def test_gelu():
    """In one instruction, whose error is small beside x."""
    x = draw([(-6, 6), (-0.1, 0.1), (-1e6, 1e6)], 20_001)
    wide = x[np.isfinite(x)].astype("float64")
    y = np.asarray(ops.gelu(x, approximate=False))
    truth = 0.5 * wide * (1 + np.vectorize(math.erf)(wide * np.sqrt(0.5)))
    assert np.all(np.abs(y[np.isfinite(x)] - truth) <= 3e-7 * np.abs(wide) + 2e-45)
    assert np.all(y[(x < -5.7) & np.isfinite(x)] == 0)
    assert np.isnan(y[np.isnan(x)]).all() and y[x == np.inf] == np.inf
    x = x[np.abs(x) < 10]
    wide = x.astype("float64")

    def function(x):
        return gradients(ops.gelu(x, approximate=False), [x], constant(np.float32(1.5)) + 0 * x)
    graph, _ = trace(function, [(x.shape, "float32")])
    (y,) = backends.get("cpu").compile(simplify(graph))([x])
    truth = 0.5 * (1 + np.vectorize(math.erf)(wide * np.sqrt(0.5))) + wide * np.exp(-wide**2 / 2) / np.sqrt(2 * np.pi)
    np.testing.assert_allclose(y, 1.5 * truth, rtol=0, atol=1e-6)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_products(dtype):
    """Products and sums of products that become one instruction."""
    rng = np.random.default_rng(0)
    a, b, c, d, e = (rng.normal(size=1000).astype(dtype) for _ in range(5))
    for function in (lambda a, b, c, d, e: a * b * c, lambda a, b, c, d, e: a * b * c * d,
                     lambda a, b, c, d, e: a * (b * (c * (d * e))), lambda a, b, c, d, e: a * b * c + d,
                     lambda a, b, c, d, e: d + c * (a * b), lambda a, b, c, d, e: (a - b) * c * d,
                     lambda a, b, c, d, e: (a + b) * c * d, lambda a, b, c, d, e: a * b + c * d + e,
                     lambda a, b, c, d, e: e + (a * b + (c - d) * e), lambda a, b, c, d, e: a * b + c * d + a * e,
                     lambda a, b, c, d, e: (a * b) * (a * b), lambda a, b, c, d, e: a * b + c * c + (a * b + c)):
        graph, _ = trace(lambda *x, f=function: f(*x), [((1000,), dtype)] * 5)
        (y,) = backends.get("cpu").compile(simplify(graph))([a, b, c, d, e])
        truth = function(*(x.astype("float64") for x in (a, b, c, d, e)))
        np.testing.assert_allclose(y, truth, rtol=0, atol=2e-6 * (1e-8 if dtype == "float64" else 1) * 10)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.filterwarnings("ignore::RuntimeWarning")
def test_limits(dtype):
    """Maxima and minima that become one instruction, of and with numbers that are not finite."""
    rng = np.random.default_rng(0)
    a, b, c, d = (np.concatenate([rng.normal(size=500), rng.permutation(SPECIAL)]).astype(dtype) for _ in range(4))
    for function in (lambda a, b, c, d, m: m.minimum(m.maximum(a, b), c),
                     lambda a, b, c, d, m: m.maximum(a + b, c),
                     lambda a, b, c, d, m: m.minimum(c, m.maximum(d, a + b)),
                     lambda a, b, c, d, m: m.minimum(m.maximum(a, 0), b),
                     lambda a, b, c, d, m: m.minimum(m.where(a > 0, a, 0 * b), c),
                     lambda a, b, c, d, m: m.where(m.equal(m.maximum(a, b), a), c, d),
                     lambda a, b, c, d, m: m.where(a > b, c, m.maximum(c, d))):
        graph, _ = trace(lambda *x, f=function: f(*x, ops), [(a.shape, dtype)] * 4)
        (y,) = backends.get("cpu").compile(simplify(graph))([a, b, c, d])
        np.testing.assert_array_equal(y, function(a, b, c, d, np))


@pytest.mark.parametrize("count", [0, 1, 5, 16, 17, 1023])
def test_any_number_of_elements(count):
    x = np.linspace(-3, 3, count, dtype="float32")
    np.testing.assert_allclose(np.asarray(ops.gelu(x, approximate=False)),
                               0.5 * x * (1 + np.vectorize(math.erf, otypes=["f4"])(x * np.sqrt(0.5))), rtol=2e-6,
                               atol=1e-6)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("lanes", [False, True])
@pytest.mark.parametrize("samples, classes", [(1, 1), (5, 3), (8, 16), (33, 17), (20, 1000)])
def test_cross_entropy_of_any_size(samples, classes, lanes, dtype):
    """Rows of logits, and with `lanes` a block of samples at once, as behind convolutions."""
    rng = np.random.default_rng(0)
    x = rng.normal(0, 30, (samples, classes)).astype(dtype)
    labels, g = rng.integers(0, classes, samples), rng.normal(size=samples).astype(dtype)

    def function(x, g):
        rows = ops.reshape(ops.max_pool(ops.reshape(x, (samples, 1, 1, classes)), 1), x.shape) if lanes else x
        loss = ops.sparse_softmax_cross_entropy(rows, constant(labels, "int64"))
        return [loss, *gradients(loss, [x], g)]
    graph, _ = trace(function, [(x.shape, dtype), (g.shape, dtype)])
    loss, dx = backends.get("cpu").compile(simplify(graph))([x, g])
    wide = x.astype("float64")
    top = wide.max(1, keepdims=True)
    e = np.exp(wide - top)
    right = np.log(e.sum(1)) + top[:, 0] - wide[np.arange(samples), labels]
    tolerance = 1e-12 if dtype == "float64" else 2e-6
    np.testing.assert_allclose(loss, right, rtol=tolerance, atol=tolerance * 30)
    softmax = e / e.sum(1, keepdims=True)
    softmax[np.arange(samples), labels] -= 1
    np.testing.assert_allclose(dx, softmax * g[:, None], rtol=tolerance, atol=tolerance * 5)


def test_a_wrong_label_in_any_layout():
    for samples in (3, 40):
        labels = np.full(samples, 2)
        labels[-1] = 7
        with pytest.raises(ValueError, match="A label is 7, but with 5 classes"):
            ops.sparse_softmax_cross_entropy(np.zeros((samples, 5), "float32"), labels)
