"""Which backends there are, and how one is chosen."""

import numpy as np
import pytest

from pyconv import backends, config, ops


def test_the_cpu_backend_is_built():
    assert backends.get("cpu").name == "cpu"


def test_each_backend_is_loaded_once(backend_name):
    assert backends.get(backend_name) is backends.get(backend_name)
    assert backends.get(backend_name).name == backend_name


def test_unknown_names():
    with pytest.raises(ValueError, match="'gpu' is not known; expected one of 'cpu', 'reference', 'cuda'"):
        backends.get("gpu")
    with pytest.raises(ValueError, match="Did you mean 'reference'"):
        config.set_backend("referense")


def test_cuda_says_that_it_is_not_there():
    with pytest.raises(ImportError, match="'cuda' is not part of this version"):
        backends.get("cuda")


def test_the_environment_chooses(monkeypatch, backend_name):
    monkeypatch.setenv("PYCONV_BACKEND", backend_name)
    monkeypatch.setattr(backends, "_current", None)
    assert config.backend() == backend_name


def test_the_default_is_the_cpu(monkeypatch):
    monkeypatch.delenv("PYCONV_BACKEND", raising=False)
    monkeypatch.setattr(backends, "_current", None)
    assert config.backend() == "cpu"


def test_arrays_are_computed_on_the_current_backend(backend):
    assert config.backend() == backend.name
    assert isinstance(ops.exp(np.ones(3)), np.ndarray)
