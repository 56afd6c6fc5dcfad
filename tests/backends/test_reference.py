"""The reference backend's own checks; tests/ops compares its kernels with NumPy, PyTorch and definitions."""

import numpy as np
import pytest

import pyconv.ops  # noqa: F401  (fills the registry)
from pyconv import backends
from pyconv.backends.reference import kernels
from pyconv.graph import REGISTRY, Graph, make_node, placeholder


def test_each_op_has_a_kernel_and_each_kernel_an_op():
    assert set(kernels.KERNELS) == set(REGISTRY)


def test_it_shares_no_code():
    """The oracle imports nothing of pyconv."""
    names = {getattr(v, "__module__", None) or getattr(v, "__name__", "") for v in vars(kernels).values()}
    assert [n for n in names if str(n).startswith("pyconv") and n != kernels.__name__] == []


def test_a_kernel_that_breaks_its_rule_is_found(monkeypatch):
    monkeypatch.setitem(kernels.KERNELS, "exp", lambda x: np.exp(x).astype("float64"))
    x = placeholder((3,), "float32")
    program = backends.get("reference").compile(Graph([x], [make_node("exp", [x], {})]))
    with pytest.raises(AssertionError, match=r"exp gave float64 \(3,\); its rule says float32"):
        program([np.ones(3, "float32")])


def test_computes_in_wider_types():
    """Where NumPy has a wider float, the kernels compute in it."""
    x, k = np.ones((1, 4, 1), np.longdouble), np.full((2, 1, 1), np.longdouble(1) / 3)
    y = kernels.KERNELS["conv"](x, k, strides=(1,), padding=((0, 0),), dilation=(1,), groups=1,
                                channels_last=True)
    assert y.dtype == np.longdouble and abs(y[0, 0, 0] - np.longdouble(2) / 3) <= np.finfo(np.longdouble).eps
