"""Small products on the emulated device, which have an epilogue: against the reference, who gets them, races."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import pyconv
from pyconv import backends, layers, ops
from pyconv.backends.cuda import CUDABackend, driver
from pyconv.graph import trace
from tests.cuda.emulator import standin
from tests.cuda.test_depthwise_emulated import compare, floats


def product(rng, m, n, k, ta=False, tb=False, dtype="float32"):
    a, b = floats(rng, *((k, m) if ta else (m, k)), dtype=dtype), floats(rng, *((n, k) if tb else (k, n)), dtype=dtype)
    assert ops.matmul
    return "matmul", [a, b], {"transpose_a": ta, "transpose_b": tb}


@settings(max_examples=30)
@given(*[st.sampled_from([1, 2, 4, 7, 16, 20, 31, 33, 36, 70])] * 3, st.booleans(), st.booleans(),
       st.sampled_from(["float32", "float32", "float64"]))
def test_against_the_reference(m, n, k, ta, tb, dtype):
    compare([product(np.random.default_rng(m + n + k), m, n, k, ta, tb, dtype)], backends.get("cuda"))


@pytest.mark.parametrize("m, n, k, own", [(64, 64, 1024, True), (64, 64, 1025, False), (256, 129, 128, False),
                                          (256, 128, 128, True)])
def test_the_library_gets_the_large_ones(m, n, k, own):
    found = trace(ops.matmul, [((m, k), "float32"), ((k, n), "float32")])[0]
    program = CUDABackend().compile(found)
    program([np.zeros(s, "float32") for s in ((m, k), (k, n))])
    standin.log.clear()
    program([np.zeros(s, "float32") for s in ((m, k), (k, n))])
    assert ("matmul" in standin.log) != own


def test_a_dense_layer_is_one_launch():
    model = pyconv.Sequential([pyconv.Input((20,)), layers.Dense(12, activation="gelu")])
    program = backends.get("cuda").compile(trace(lambda x: model(x), [((5, 20), "float32")])[0])
    assert len(program.plan) == 2                # the status, and the product with its epilogue
    x = floats(np.random.default_rng(1), 5, 20)
    with pyconv.device("cpu"):
        expected = model(x)
    np.testing.assert_allclose(program([x])[0], expected, rtol=1e-5, atol=1e-5)


def test_no_races(monkeypatch):
    monkeypatch.setattr(standin, "CHECK", True)
    driver.provide(standin)
    device, rng = CUDABackend(), np.random.default_rng(2)
    for case in ((17, 40, 36), (20, 9, 7, True), (5, 33, 24, False, True)):
        compare([product(rng, *case)], device)
