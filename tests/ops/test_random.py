"""Random ops: reproducible element by element, and distributed as they should be."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pyconv import backends, ops
from pyconv.backends.reference.kernels import philox4x32
from pyconv.graph import placeholder

STATE = np.array([2**40 + 17, 3], "int64")


@pytest.mark.parametrize("counter, key, words", [
    # The vectors that are published with the generator (Random123's kat_vectors, philox4x32 with 10 rounds).
    ([0] * 4, [0] * 2, [0x6627E8D5, 0xE169C58D, 0xBC57AC4C, 0x9B00DBD8]),
    ([0xFFFFFFFF] * 4, [0xFFFFFFFF] * 2, [0x408F276D, 0x41C83B0E, 0xA20BC7C6, 0x6D5451FD]),
    ([0x243F6A88, 0x85A308D3, 0x13198A2E, 0x03707344], [0xA4093822, 0x299F31D0],
     [0xD16CFE09, 0x94FDCCEB, 0x5001E420, 0x24126EA1])])
def test_published_vectors(counter, key, words):
    assert [int(w) for w in philox4x32(counter, key)] == words


def test_published_words_come_out_of_the_op(backend):
    found = ops.random_uniform(np.array([0, 0]), (4,), "float64")
    np.testing.assert_array_equal(found * 2**24, [w >> 8 for w in (0x6627E8D5, 0xE169C58D, 0xBC57AC4C,
                                                                   0x9B00DBD8)])


def test_normal_is_box_muller(backend):
    words = [0x6627E8D5, 0xE169C58D, 0xBC57AC4C, 0x9B00DBD8]
    expected = []
    for a, b in (words[:2], words[2:]):
        radius, angle = math.sqrt(-2 * math.log((a + 0.5) / 2**32)), 2 * math.pi * b / 2**32
        expected += [radius * math.cos(angle), radius * math.sin(angle)]
    np.testing.assert_allclose(ops.random_normal(np.array([0, 0]), (4,), "float64"), expected, rtol=1e-13)


@given(key=st.integers(-2**63, 2**63 - 1), counter=st.integers(-2**63, 2**63 - 1), n=st.integers(0, 70),
       more=st.integers(0, 30))
def test_an_element_depends_on_its_place_alone(backend_name, key, counter, n, more):
    backend, state = backends.get(backend_name), np.array([key, counter])
    for name in ("random_uniform", "random_normal"):
        short = backend.execute(name, [state], {"shape": (n,), "dtype": "float32"})
        long = backend.execute(name, [state], {"shape": (2, n + more), "dtype": "float32"})
        np.testing.assert_array_equal(long.ravel()[:n], short)
        double = backend.execute(name, [state], {"shape": (n,), "dtype": "float64"})
        np.testing.assert_array_equal(double.astype("float32"), short)


def test_all_words_of_the_state_matter(backend):
    draws = [ops.random_uniform(np.array(s), (8,)).tobytes()
             for s in ([0, 0], [1, 0], [0, 1], [2**32, 0], [0, 2**32], [-1, 0], [0, -1])]
    assert len(set(draws)) == len(draws)


def test_moments(backend):
    n = 20000
    u, z = ops.random_uniform(STATE, (n,), "float64"), ops.random_normal(STATE, (n,), "float64")
    assert 0 <= u.min() and u.max() < 1
    # Four standard errors of each estimate.
    assert abs(u.mean() - 0.5) < 4 * math.sqrt(1 / 12 / n)
    assert abs(u.var() - 1 / 12) < 4 * math.sqrt(1 / 180 / n)
    assert abs(z.mean()) < 4 / math.sqrt(n) and abs(z.var() - 1) < 4 * math.sqrt(2 / n)
    assert abs((z**4).mean() - 3) < 4 * math.sqrt(96 / n)
    assert abs(np.corrcoef(z[:-1], z[1:])[0, 1]) < 4 / math.sqrt(n)


@pytest.mark.parametrize("call, error, message", [
    (lambda: ops.random_uniform(placeholder((3,), "int64"), (2,)), ValueError,
     r"int64 tensor \(key, counter\)"),
    (lambda: ops.random_normal(placeholder((2,), "int32"), (2,)), ValueError,
     "random_normal: the state must be"),
    (lambda: ops.random_uniform(STATE, (2,), "int32"), TypeError, "must be float32 or float64"),
])
def test_errors(call, error, message, backend):
    with pytest.raises(error, match=message):
        call()
