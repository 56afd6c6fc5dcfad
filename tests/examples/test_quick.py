"""The examples in their short form: on the real data where it is, else on a small made-up set in the same format."""

import importlib.util
import os
import pathlib
import runpy
import sys

import numpy as np
import pytest
from small_data import fake_fsdd, fake_mnist

import pyconv

ROOT = pathlib.Path(__file__).parent.parent.parent
EXAMPLES = ROOT / "examples"
REAL = os.environ.get("PYCONV_DATA_DIR") or str(ROOT.parent / "shared" / "data")

# example -> (data set, arguments, accuracy to reach with the real data if so few steps get anywhere, a line of output)
CASES = {
    "resnet_mnist": ("mnist", [], 0.85, "Test accuracy"),
    "unet_digits": ("mnist", ["--batch-size", "8"], 0.5, "mean intersection over union"),
    "normalizations": ("mnist", [], None, "Lowest test accuracy"),
    "spoken_digits": ("fsdd", [], 0.7, "Test accuracy"),
    "voxel_shapes": (None, ["--batch-size", "16"], 0.4, "Test accuracy"),
    "text_languages": ("django", ["--epochs", "2"], 0.5, "Test accuracy"),
}


@pytest.fixture(autouse=True)
def one_thread():
    """The results have the same bits, and a busy machine is not waited for at each step."""
    pyconv.config.set_num_threads(1)


def run(name, arguments, monkeypatch):
    monkeypatch.setattr(sys, "argv", [f"{name}.py", *arguments])
    runpy.run_path(str(EXAMPLES / f"{name}.py"), run_name="__main__")


@pytest.fixture
def data(tmp_path, monkeypatch):
    """Makes a data set available; whether it is the real one."""
    def provide(name):
        if name == "django" and importlib.util.find_spec("django") is None:
            pytest.skip("Django's translations are not installed")
        if name in ("mnist", "fsdd"):
            if os.path.isdir(os.path.join(REAL, name)):
                monkeypatch.setenv("PYCONV_DATA_DIR", REAL)
                return True
            {"mnist": fake_mnist, "fsdd": fake_fsdd}[name](tmp_path, monkeypatch)
            return False
        return True
    return provide


def test_every_example_is_tested():
    assert {path.stem for path in EXAMPLES.glob("*.py")} == {*CASES, "lenet_mnist"}     # that one: test_lenet.py


@pytest.mark.parametrize("name", CASES)
def test_quick(name, data, monkeypatch, capsys):
    needs, arguments, accuracy, line = CASES[name]
    if data(needs) and accuracy is not None:
        arguments = [*arguments, "--assert-accuracy", str(accuracy)]
    run(name, ["--quick", *arguments], monkeypatch)
    assert line in capsys.readouterr().out


@pytest.mark.parametrize("name", ["spoken_digits", "resnet_mnist"])
def test_runs_on_made_up_data(name, tmp_path, monkeypatch, capsys):
    {"mnist": fake_mnist, "fsdd": fake_fsdd}[CASES[name][0]](tmp_path, monkeypatch)
    run(name, ["--quick", "--epochs", "1"], monkeypatch)
    assert "Test accuracy" in capsys.readouterr().out


def test_too_low_an_accuracy_fails(monkeypatch):
    with pytest.raises(SystemExit, match="below 101.00%"):
        run("voxel_shapes", ["--quick", "--epochs", "1", "--assert-accuracy", "1.01"], monkeypatch)


def test_missing_data_is_explained(tmp_path, monkeypatch):
    monkeypatch.setenv("PYCONV_DATA_DIR", str(tmp_path))
    with pytest.raises(SystemExit, match="free-spoken-digit-dataset"):
        run("spoken_digits", ["--quick"], monkeypatch)
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(SystemExit, match="pip install django"):
        run("text_languages", ["--quick"], monkeypatch)


def test_pictures(data, tmp_path, monkeypatch, capsys):
    """The figure of the normalizations and the segmented pictures are drawn where they are asked for."""
    pytest.importorskip("matplotlib")
    module = runpy.run_path(str(EXAMPLES / "normalizations.py"))
    curves = {(kind, size): [0.5, 0.1] for kind in module["KINDS"] for size in module["BATCH_SIZES"]}
    module["draw"](tmp_path / "curves.svg", curves, 2)
    assert b"<svg" in (tmp_path / "curves.svg").read_bytes()
    x, y = np.zeros((2, 48, 48, 1), "uint8"), np.zeros((2, 48, 48), "int32")
    runpy.run_path(str(EXAMPLES / "unet_digits.py"))["save_picture"](tmp_path / "masks.png", x, y, y)
    assert (tmp_path / "masks.png").read_bytes().startswith(b"\x89PNG")
