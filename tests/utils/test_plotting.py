"""The text of a model's graph, and what becomes of it."""

import shutil

import pytest

import pyconv
from pyconv import layers, ops
from pyconv.utils import model_to_dot, plot_model


def model():
    inner = pyconv.Sequential([pyconv.Input((4,)), layers.Dense(3, name="deep")], name="inner")
    inputs = pyconv.Input((4,), name="begin")
    x = layers.Dense(3, activation="relu", name="wide")(inputs)
    return pyconv.Model(inputs, layers.Add(name="sum")([ops.exp(x), inner(inputs)]), name="net")


def test_boxes_and_arrows():
    dot = model_to_dot(model())
    assert dot.startswith('digraph "net" {') and dot.count("->") == 5 and dot.count("[label=") == 5
    assert "wide (Dense)" in dot and "exp()" in dot and "inner (Sequential)" in dot


def test_options():
    dot = model_to_dot(model(), show_shapes=True, show_dtype=True, show_layer_names=False, rankdir="LR",
                       show_layer_activations=True, show_trainable=True)
    assert "in: (None, 4) | out: (None, 3)" in dot and "float32" in dot and "rankdir=LR" in dot
    assert "Dense | relu | trainable" in dot and "wide" not in dot


def test_nested_models():
    dot = model_to_dot(model(), expand_nested=True)
    assert "subgraph" in dot and "deep (Dense)" in dot and dot.count("->") == 5
    assert dot.count("{") == dot.count("}")


def test_arrows_and_parts():
    assert "splines=ortho" in model_to_dot(model()) and "splines=curved" in model_to_dot(model(), splines="curved")
    part = model_to_dot(model(), subgraph=True)
    assert part.startswith('subgraph "cluster_net" {') and "digraph" not in part and part.count("->") == 5


def test_files(tmp_path):
    path = plot_model(model(), tmp_path / "m.dot")
    assert (tmp_path / "m.dot").read_text() == model_to_dot(model(), show_layer_names=False)
    assert path == str(tmp_path / "m.dot")
    if shutil.which("dot"):
        plot_model(model(), tmp_path / "m.png")
        assert (tmp_path / "m.png").read_bytes().startswith(b"\x89PNG")
        with pytest.raises(RuntimeError, match="could not draw"):
            plot_model(model(), tmp_path / "m.nothing")


def test_errors(tmp_path, monkeypatch):
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(RuntimeError, match="install graphviz"):
        plot_model(model(), tmp_path / "m.png")
    with pytest.raises(ValueError, match="needs an ending"):
        plot_model(model(), tmp_path / "m")
    with pytest.raises(ValueError, match="not built yet"):
        model_to_dot(pyconv.Sequential([layers.Dense(1)]))
    with pytest.raises(TypeError, match="takes a model"):
        model_to_dot(layers.Dense(1))
    with pytest.raises(ValueError, match="splines='round' must be one of 'ortho'"):
        model_to_dot(model(), splines="round")
    with pytest.raises(ValueError, match="rankdir='XY'"):
        model_to_dot(model(), rankdir="XY")
