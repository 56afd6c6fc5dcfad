"""save_weights and load_weights: names from the structure, all or nothing, and what the messages tell."""

import numpy as np
import pytest

import pyconv
from pyconv import layers
from pyconv.saving import safetensors
from pyconv.saving.names import named_variables


def make(units=4, name=None, extra=False):
    inputs = pyconv.Input((6, 6, 1))
    x = layers.Conv2D(3, 3)(inputs)
    x = layers.Conv2D(2, 3, name=name)(x)
    x = layers.Dropout(0.5)(layers.Flatten()(x))
    if extra:
        x = layers.Dense(5)(x)
    return pyconv.Model(inputs, layers.Dense(units)(x))


class Own(pyconv.Model):
    def __init__(self, **kwargs):
        super().__init__(**kwargs)
        self.encoder = pyconv.Sequential([layers.Dense(3), layers.Dense(2)])
        self.heads = [layers.Dense(1), layers.Dense(1)]

    def call(self, inputs):
        x = self.encoder(inputs)
        return self.heads[0](x) + self.heads[1](x)


def test_names_do_not_depend_on_what_was_made_before():
    expected = ["conv2d/kernel", "conv2d/bias", "conv2d_1/kernel", "conv2d_1/bias",
                "dense/kernel", "dense/bias"]
    for _ in range(2):
        assert list(named_variables(make(), seeds=False)) == expected
    assert list(named_variables(make(name="second")))[2] == "second/kernel"


def test_names_in_nested_and_subclassed_models():
    model = Own()
    model(np.zeros((1, 4)))
    assert list(named_variables(model)) == [f"{place}/{weight}" for place in (
        "encoder/dense", "encoder/dense_1", "heads/0", "heads/1") for weight in ("kernel", "bias")]
    inputs = pyconv.Input((4,))
    shared = layers.Dense(4)
    inner = pyconv.Sequential([pyconv.Input((4,)), shared, layers.Dense(4)], name="inner")
    nested = pyconv.Model(inputs, inner(shared(inputs)))
    assert list(named_variables(nested)) == ["dense/kernel", "dense/bias", "inner/dense_1/kernel",
                                             "inner/dense_1/bias"]


def test_a_name_that_looks_automatic_for_another_class():
    model = pyconv.Sequential([pyconv.Input((4, 1)), layers.Conv1D(2, 1, name="dense"), layers.Flatten(),
                               layers.Dense(2), layers.Dense(2)])
    names = list(named_variables(model))
    assert names[::2] == ["dense/kernel", "dense_1/kernel", "dense_2/kernel"] and len(set(names)) == 6


@pytest.mark.parametrize("make_model", [make, Own])
def test_round_trip(make_model, tmp_path):
    path = tmp_path / "m.weights.safetensors"
    x = np.random.default_rng(0).normal(size=(3, 6, 6, 1) if make_model is make else (3, 4)).astype("float32")
    first, second = make_model(), make_model()
    expected, before = first(x), second(x)
    first.save_weights(path)
    assert not np.array_equal(before, expected)
    second.load_weights(path)
    np.testing.assert_array_equal(second(x), expected)


def test_the_file_is_plain_safetensors(tmp_path):
    model, path = make(), str(tmp_path / "m.safetensors")
    model.save_weights(path)
    arrays = safetensors.load_file(path)
    assert sorted(arrays) == sorted(named_variables(model, seeds=False))
    np.testing.assert_array_equal(arrays["dense/kernel"], model.layers[-1].kernel.numpy())


def test_from_a_whole_models_file(tmp_path):
    first, second = make(), make()
    first.save(tmp_path / "m.pyconv")
    second.load_weights(tmp_path / "m.pyconv")
    for a, b in zip(first.get_weights(), second.get_weights(), strict=True):
        np.testing.assert_array_equal(a, b)


def test_into_another_float_type(tmp_path):
    first = pyconv.Sequential([pyconv.Input((3,)), layers.Dense(2)])
    second = pyconv.Sequential([pyconv.Input((3,)), layers.Dense(2, dtype="float64")])
    first.save_weights(tmp_path / "w.safetensors")
    second.load_weights(tmp_path / "w.safetensors")
    np.testing.assert_array_equal(second.get_weights()[0], first.get_weights()[0])


def test_what_does_not_fit_is_listed_and_nothing_changes(tmp_path):
    path = tmp_path / "w.safetensors"
    make().save_weights(path)
    for model, expected in (
            (make(units=5), r"Different shapes:\s+dense/kernel: \(8, 4\) in the file, \(8, 5\) in the model"),
            (make(name="other"), r"In the model 'functional.*not in the file:\s+other/kernel"),
            (make(extra=True), r"dense_1/kernel \(5, 4\)")):
        before = model.get_weights()
        with pytest.raises(ValueError, match=expected):
            model.load_weights(path)
        for a, b in zip(before, model.get_weights(), strict=True):
            np.testing.assert_array_equal(a, b)


def test_skip_mismatch(tmp_path):
    path = tmp_path / "w.safetensors"
    source, model = make(), make(units=5)
    source.save_weights(path)
    before = model.get_weights()
    with pytest.warns(UserWarning, match="4 of its 6 variables"):
        model.load_weights(path, skip_mismatch=True)
    for i, (own, given) in enumerate(zip(model.get_weights(), source.get_weights(), strict=True)):
        np.testing.assert_array_equal(own, given if i < 4 else before[i])


def test_errors(tmp_path):
    model = make()
    for name, expected in (("w.h5", "no HDF5"), ("w.keras", "Keras's format"), ("w", "must end in")):
        with pytest.raises(ValueError, match=expected):
            model.save_weights(tmp_path / name)
    with pytest.raises(ValueError, match="ends neither in"):
        (tmp_path / "w.npz").write_bytes(b"")
        model.load_weights(tmp_path / "w.npz")
    with pytest.raises(FileNotFoundError, match="there is no file"):
        model.load_weights(tmp_path / "none.safetensors")
    with pytest.raises(FileNotFoundError, match="there is no folder"):
        model.save_weights(tmp_path / "none" / "w.safetensors")
    for method in ("save_weights", "load_weights"):
        with pytest.raises(ValueError, match="is not built yet"):
            getattr(Own(), method)(tmp_path / "w.safetensors")


def test_overwrite(tmp_path):
    path = tmp_path / "w.safetensors"
    make().save_weights(path)
    with pytest.raises(FileExistsError, match="overwrite=False"):
        make().save_weights(path, overwrite=False)
    make().save_weights(path)


def test_a_failed_write_leaves_the_old_file(tmp_path, monkeypatch):
    path, model = tmp_path / "w.safetensors", make()
    model.save_weights(path)
    before = path.read_bytes()

    def fail(*args):
        raise OSError("no space left on device")
    monkeypatch.setattr("os.fsync", fail)
    with pytest.raises(OSError, match="no space"):
        make().save_weights(path)
    assert path.read_bytes() == before and [p.name for p in tmp_path.iterdir()] == [path.name]
