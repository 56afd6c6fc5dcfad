"""The examples, run as a user runs them: in a process of their own."""

import os
import pathlib
import subprocess
import sys

import numpy as np
import pytest

from pyconv.datasets import _idx, mnist

ROOT = pathlib.Path(__file__).parent.parent.parent
LENET = ROOT / "examples" / "lenet_mnist.py"
OFFLINE = "http://127.0.0.1:9"          # a proxy that is not there: every download fails at once


def run(*args, timeout=240, **environment):
    variables = {**os.environ, "PYTHONPATH": str(ROOT), "PYTHONWARNINGS": "error", **environment}
    variables.setdefault("PYTHONIOENCODING", "utf-8")
    return subprocess.run([sys.executable, str(LENET), *args], capture_output=True, text=True, encoding="utf-8",
                          env={k: v for k, v in variables.items() if v is not None}, timeout=timeout, check=False)


def offline(tmp_path):
    """Without data and network: an empty cache, and no mirror that answers."""
    return {"PYCONV_DATA_DIR": None, "HOME": str(tmp_path), "XDG_CACHE_HOME": str(tmp_path), "no_proxy": None,
            "NO_PROXY": None, **{name: OFFLINE for name in ("http_proxy", "https_proxy", "HTTPS_PROXY")}}


def test_falls_back_to_small_digits(tmp_path):
    pytest.importorskip("sklearn")
    done = run("--assert-accuracy", "0.93", "--epochs", "15", **offline(tmp_path))
    assert done.returncode == 0, done.stderr
    first, second, *_ = done.stdout.splitlines()
    assert first.startswith("MNIST is neither here nor can it be downloaded") and "1,797" in first
    assert second == "digits: 1,500 images to train with, 297 to test with"
    assert done.stderr == ""                            # nothing comes before the first line
    assert "Total params: 61,706" in done.stdout
    assert "label" in done.stdout and "Test accuracy: 9" in done.stdout


def test_too_low_an_accuracy_fails(tmp_path):
    pytest.importorskip("sklearn")
    done = run("--epochs", "1", "--assert-accuracy", "1.01", "--seed", "3", **offline(tmp_path))
    assert done.returncode == 1
    assert "The accuracy is below" in done.stderr


def test_without_scikit_learn_it_says_what_would_do(tmp_path):
    (tmp_path / "sklearn.py").write_text("raise ImportError('hidden')")
    environment = offline(tmp_path) | {"PYTHONPATH": f"{tmp_path}{os.pathsep}{ROOT}"}
    done = run(**environment)
    assert done.returncode == 1
    assert "pip install scikit-learn" in done.stderr and "Traceback" not in done.stderr


def test_mistakes_in_the_data_folder_are_not_passed_over(tmp_path):
    folder = tmp_path / "mnist"
    folder.mkdir()
    (folder / "train-images-idx3-ubyte").write_bytes(b"no idx file")
    done = run(PYCONV_DATA_DIR=str(tmp_path))
    assert done.returncode == 1
    assert "train-images-idx3-ubyte" in done.stderr


@pytest.mark.parametrize("args", [("--form", "lecture"), ("--backend", "reference", "--batch-size", "64")])
def test_options(args, tmp_path):
    pytest.importorskip("sklearn")
    done = run("--epochs", "1", *args, **offline(tmp_path))
    assert done.returncode == 0, done.stderr
    assert ("1,256,080" if "lecture" in args else "61,706") in done.stdout


def test_the_backend_is_that_of_the_environment(tmp_path):
    hidden = {"CUDA_VISIBLE_DEVICES": "", **offline(tmp_path)}
    for more, environment, text in (([], {"PYCONV_BACKEND": "cuda"}, "The backend 'cuda' needs"),
                                    (["--backend", "cuda:1"], {}, "The backend 'cuda' needs"),
                                    (["--backend", "gpu"], {}, "backend 'gpu' is not known")):
        done = run("--epochs", "1", *more, **hidden, **environment)
        assert done.returncode == 1 and text in done.stderr and "Traceback" not in done.stderr, done.stderr


def test_unknown_options_are_told():
    done = run("--form", "1999")
    assert done.returncode == 2
    assert "1998" in done.stderr


@pytest.mark.slow
def test_mnist_where_the_data_is():
    """On the real digits, where PYCONV_DATA_DIR has them."""
    if not os.environ.get("PYCONV_DATA_DIR") or not _idx._find_local(mnist.DATASET, mnist.DATASET.train_images):
        pytest.skip("PYCONV_DATA_DIR does not hold MNIST")
    done = run("--epochs", "1", "--assert-accuracy", "0.96")
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("MNIST: 60,000 images to train with, 10,000 to test with\n")


def test_picture():
    """Two rows of pixels in one line of text; full ink is the darkest sign."""
    import importlib.util
    spec = importlib.util.spec_from_file_location("lenet_mnist", LENET)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    image = np.zeros((28, 28), "uint8")
    image[:2] = 255
    lines = module.picture(image)
    assert len(lines) == 14 and lines[0] == "@" * 28 and lines[1] == " " * 28
