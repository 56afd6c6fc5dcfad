"""Arrays that lie on a GPU are copied to the host: CuPy's by themselves, those of other libraries by CuPy."""

import numpy as np
import pytest

import pyconv
from pyconv import layers, ops
from pyconv.backends.cuda import driver
from tests.cuda.emulator import standin

X = np.random.default_rng(0).normal(size=(6, 5)).astype("float32")


def on_device(array):
    made = standin.empty(array.shape, array.dtype)
    made.set(array)
    return made


class Other:
    """An array of some library that has the CUDA array interface alone."""

    def __init__(self, array):
        self.array = array

    @property
    def __cuda_array_interface__(self):
        return self.array.__cuda_array_interface__


@pytest.mark.parametrize("make", [on_device, lambda a: Other(on_device(a))])
def test_they_are_copied_to_the_host(make):
    start = len(standin.log)
    np.testing.assert_array_equal(ops.relu(make(X)), np.maximum(X, 0))
    assert standin.log[start:].count("D2H") == 1
    np.testing.assert_array_equal(ops.concatenate([make(X), X]), np.concatenate([X, X]))
    model = pyconv.Sequential([pyconv.Input((5,)), layers.Dense(3)])
    np.testing.assert_array_equal(model(make(X)), model(X))
    np.testing.assert_array_equal(model.predict(make(X), verbose=0), model.predict(X, verbose=0))


def test_without_cupy(monkeypatch):
    other = Other(on_device(X))
    driver.provide(None)
    monkeypatch.setattr(driver.importlib.util, "find_spec", lambda name: None)
    with pytest.raises(ImportError, match=r"Other lies on a GPU.*takes CuPy.*pip install.*copy it yourself"):
        ops.relu(other)
