"""Element types: names, and which comes out when several meet."""

import itertools

import numpy as np
import pytest

from pyconv.graph import canonical, is_float, is_half, limits, promote
from pyconv.graph.dtypes import ALL, FLOATS, HALVES, INTEGERS


@pytest.mark.parametrize("given", [np.float32, "float32", "<f4", ">f4", np.dtype("float32"), "f", "single"])
def test_names(given):
    assert canonical(given) == "float32"


def test_python_types():
    assert [canonical(t) for t in (float, int, bool)] == ["float64", "int64", "bool"]


@pytest.mark.parametrize("given", ["float8", "complex64", "object", "uint64", "str", "U3", "datetime64"])
def test_unsupported(given):
    with pytest.raises(TypeError, match="is not supported; expected one of float32"):
        canonical(given)


def test_halves():
    assert [canonical(t) for t in (np.float16, "<f2", "bfloat16")] == ["float16", "float16", "bfloat16"]
    assert all(is_float(t) and is_half(t) for t in HALVES) and not any(map(is_half, ALL))
    for half in HALVES:
        assert [promote(half, t) for t in (half, "float32", "float64", "int64", "bool")] \
            == [half, "float32", "float64", half, half]
    assert promote(*HALVES) == promote("int8", *HALVES) == "float32"
    assert promote("float64", "float32", "bfloat16") == "float64"
    assert limits("bfloat16") == (2**-7, 3.3895313892515355e38, 2**-126) and limits("float16").max == 65504


@pytest.mark.parametrize("a, b", list(itertools.product(ALL, ALL)))
def test_promotion(a, b):
    result = promote(a, b)
    assert result == promote(b, a)
    assert result in ALL or result == "float64"
    if a in FLOATS and b in FLOATS:
        assert result == ("float64" if "float64" in (a, b) else "float32")
    elif a in FLOATS or b in FLOATS:
        assert result == (a if a in FLOATS else b), "an integer never widens a float"
    else:
        assert result == np.promote_types(a, b).name


@pytest.mark.parametrize("a, b, c", list(itertools.product(ALL, INTEGERS[:4], FLOATS)))
def test_promotion_of_three(a, b, c):
    assert promote(a, b, c) == promote(c, b, a) == (a if a == "float64" else c)


def test_is_float():
    assert [d for d in ALL if is_float(d)] == list(FLOATS)
