"""Whole models in files: the same model comes back, training goes on with the same bits, errors teach."""

import json
import os
import subprocess
import sys
import zipfile

import numpy as np
import pytest

import pyconv
from pyconv import layers, ops
from pyconv.saving import load_model, register_serializable, safetensors

rng = np.random.default_rng(0)
X = rng.normal(size=(40, 6, 6, 1)).astype("float32")
Y = np.arange(40) % 3


def sequential():
    return pyconv.Sequential([pyconv.Input((6, 6, 1)), layers.Conv2D(4, 3, activation="relu"),
                              layers.MaxPooling2D(2), layers.Dropout(0.3), layers.Flatten(), layers.Dense(3)])


def functional():
    inputs = pyconv.Input((6, 6, 1), name="image")
    shared = layers.Conv2D(2, 3, padding="same", kernel_regularizer="l2")
    x = ops.relu(shared(inputs))
    inner = pyconv.Sequential([pyconv.Input((6, 6, 1)), layers.Flatten(), layers.Dense(4, name="code")])
    x = layers.Concatenate()([layers.Flatten()(x), inner(inputs)])
    return pyconv.Model(inputs, {"kind": layers.Dense(3, name="kind")(x), "size": layers.Dense(1)(x)})


@register_serializable(package="tests")
class Halves(layers.Layer):
    """A layer of a user's own."""

    def __init__(self, factor=0.5, **kwargs):
        super().__init__(**kwargs)
        self.factor = factor

    def build(self, input_shape):
        self.scale = self.add_weight((input_shape[-1],), "ones", name="scale")

    def call(self, inputs):
        return inputs * self.scale * self.factor


@register_serializable(package="tests")
class Net(pyconv.Model):
    """A model of a user's own."""

    def __init__(self, units=3, **kwargs):
        super().__init__(**kwargs)
        self.units = units
        self.flat, self.halves, self.dense = layers.Flatten(), Halves(), layers.Dense(units)

    def call(self, inputs):
        return self.dense(self.halves(self.flat(inputs)))


@register_serializable(package="tests")
def distance(y_true, y_pred):
    return ops.mean(ops.absolute(y_pred - ops.cast(y_true, "float32")), -1)


def own():
    model = Net(units=2)
    model(X[:1])
    return model


def deferred():
    model = pyconv.Sequential([layers.Flatten(), layers.Dense(3)])
    model(X[:2])
    return model


def check_same(first, second):
    a, b = first(X[:3]), second(X[:3])
    for key in a if isinstance(a, dict) else [slice(None)]:
        np.testing.assert_array_equal(a[key], b[key])
    for v, w in zip(first.variables, second.variables, strict=True):
        np.testing.assert_array_equal(v.array, w.array)
        assert v.dtype == w.dtype and v.trainable == w.trainable


@pytest.mark.parametrize("make", [sequential, functional, own, deferred])
def test_round_trip(make, tmp_path, backend):
    model = make()
    model.save(tmp_path / "m.pyconv")
    loaded = load_model(tmp_path / "m.pyconv")
    assert type(loaded) is type(model) and loaded.name == model.name and not loaded.compiled
    check_same(model, loaded)
    if make is not own:                 # there the user's code names them anew
        assert [layer.name for layer in loaded.layers] == [layer.name for layer in model.layers]
    loaded.save(tmp_path / "again.pyconv")
    assert (tmp_path / "again.pyconv").read_bytes() == (tmp_path / "m.pyconv").read_bytes()


def test_frozen_layers_stay_frozen(tmp_path):
    model = functional()
    model.layers[-1].trainable = False
    model.get_layer("code" if any(n.name == "code" for n in model.layers) else "kind").trainable = False
    model.save(tmp_path / "m.pyconv")
    loaded = load_model(tmp_path / "m.pyconv")
    assert [layer.trainable for layer in loaded.layers] == [layer.trainable for layer in model.layers]
    assert len(loaded.trainable_variables) == len(model.trainable_variables) < len(model.variables)


TRAINING = """
import numpy as np, sys
import pyconv
from pyconv import layers

def make(optimizer):
    pyconv.utils.set_random_seed(5)
    model = pyconv.Sequential([pyconv.Input((6, 6, 1)), layers.Conv2D(4, 3, activation="relu"),
                               layers.Dropout(0.4), layers.Flatten(), layers.Dense(3)])
    model.compile(optimizer, pyconv.losses.SparseCategoricalCrossentropy(from_logits=True),
                  metrics=["accuracy"])
    return model

def train(model, epochs, first=0):
    rng = np.random.default_rng(0)
    x, y = rng.normal(size=(40, 6, 6, 1)).astype("float32"), np.arange(40) % 3
    return model.fit(x, y, 8, epochs, verbose=0, shuffle=False, initial_epoch=first).history
"""


@pytest.mark.parametrize("optimizer", [
    "sgd", "adam", {"class_name": "SGD", "config": {"momentum": 0.9, "nesterov": True}},
    {"class_name": "Adam", "config": {"amsgrad": True, "weight_decay": 0.01, "learning_rate": 0.01}}])
def test_stopped_and_resumed_in_another_process_gives_the_same_bits(optimizer, tmp_path):
    space: dict = {}
    exec(TRAINING, space)
    straight, stopped = space["make"](optimizer), space["make"](optimizer)
    history = space["train"](straight, 2)
    space["train"](stopped, 1)
    stopped.save(tmp_path / "m.pyconv")
    program = TRAINING + f"""
from pyconv.saving import load_model
model = load_model({str(tmp_path / 'm.pyconv')!r})
history = train(model, 2, 1)
np.savez({str(tmp_path / 'after.npz')!r}, *[v.array for v in model.variables + model.optimizer.variables],
         loss=history["loss"], accuracy=history["accuracy"])
"""
    subprocess.run([sys.executable, "-c", program], check=True,
                   env={**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))})
    after = np.load(tmp_path / "after.npz")
    for i, variable in enumerate(straight.variables + straight.optimizer.variables):
        np.testing.assert_array_equal(after[f"arr_{i}"], variable.array, err_msg=variable.path)
    assert after["loss"][0] == history["loss"][1] and after["accuracy"][0] == history["accuracy"][1]


def test_the_optimizers_state_survives_freezing(tmp_path):
    """A layer that was trained and then frozen keeps its state in the file."""
    model = sequential()
    model.compile("adam", pyconv.losses.SparseCategoricalCrossentropy(from_logits=True))
    model.optimizer.exclude_from_weight_decay(var_names=["bias"])
    model.fit(X, Y, verbose=0)
    model.layers[0].trainable = False
    model.fit(X, Y, verbose=0)
    model.save(tmp_path / "m.pyconv")
    loaded = load_model(tmp_path / "m.pyconv")
    for a, b in zip(model.optimizer.variables, loaded.optimizer.variables, strict=True):
        np.testing.assert_array_equal(a.array, b.array)
    biases = [v for v in loaded.weights if v.name == "bias"]
    assert biases and not any(loaded.optimizer._decays(v) for v in biases)
    for m in (model, loaded):
        m.fit(X, Y, verbose=0, shuffle=False)
    for a, b in zip(model.get_weights(), loaded.get_weights(), strict=True):
        np.testing.assert_array_equal(a, b)


def test_the_learning_rate_of_now_is_kept(tmp_path):
    model = sequential()
    model.compile("sgd", pyconv.losses.SparseCategoricalCrossentropy(from_logits=True))
    model.optimizer.learning_rate = 0.123
    model.save(tmp_path / "m.pyconv")
    assert float(load_model(tmp_path / "m.pyconv").optimizer.learning_rate) == np.float32(0.123)


def test_losses_and_metrics_by_output(tmp_path):
    model = functional()
    model.compile("adam", {"kind": pyconv.losses.SparseCategoricalCrossentropy(from_logits=True),
                           "size": distance},
                  {"kind": 2.0}, {"kind": ["accuracy"], "size": [distance, "mae"]})
    y = {"kind": Y, "size": Y[:, None].astype("float32")}
    model.fit(X, y, verbose=0)
    model.save(tmp_path / "m.pyconv")
    loaded = load_model(tmp_path / "m.pyconv")
    assert loaded.evaluate(X, y, verbose=0, return_dict=True) == model.evaluate(X, y, verbose=0,
                                                                                return_dict=True)


def test_without_the_optimizer(tmp_path):
    model = sequential()
    model.compile("adam", pyconv.losses.SparseCategoricalCrossentropy(from_logits=True))
    model.save(tmp_path / "m.pyconv")
    assert not load_model(tmp_path / "m.pyconv", compile=False).compiled
    model.save(tmp_path / "m.pyconv", include_optimizer=False)
    assert not load_model(tmp_path / "m.pyconv").compiled
    assert "optimizer.safetensors" not in zipfile.ZipFile(tmp_path / "m.pyconv").namelist()


def test_custom_objects(tmp_path):
    class Unregistered(layers.Layer):
        def call(self, inputs):
            return inputs * 2

    def strange(x):
        return x + 1
    model = pyconv.Sequential([pyconv.Input((3,)), Unregistered(name="u"),
                               layers.Dense(2, activation=strange)])
    model.save(tmp_path / "m.pyconv")
    with pytest.raises(ValueError, match="activation 'strange' is not known(.|\n)*custom_objects"):
        load_model(tmp_path / "m.pyconv")
    loaded = load_model(tmp_path / "m.pyconv", {"strange": strange, "Unregistered": Unregistered})
    np.testing.assert_array_equal(loaded(np.ones((1, 3))), model(np.ones((1, 3))))
    with pytest.raises(ValueError, match="strange"):       # the objects are forgotten after the call
        load_model(tmp_path / "m.pyconv")


def test_code_is_refused(tmp_path):
    model = pyconv.Sequential([pyconv.Input((3,)), layers.Dense(2, activation=lambda x: x * 2, name="d")])
    with pytest.raises(ValueError, match="in 'd': activation is a lambda, and files hold no code(.|\n)*def"):
        model.save(tmp_path / "m.pyconv")
    model.save_weights(tmp_path / "w.safetensors")
    assert [p.name for p in tmp_path.iterdir()] == ["w.safetensors"]


def test_a_model_without_a_usable_configuration(tmp_path):
    class Odd(pyconv.Model):
        def __init__(self, tool):
            super().__init__()
            self.tool, self.dense = tool, layers.Dense(1)

        def call(self, inputs):
            return self.dense(inputs)
    model = Odd(object())
    model(np.ones((1, 2)))
    with pytest.raises(TypeError, match="get_config(.|\n)*save_weights works"):
        model.save(tmp_path / "m.pyconv")
    model.save_weights(tmp_path / "m.safetensors")
    with pytest.raises(ValueError, match="is not built yet"):
        Odd(1).save(tmp_path / "m.pyconv")


# ---- wrong files

@pytest.fixture
def saved(tmp_path):
    path = tmp_path / "m.pyconv"
    model = sequential()
    model.compile("adam", "mse")
    model.save(path)
    return path


def rewrite(path, changes):
    """The file with some members replaced (None: left out)."""
    with zipfile.ZipFile(path) as old:
        members = {name: old.read(name) for name in old.namelist()}
    with zipfile.ZipFile(path, "w") as new:
        for name, data in {**members, **changes}.items():
            if data is not None:
                new.writestr(name, data)


def test_the_name_of_the_file():
    for name, expected in (("m.keras", "Keras's format"), ("m.h5", "HDF5"), ("m", "must end in '.pyconv'"),
                           (".pyconv", "must end in")):
        with pytest.raises(ValueError, match=expected):
            sequential().save(name)


@pytest.mark.parametrize("content,expected", [
    (b"", "not a model that pyconv saved"), (b"\x89HDF\r\n\x1a\n" + bytes(50), "HDF5 file"),
    (safetensors.save({"a": np.ones(3)}), "looks like a safetensors file"),
    (b"PK\3\4" + bytes(40), "incomplete")])
def test_other_files(content, expected, tmp_path):
    (tmp_path / "m.pyconv").write_bytes(content)
    with pytest.raises(ValueError, match=expected):
        load_model(tmp_path / "m.pyconv")


def test_missing_files_and_folders(tmp_path):
    with pytest.raises(FileNotFoundError, match="there is no file"):
        load_model(tmp_path / "none.pyconv")
    with pytest.raises(ValueError, match="is a folder"):
        load_model(tmp_path)


@pytest.mark.parametrize("changes,expected", [
    ({"metadata.json": None}, "zip without metadata.json"),
    ({"metadata.json": b'{"keras_version": "3.0"}'}, "saved by Keras 3.0"),
    ({"metadata.json": b'{"format": "pyconv model", "version": 2, "pyconv": "9.9"}'},
     "saved by pyconv 9.9 in version 2.*Upgrade"),
    ({"metadata.json": b'{"format": "other"}'}, "not a model that pyconv saved"),
    ({"metadata.json": b"{"}, "damaged in metadata.json"), ({"config.json": b"[]"}, "it is no dictionary"),
    ({"config.json": None}, "config.json is missing"), ({"config.json": b"{}"}, "describes no model"),
    ({"config.json": b'{"class_name": "Dense", "config": {"units": 3}}'}, "describes a Dense, not a model"),
    ({"config.json": b'{"class_name": "Model", "config": {"layers": [], "input_layers": [["a", 0, 0]], '
                     b'"output_layers": []}}'}, "cannot be made into a model: KeyError"),
    ({"config.json": b'{"class_name": "Netz", "config": {}}'}, "'Netz' is not known(.|\n)*import the module"),
    ({"model.safetensors": None}, "model.safetensors is missing"), ({"model.safetensors": b"123"}, "3 bytes"),
    ({"model.safetensors": safetensors.save({"dense/kernel": np.ones((2, 2))})}, "Different shapes"),
    ({"optimizer.safetensors": safetensors.save({"iterations": np.zeros((), "int64")})},
     r"optimizer 'adam.*not in the file:\s+learning_rate")])
def test_wrong_members(changes, expected, saved):
    rewrite(saved, changes)
    with pytest.raises(ValueError, match=expected):
        load_model(saved)


def test_every_cut_and_flipped_bits_are_noticed(saved):
    data = saved.read_bytes()
    for length in range(0, len(data), 97):
        saved.write_bytes(data[:length])
        with pytest.raises(ValueError):
            load_model(saved)
    start, end = data.index(b"model.safetensors") + 40, data.index(b"optimizer.safetensors") - 40
    for at in range(start, end, 37):
        wrong = bytearray(data)
        wrong[at] ^= 16
        saved.write_bytes(bytes(wrong))
        with pytest.raises(ValueError):
            load_model(saved)


def test_a_class_is_not_imported_by_its_name(saved):
    with zipfile.ZipFile(saved) as file:
        config = json.loads(file.read("config.json"))
    config["config"]["layers"][1] = {"module": "os", "class_name": "system", "config": {"command": "false"}}
    rewrite(saved, {"config.json": json.dumps(config)})
    with pytest.raises(ValueError, match="layer 'system' is not known"):
        load_model(saved)


OPTIMIZERS = [name for name in pyconv.optimizers.__all__ if isinstance(getattr(pyconv.optimizers, name), type)
              and name not in ("Optimizer", "LossScaleOptimizer")]


@pytest.mark.parametrize("name,arguments", [*((name, {}) for name in OPTIMIZERS),
                                            ("SGD", {"learning_rate": pyconv.optimizers.schedules.CosineDecay(
                                                0.1, 20, warmup_target=0.2, warmup_steps=4)}),
                                            ("Adam", {"use_ema": True, "weight_decay": 0.1}),
                                            ("SGD", {"gradient_accumulation_steps": 2, "momentum": 0.9})])
def test_every_optimizer_goes_on(name, arguments, tmp_path):
    model = sequential()
    model.compile(getattr(pyconv.optimizers, name)(**arguments),
                  pyconv.losses.SparseCategoricalCrossentropy(from_logits=True))
    # five steps: within the second of two that accumulate
    model.fit(X, Y, batch_size=8, shuffle=False, verbose=0)
    model.save(tmp_path / "m.pyconv")
    loaded = load_model(tmp_path / "m.pyconv")
    for m in (model, loaded):
        m.fit(X, Y, batch_size=8, shuffle=False, verbose=0)
    for a, b in zip(model.variables + model.optimizer.variables,
                    loaded.variables + loaded.optimizer.variables, strict=True):
        np.testing.assert_array_equal(a.array, b.array, err_msg=a.path)
