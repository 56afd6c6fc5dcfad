"""Functions made of ops: their gradients, order with NaN and ties, and the errors that say what would do."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pyconv import ops
from pyconv.testing import check_gradients

RNG = np.random.default_rng(3)
X = RNG.normal(size=(3, 4, 5))
Y = RNG.uniform(0.2, 0.9, size=(3, 4, 5))
HOLED = np.where(RNG.random(X.shape) < 0.2, 0.0, X)

GRADIENTS = {
    "prod_with_zeros": (lambda x: ops.prod(x, (0, 2)), [HOLED]),
    "cumsum": (lambda x: ops.cumsum(x, 1), [X]),
    "cumprod": (lambda x: ops.cumprod(x, -1), [HOLED]),
    "norm": (lambda x: ops.norm(x, axis=-1), [X]),
    "norm_p": (lambda x: ops.norm(x, 3, 1), [Y]),
    "norm_matrix": (lambda x: ops.norm(x, np.inf, (1, 2)), [X]),
    "normalize": (lambda x: ops.normalize(x, 1), [X]),
    "std": (lambda x: ops.std(x, (0, 1)), [X]),
    "logaddexp": (ops.logaddexp, [X, Y]),
    "mod": (lambda x: ops.mod(x, 0.7), [X]),
    "arcsin": (ops.arcsin, [Y]),
    "tan": (ops.tan, [Y]),
    "sinh": (ops.sinh, [X]),
    "tensordot": (lambda x, y: ops.tensordot(x, y, ([0, 2], [0, 2])), [X, Y]),
    "sort": (ops.sort, [X]),
    "top_k": (lambda x: ops.top_k(x, 3)[0], [X]),
    "median": (lambda x: ops.median(x, 1), [X]),
    "take_along_axis": (lambda x: ops.take_along_axis(x, np.array([[[0, 2, 2]]]), -1), [X]),
    "sparsemax": (lambda x: ops.sparsemax(x, 1), [X]),
    "glu": (lambda x: ops.glu(x, 1), [X]),
    "roll": (lambda x: ops.roll(x, 2, 2), [X]),
    "tile": (lambda x: ops.tile(x, (2, 1, 3)), [X]),
    "repeat": (lambda x: ops.repeat(x, [0, 3, 1, 1], 1), [X]),
    "diagonal": (lambda x: ops.diagonal(x, 1, 1, 2), [X]),
    "slice_update": (lambda x, y: ops.slice_update(x, (0, 1, 1), y), [X, Y[:, :2, :3].copy()]),
    "layer_normalization": (lambda x, y: ops.layer_normalization(x, y, y), [X, Y[0, 0]]),
    "attention": (lambda q, k, v: ops.dot_product_attention(q, k, v, mask=np.tri(2, 3, dtype=bool)),
                  [RNG.normal(size=(2, 2, 4, 3)), RNG.normal(size=(2, 3, 2, 3)), RNG.normal(size=(2, 3, 2, 3))]),
    "separable_conv": (ops.separable_conv, [X, RNG.normal(size=(2, 5, 2)), RNG.normal(size=(1, 10, 3))]),
}


@pytest.mark.parametrize("case", GRADIENTS)
def test_gradients(case, backend_name):
    function, arrays = GRADIENTS[case]
    check_gradients(function, [a.copy() for a in arrays], backend=backend_name)


@given(st.integers(0, 3), st.integers(0, 200), st.sampled_from(["float32", "float64", "int32", "uint8", "bool"]),
       st.integers(0, 2**32 - 1))
def test_order_of_rows_of_any_length(rows, length, dtype, seed):
    """Many ties, NaN and infinities; NumPy's stable sort tells the places."""
    x = np.random.default_rng(seed).integers(0, 12, (rows, length)).astype(dtype)
    if dtype.startswith("float"):
        x = np.array([0.0, -0.0, np.nan, np.inf, -np.inf, *range(7)], dtype)[x.astype(int)]
    for backend in ("cpu", "reference"):
        found = backends_argsort(backend, x)
        np.testing.assert_array_equal(found, np.argsort(x, -1, kind="stable"))


def backends_argsort(name, x):
    from pyconv import backends
    return backends.get(name).execute("argsort", [x], {})


def test_at_zero_a_normalized_vector_has_no_infinite_gradient():
    from pyconv import backends
    from pyconv.graph import gradients, simplify, trace

    def function(x):
        return gradients(ops.sum(ops.normalize(x)), [x])[0]
    graph, _ = trace(function, [((2, 3), "float64")])
    assert np.isfinite(backends.get("cpu").compile(simplify(graph))([np.zeros((2, 3))])[0]).all()


@pytest.mark.parametrize("call, error, message", [
    (lambda: ops.top_k(X, 6), ValueError, "k=6 must be from 1 to the size of the last axis of shape"),
    (lambda: ops.moveaxis(X, (0, 1), 0), ValueError, "equally many different axes"),
    (lambda: ops.swapaxes(X, 0, 3), ValueError, "axis2=3 does not exist"),
    (lambda: ops.repeat(X, [1, 2], 1), ValueError, "an int or 4 ints"),
    (lambda: ops.tile(X, -1), ValueError, "at least 0"),
    (lambda: ops.glu(X, -1), ValueError, "even size"),
    (lambda: ops.tensordot(X, Y, 1), ValueError, r"sizes \(5,\) and \(3,\)"),
    (lambda: ops.norm(X, "nuc", (0, 1)), ValueError, "not offered for matrices"),
    (lambda: ops.quantile(X, 1.5), ValueError, "from 0 to 1"),
    (lambda: ops.meshgrid(X[0, 0], indexing="yx"), ValueError, "'xy' or 'ij'"),
    (lambda: ops.unstack(X, 2), ValueError, "has 3 elements, not num=2"),
    (lambda: ops.slice_update(X, (0, 0, 4), Y), ValueError, "do not lie inside"),
    (lambda: ops.take_along_axis(X, X), TypeError, "needs integers"),
    (lambda: ops.take_along_axis(X, np.full((3, 4, 1), 5), -1), ValueError, "An index is"),
    (lambda: ops.dot_product_attention(X, X, X), ValueError, "do not fit"),
    (lambda: ops.average(X, 1, [1.0, 2.0]), ValueError, "fit neither"),
    (lambda: ops.triu(X[0, 0]), ValueError, "at least 2 axes"),
    (lambda: ops.diag(X), ValueError, "a vector or a matrix"),
    (lambda: ops.rot90(X, 1, (1, -2)), ValueError, "two different axes"),
    (lambda: ops.select([True], []), ValueError, "as many choices"),
])
def test_errors(call, error, message):
    with pytest.raises(error, match=message):
        call()
