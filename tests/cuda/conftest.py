"""The CUDA backend on the emulator: its kernels' own sources, compiled by g++ and run on the CPU."""

import shutil

import pytest

from pyconv import backends
from pyconv.backends.cuda import driver
from tests.cuda.emulator import build, standin

if shutil.which("g++") is None:
    collect_ignore_glob = ["test_*emulated*"]


@pytest.fixture(autouse=True)
def emulated():
    """CuPy's stand-in in the place of CuPy, and with it a backend "cuda" that lasts for one test session."""
    before = {k: v for k, v in backends._loaded.items() if k[0] == "cuda"}
    driver.provide(standin)
    backends._loaded.update(CUDA)
    yield
    CUDA.update({k: v for k, v in backends._loaded.items() if k[0] == "cuda"})
    for key in CUDA:
        backends._loaded.pop(key, None)
    backends._loaded.update(before)
    driver.provide(None)


CUDA: dict = {}      # the emulated backends, once they are loaded
__all__ = ["build"]
