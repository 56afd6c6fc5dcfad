"""Which backends there are, and how one is chosen."""

import numpy as np
import pytest

import pyconv
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
    for name, meant in {"gpu": "cuda", "GPU:1": "cuda:1", "/gpu:0": "cuda:0", "CUDA": "cuda"}.items():
        with pytest.raises(ValueError, match=f"Did you mean '{meant}'"):
            config.set_backend(name)


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


def test_which_backends_can_be_used():
    found = backends.available()
    assert list(found) == list(backends.NAMES) and found["cpu"] is found["reference"] is None
    try:
        backends.get("cuda")
        assert found["cuda"] is None
    except (ImportError, RuntimeError) as error:
        assert found["cuda"] == str(error)


def test_what_cuda_lacks_is_said(monkeypatch):
    from pyconv.backends.cuda import driver
    monkeypatch.setattr(driver, "_cupy", None)
    monkeypatch.setattr(driver.importlib.util, "find_spec", lambda name: None)
    with pytest.raises(ImportError, match=r"needs CuPy, which is not installed; .*pyconv-nn\[cuda13\]"):
        driver.Driver()
    assert "not installed" in backends.available()["cuda"]

    class NoDriver:
        __version__ = "14.2.0"

        class cuda:
            class runtime:
                @staticmethod
                def getDeviceCount():
                    raise OSError("cudaErrorInsufficientDriver")
    monkeypatch.setattr(driver, "_cupy", NoDriver)
    with pytest.raises(RuntimeError, match="needs an NVIDIA driver"):
        driver.Driver()
    monkeypatch.setattr(NoDriver.cuda.runtime, "getDeviceCount", staticmethod(lambda: 0))
    with pytest.raises(RuntimeError, match="needs an NVIDIA GPU"):
        driver.Driver()
    monkeypatch.setattr(NoDriver.cuda.runtime, "getDeviceCount", staticmethod(lambda: 2))
    assert driver.reason_against(2) == "There is no device cuda:2; the last is cuda:1."


def test_a_backend_for_a_while():
    config.set_backend("cpu")
    with pyconv.device("reference") as backend:
        assert config.backend() == backend.name == "reference"
        with pytest.raises(ValueError, match="'gpu'"), pyconv.device("gpu"):
            pass
        assert config.backend() == "reference"
    assert config.backend() == "cpu"
