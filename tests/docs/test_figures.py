"""The documentation's pictures: each is used, and the script that made it still draws it."""

import importlib.util
import pathlib
import re
import sys

import pytest

DOCS = pathlib.Path(__file__).parent.parent.parent / "docs"
SLOW = {"lenet_filters", "convolution_3d"}                  # trains on MNIST; thousands of cubes


@pytest.fixture
def script(monkeypatch):
    pytest.importorskip("matplotlib")
    spec = importlib.util.spec_from_file_location("make_figures", DOCS / "make_figures.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_each_is_used_and_each_has_its_script(script):
    there = {path.name for path in (DOCS / "figures").iterdir()}
    used = {link for page in DOCS.glob("**/*.md") for link in re.findall(r"figures/([\w.]+)", page.read_text("utf-8"))}
    assert there == used
    assert {pathlib.Path(name).stem for name in there} == {*script.FIGURES, "normalization_curves"}


def test_they_are_small():
    for path in (DOCS / "figures").iterdir():
        assert path.stat().st_size < 150_000, path


def test_they_can_be_drawn(script, tmp_path, monkeypatch):
    names = sorted(set(script.FIGURES) - SLOW)
    monkeypatch.setattr(sys, "argv", ["make_figures.py", "--folder", str(tmp_path), *names])
    script.main()
    assert {path.stem for path in tmp_path.iterdir()} == set(names)
    assert all(path.stat().st_size > 1000 for path in tmp_path.iterdir())


def test_unknown_names_are_told(script, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(sys, "argv", ["make_figures.py", "--folder", str(tmp_path), "nothing"])
    with pytest.raises(SystemExit):
        script.main()
    assert "there is no figure 'nothing'" in capsys.readouterr().err


def test_influence_is_what_a_window_covers(script):
    """What the picture of windows shows is right for one that can be told by hand."""
    from pyconv import layers
    layer = layers.Conv1D(1, 3, dilation_rate=2, kernel_initializer="ones", dtype="float64")
    used = script.influence(layer, (1, 9, 1), (0, 2, 0))[0, :, 0]
    assert used.nonzero()[0].tolist() == [2, 4, 6]
