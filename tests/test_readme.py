"""The README's code runs, block after block, on a few made-up digits."""

import pathlib
import re

import numpy as np
import pytest

import pyconv

README = pathlib.Path(__file__).parent.parent / "README.md"
BLOCKS = re.findall(r"^```python\n(.*?)^```$", README.read_text("utf-8"), re.MULTILINE | re.DOTALL)


def tiny_data():
    rng = np.random.default_rng(0)
    x, y = rng.integers(0, 256, (160, 28, 28), "uint8"), rng.integers(0, 10, 160).astype("uint8")
    return (x, y), (x[:40], y[:40])


@pytest.fixture
def tiny_mnist(monkeypatch):
    monkeypatch.setattr(pyconv.datasets.mnist, "load_data", tiny_data)


def test_every_block_runs(tiny_mnist, capsys):
    assert len(BLOCKS) >= 6
    scope = {"__name__": "readme"}
    for block in BLOCKS:
        exec(compile(block, str(README), "exec"), scope)
    assert scope["logits"].shape == (40, 10)
    assert len(scope["history"].history["val_accuracy"]) == 5
    printed = capsys.readouterr().out
    assert "Total params: 61,706" in printed
    assert "Did you mean 'same'?" in printed        # of the errors that teach
    assert re.search(r"'image' expects.*30", printed)


def test_folders_and_pages_exist():
    root, text = README.parent, README.read_text("utf-8")
    for link in re.findall(r"\]\((?!http)([^)#]+)", text):
        assert (root / link).exists(), link


def test_extras_exist():
    import tomllib
    extras = tomllib.loads((README.parent / "pyproject.toml").read_text("utf-8"))["project"]["optional-dependencies"]
    table = README.read_text("utf-8").partition("| extra | what for |")[2].partition("\n\n")[0]
    named = {name for line in table.splitlines()[2:] for name in re.findall(r"`(\w+)`", line.split("|")[1])}
    assert named == set(extras)
