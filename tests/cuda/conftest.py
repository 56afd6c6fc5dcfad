"""The CUDA backend on the emulator: its kernels' own sources, compiled by g++ and run on the CPU.

A test that is marked `devices` runs twice: there, and (then it is marked `gpu`) on an NVIDIA GPU with CuPy. Where
there is none it is skipped, and the reason is what pyconv says itself.
"""

import shutil

import pytest

from pyconv import backends
from pyconv.backends.cuda import driver
from pyconv.ops import device as functions_there
from tests.cuda import devices
from tests.cuda.emulator import build, standin

NO_GPU = driver.reason_against()
CUDA: dict = {}      # the emulated backends, once they are loaded
__all__ = ["build"]


def pytest_generate_tests(metafunc):
    if metafunc.definition.get_closest_marker("devices"):
        metafunc.parametrize("device", ["emulator", pytest.param("gpu", marks=pytest.mark.gpu)], indirect=True)


def pytest_runtest_setup(item):
    if NO_GPU and item.get_closest_marker("gpu"):
        pytest.skip(NO_GPU)             # here, so that a report has one line for all of them


@pytest.fixture(autouse=True)
def device(request):
    """The name of the device, "emulator" or "gpu"; a backend "cuda" for it lasts for one test session."""
    devices.current = getattr(request, "param", "emulator")
    functions_there._functions.clear()          # whose programs belong to a device
    if devices.current == "gpu":
        driver.provide(None)
        yield "gpu"
        return
    if "emulated" in request.node.path.name and shutil.which("g++") is None:
        pytest.skip("the emulator needs g++, which is not installed")
    before = {k: v for k, v in backends._loaded.items() if k[0] == "cuda"}
    driver.provide(standin)
    backends._loaded.update(CUDA)
    yield "emulator"
    CUDA.update({k: v for k, v in backends._loaded.items() if k[0] == "cuda"})
    for key in CUDA:
        backends._loaded.pop(key, None)
    backends._loaded.update(before)
    driver.provide(None)
