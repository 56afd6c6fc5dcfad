"""Settings of all tests: hypothesis's profiles, and a clean configuration for each test.

The default profile is quick and draws the same examples each time. HYPOTHESIS_PROFILE=thorough draws many and
new ones. Backends, and other libraries that some tests compare with, are reported at the top of a run, so
that a missing one is seen.
"""

import importlib.util
import os
import signal

import numpy as np
import pytest
from hypothesis import HealthCheck, settings

import pyconv
from pyconv import backends, config

# For the tests that compare with Keras: before anything imports it, and JAX below it. On some transposed
# convolutions of a single element the pass of XLA's compiler that is named here ends the process (jax 0.10).
os.environ.setdefault("KERAS_BACKEND", "jax")
os.environ.setdefault("XLA_FLAGS", "--xla_disable_hlo_passes=algsimp")

# A shell that starts the tests in the background has them ignore Ctrl-C, and the processes that they start as well.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)

SLOW_DRAWS = [HealthCheck.too_slow, HealthCheck.data_too_large]
settings.register_profile("quick", max_examples=50, deadline=None, derandomize=True,
                          suppress_health_check=SLOW_DRAWS)
settings.register_profile("thorough", max_examples=500, deadline=None, print_blob=True,
                          suppress_health_check=SLOW_DRAWS)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "quick"))


def available_backends():
    """The names of the backends that load here, and for the others why not."""
    names, missing = [], {}
    for name in backends.NAMES:
        try:
            backends.get(name)
            names.append(name)
        except Exception as error:    # tests/backends/test_names.py fails if one is missing
            missing[name] = f"{type(error).__name__}: {error}"
    return names, missing


BACKENDS, MISSING = available_backends()


def pytest_configure(config):
    config.addinivalue_line("markers", "peers: compares with another library, where that is installed")
    config.addinivalue_line("markers", "gpu: runs on an NVIDIA GPU, through CuPy; skipped, with the reason, without")
    config.addinivalue_line("markers", "devices: runs on the emulator of CUDA, and as a test marked gpu on a GPU")


def pytest_collection_modifyitems(items):
    """Names of tests are the same in each process: pytest-xdist compares them."""
    for item in items:
        if " at 0x" in item.nodeid:
            raise pytest.UsageError(f"{item.nodeid} has an address in its name: give its parameters explicit ids.")


def pytest_report_header(config):
    lines = [f"pyconv {pyconv.__version__}, backends: {', '.join(BACKENDS)}"]
    lines += [f"backend {name} is not tested: {why}" for name, why in MISSING.items()]
    absent = [name for name in ("torch", "keras", "jax") if importlib.util.find_spec(name) is None]
    return lines + ([f"not installed, so not compared with: {', '.join(absent)}"] if absent else [])


def pytest_generate_tests(metafunc):
    """Tests with an argument `backend_name` run once for each backend that loads here."""
    if "backend_name" in metafunc.fixturenames:
        metafunc.parametrize("backend_name", [pytest.param(n, marks=pytest.mark.gpu) if n == "cuda" else n
                                              for n in BACKENDS])


@pytest.fixture
def backend(backend_name):
    """Each backend in turn, made current."""
    backends.set_current(backend_name)
    return backends.current()


@pytest.fixture(autouse=True)
def clean_configuration():
    """Each test starts from the default configuration, and leaves none of its own behind."""
    current, state = backends._current, dict(config._state)
    np.random.seed(0)    # for other libraries; pyconv takes its seeds from pyconv.random
    yield
    backends._current = current
    config._state.update(state)
