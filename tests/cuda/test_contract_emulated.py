"""Every op of the registry on the emulated device, against the reference; the same helpers as for other backends."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pyconv import backends
from pyconv.backends.cuda.elementwise import EXPRESSIONS, TYPES
from pyconv.graph import REGISTRY
from pyconv.graph.dtypes import ALL, HALVES
from pyconv.ops.elementwise import CheckFinite, _Elementwise
from pyconv.testing.contract import OPS, compare
from pyconv.testing.strategies import arguments

# Each element type of an op is a kernel to be compiled; these have the rules that differ: rounding, signs, wrapping.
ELEMENT_TYPES = ("float32", "float64", "bool", "uint8", "int32", "int64")


def test_every_elementwise_op_has_an_expression():
    names = {name for name, op in REGISTRY.items() if isinstance(op, _Elementwise | CheckFinite)}
    assert names | {"where", "cast", "broadcast_to"} == set(EXPRESSIONS)
    assert set(TYPES) == set(ALL + HALVES)


@pytest.mark.parametrize("name", OPS)
def test_there_is_a_kernel(name):
    assert backends.get("cuda").supports(name)


@pytest.mark.devices
@pytest.mark.parametrize("name", OPS)
@settings(max_examples=6)
@given(data=st.data())
def test_forward(name, data):
    arrays, attrs = data.draw(arguments(name, dtypes=ELEMENT_TYPES))
    before = [a.copy() for a in arrays]
    results = backends.get("cuda").execute(name, arrays, attrs)
    results = results if isinstance(results, tuple) else (results,)
    for a, b in zip(arrays, before, strict=True):
        np.testing.assert_array_equal(a, b, err_msg=f"{name} changed its input")
    compare(name, arrays, attrs, results)
