"""Importing pyconv is cheap, and works wherever Python and NumPy do. Each test has a fresh process."""

import json
import os
import subprocess
import sys

import pytest

# What the core must not load: other people's packages, and those modules of Python that cost much.
HEAVY = ("cupy", "torch", "jax", "keras", "tensorflow", "scipy", "sklearn", "pandas", "matplotlib", "platformdirs",
         "hypothesis", "pytest", "Cython", "urllib.request", "http.client", "ssl", "hashlib", "multiprocessing",
         "asyncio", "concurrent.futures")
NETWORK = ("socket", "_socket", "ssl", "http.client")


def run(code, **environment):
    """What `code` prints in a new process; environment: variables, None for those that must not be set."""
    variables = {name: value for name, value in {**os.environ, **environment}.items() if value is not None}
    done = subprocess.run([sys.executable, "-W", "error", "-c", code], capture_output=True, text=True, env=variables,
                          timeout=120, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""
    return done.stdout


def loaded(statement, among):
    # NumPy's own imports do not count.
    code = ("import sys, json, numpy\nbefore = set(sys.modules)\n"
            f"{statement}\nprint(json.dumps(sorted(set(sys.modules) - before)))")
    modules = json.loads(run(code).splitlines()[-1])
    return [m for m in modules if m in among or m.split(".")[0] in among]


def test_import_loads_nothing_heavy():
    assert loaded("import pyconv", HEAVY) == []


def test_import_loads_only_itself():
    """Everything else comes with the first use."""
    code = ("import sys, numpy\nbefore = set(sys.modules)\nimport pyconv\n"
            "print([m for m in sys.modules if m.startswith('pyconv.')])")
    assert run(code) == "[]\n"


@pytest.mark.parametrize("name", ["layers", "models", "datasets", "applications", "optimizers", "utils"])
def test_use_loads_nothing_heavy(name):
    others = [m for m in HEAVY if m not in ("multiprocessing", "concurrent.futures", "hashlib")]
    assert loaded(f"import pyconv; pyconv.{name}", others) == []


def test_no_network_is_touched_by_training():
    code = """if True:
        import numpy as np, pyconv
        model = pyconv.Sequential([pyconv.Input((4,)), pyconv.layers.Dense(2)])
        model.compile("sgd", "mse")
        model.fit(np.ones((8, 4), "float32"), np.ones((8, 2), "float32"), verbose=0)
    """
    assert loaded(code, NETWORK) == []


@pytest.mark.parametrize("variables", [
    {"HOME": None, "XDG_CACHE_HOME": None},
    {"HOME": "/nonexistent", "TMPDIR": "/nonexistent"},
    {"PATH": ""},
    {"CUDA_VISIBLE_DEVICES": "7", "CUDA_PATH": "/nonexistent"},
    {"PYTHONOPTIMIZE": "2"},
    {"LC_ALL": "C", "PYTHONUTF8": "0"},
], ids=lambda variables: "-".join(variables))
def test_import_and_predict_anywhere(variables):
    code = """if True:
        import numpy as np, pyconv
        model = pyconv.applications.lenet5()
        print(model.predict(np.zeros((2, 28, 28, 1), "uint8"), verbose=0).shape)
    """
    assert run(code, **variables) == "(2, 10)\n"


def test_every_public_name_loads():
    code = "import pyconv\nfor name in pyconv.__all__: getattr(pyconv, name)\nprint(pyconv.__version__)"
    assert run(code).strip()


def test_unknown_names_are_told():
    import pyconv
    with pytest.raises(AttributeError, match="Did you mean 'Sequential'"):
        pyconv.Sequental  # noqa: B018


def test_cuda_says_what_it_misses():
    import pyconv
    why = pyconv.backends.available()["cuda"]
    if why is None:
        pyconv.set_backend("cuda")
    else:
        with pytest.raises((ImportError, RuntimeError), match="backend 'cuda' needs|CuPy is installed but"):
            pyconv.set_backend("cuda")
