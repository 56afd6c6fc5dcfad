"""Matrix products: vectors, broadcasting, empty matrices, and the errors."""

import numpy as np
import pytest

from pyconv import ops
from pyconv.graph import placeholder
from pyconv.testing import check_gradients

RNG = np.random.default_rng(2)


@pytest.mark.parametrize("a, b", [((3,), (3,)), ((2, 3), (3,)), ((3,), (3, 4)), ((5, 2, 3), (3,)),
                                  ((3,), (5, 3, 2)),
                                  ((5, 1, 2, 3), (4, 3, 2)), ((0, 3), (3, 2)), ((2, 0), (0, 3)), ((1, 1),
                                                                                                  (1, 1))])
def test_matmul_is_numpys(a, b, backend):
    x, y = RNG.normal(size=a), RNG.normal(size=b)
    np.testing.assert_allclose(ops.matmul(x, y), x @ y, rtol=1e-12, atol=1e-14)


def test_dense_matches_types(backend):
    y = ops.dense(np.ones((2, 3), "float32"), np.ones((3, 4), "float32"), np.ones(4, "float32"))
    assert y.dtype == "float32" and (y == 4).all()
    assert ops.dense(np.ones((2, 3), "int32"), np.ones((3, 4), "float32")).dtype == "float32"


@pytest.mark.parametrize("a, b", [((3,), (3,)), ((2, 3), (3,)), ((3,), (5, 3, 2)), ((5, 1, 2, 3), (4, 3, 2))])
def test_gradients(a, b, backend_name):
    check_gradients(ops.matmul, [RNG.normal(size=a), RNG.normal(size=b)], backend=backend_name)


def float32(*shape):
    return placeholder(shape, "float32")


@pytest.mark.parametrize("call, error, message", [
    (lambda: ops.matmul(float32(2, 3), float32(2, 3)), ValueError, "inner sizes 3 and 2"),
    (lambda: ops.matmul(float32(), float32(2, 3)), ValueError, "a scalar has no matrix product"),
    (lambda: ops.matmul(float32(4, 2, 3), float32(5, 3, 2)), ValueError, r"matmul: shapes \(4,\) and \(5,\)"),
    (lambda: ops.matmul(np.ones((2, 2), int), np.ones((2, 2), int)), TypeError,
     "must be float32 or both float64"),
    (lambda: ops.base.apply("matmul", float32(3), float32(3, 2), transpose_a=False, transpose_b=False),
     ValueError,
     "at least 2 axes"),
])
def test_errors(call, error, message, backend):
    with pytest.raises(error, match=message):
        call()
