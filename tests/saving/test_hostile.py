"""Files made to do harm: bombs, traversal, wrong sizes, deep nesting, wishes for memory. Each is a ValueError."""

import json
import os
import random
import zipfile

import numpy as np
import pytest

import pyconv
from pyconv import layers
from pyconv.callbacks import BackupAndRestore
from pyconv.saving import load_model, safetensors

X, Y = np.ones((4, 3), "float32"), np.ones((4, 2), "float32")


def make():
    model = pyconv.Sequential([pyconv.Input((3,)), layers.Dense(2, name="d"), layers.Dropout(0.5)])
    model.compile("adam", "mse")
    return model


@pytest.fixture
def path(tmp_path):
    make().save(tmp_path / "m.pyconv")
    return tmp_path / "m.pyconv"


def members(path) -> dict:
    with zipfile.ZipFile(path) as file:
        return {name: file.read(name) for name in file.namelist()}


def write(path, contents, compression=zipfile.ZIP_STORED):
    with zipfile.ZipFile(path, "w", compression) as file:
        for name, data in contents:
            file.writestr(name, data)


def refused(path, match):
    with pytest.raises(ValueError, match=match):
        load_model(path)


@pytest.mark.parametrize("name", ["metadata.json", "config.json", "model.safetensors"])
def test_a_compressed_bomb(path, name):
    """200 KB that would become 200 MB are refused by what the directory says, before anything is unpacked."""
    contents = {**members(path), name: b'{"a": "' + bytes(1) * 200_000_000 if name != "metadata.json"
                else b'{"a": "' + b" " * 1_000_000}
    write(path, contents.items(), zipfile.ZIP_DEFLATED)
    assert os.path.getsize(path) < 300_000
    refused(path, "compressed member" if name != "metadata.json" else "longer than 65536 bytes")


def test_sizes_that_the_file_does_not_have(path):
    """The directory promises a member of 2**31 bytes: it is refused before room is made for it."""
    data = bytearray(path.read_bytes())
    at = data.rindex(b"PK\1\2", 0, data.rindex(b"PK\1\2"))
    data[at + 20:at + 28] = (2**31 - 1).to_bytes(4, "little") * 2
    path.write_bytes(data)
    refused(path, "damaged|would have")


@pytest.mark.parametrize("name", ["../evil.py", "/etc/evil", "..\\evil", "code.py", "model.safetensors/"])
def test_members_that_a_model_does_not_have(path, name, tmp_path):
    write(path, [*members(path).items(), (name, b"import os")])
    before = sorted(os.listdir(tmp_path))
    refused(path, "which no model that pyconv saved has")
    assert sorted(os.listdir(tmp_path)) == before


@pytest.mark.filterwarnings("ignore:Duplicate name:UserWarning")
def test_a_member_twice(path):
    write(path, [*members(path).items(), ("config.json", b"{}")])
    refused(path, "'config.json' twice")


def config_of(path, change):
    contents = members(path)
    config = json.loads(contents["config.json"])
    change(config)
    write(path, {**contents, "config.json": json.dumps(config).encode()}.items())


def test_a_configuration_that_wants_memory(path):
    """A layer of 12 TB: refused by its shape. So is one that would fit into the memory, but not into the file."""
    for units in (10**12, 10**8):
        config_of(path, lambda c, n=units: c["config"]["layers"][1]["config"].update(units=n))
        refused(path, r"weight 'kernel' of shape .* needs far more memory than the weights in the file")


def test_functions_are_called_on_tensors_only(tmp_path):
    """Otherwise a configuration could have them make arrays while it is read."""
    inputs = pyconv.Input((3,))
    pyconv.Model(inputs, pyconv.ops.exp(layers.Dense(2)(inputs))).save(tmp_path / "m.pyconv")

    def call(c):
        c["config"]["layers"][-1]["config"]["function"] = "ops.ones_like"
        c["config"]["layers"][-1]["inbound_nodes"][0]["args"] = [[[1.0] * 1000] * 1000]
    config_of(tmp_path / "m.pyconv", call)
    refused(tmp_path / "m.pyconv", "calls 'exp' on no tensor")


def test_deep_nesting(path):
    contents = members(path)
    deep = b'{"class_name": "Sequential", "config": ' + b"[" * 100_000 + b"]" * 100_000 + b"}"
    write(path, {**contents, "config.json": deep}.items())
    refused(path, "damaged in config.json")
    inner = {"class_name": "Dense", "config": {"units": 2}}
    for _ in range(200):
        inner = {"class_name": "TimeDistributed", "config": {"layer": inner}}
    write(path, contents.items())
    config_of(path, lambda c: c["config"]["layers"].append(inner))
    refused(path, "cannot be made into a model")


@pytest.mark.parametrize("change", [
    lambda c: c["config"].update(layers=3), lambda c: c["config"]["layers"][1].pop("config"),
    lambda c: c["config"]["layers"][1]["config"].update(units="many"),
    lambda c: c["config"]["layers"][1]["config"].update(dtype=["float32"]),
    lambda c: c["config"]["layers"][1]["config"].update(kernel_initializer={"class_name": 5}),
    lambda c: c["compile_config"].update(optimizer={"class_name": "Adam", "config": {"beta_3": 1}}),
    lambda c: c["compile_config"].update(loss={"class_name": "os.system"}),
    lambda c: c["compile_config"].update(run="now")])
def test_configurations_of_the_wrong_kind(path, change):
    config_of(path, change)
    refused(path, "cannot be (made into a model|compiled as it was)")


def test_random_damage_never_gives_another_error(path):
    """Bits, bytes and pieces that change: the same model, or a ValueError."""
    data, draw = path.read_bytes(), random.Random(3)
    expected = load_model(path).predict(X, verbose=0)
    for _ in range(400):
        wrong = bytearray(data)
        at, length = draw.randrange(len(data)), draw.randrange(1, 30)
        kind = draw.randrange(3)
        if kind == 0:
            wrong[at] ^= 1 << draw.randrange(8)
        elif kind == 1:
            wrong[at:at + length] = draw.randbytes(length)
        else:
            wrong[at:at + length] = draw.randbytes(draw.randrange(30))
        path.write_bytes(wrong)
        try:
            found = load_model(path)
        except ValueError:
            continue
        np.testing.assert_array_equal(found.predict(X, verbose=0), expected)


def header(entries, data=b""):
    raw = entries if isinstance(entries, bytes) else json.dumps(entries).encode()
    return len(raw).to_bytes(8, "little") + raw + data


@pytest.mark.parametrize("content,match", [
    (header({"x": {"dtype": "F32", "shape": [2**63, 0], "data_offsets": [0, 0]}}), "no array of NumPy"),
    (header({"x": {"dtype": "F32", "shape": [1] * 40, "data_offsets": [0, 4]}}, bytes(4)), "no array of NumPy"),
    (header({"x": {"dtype": "F32", "shape": [10**18], "data_offsets": [0, 4 * 10**18]}}, bytes(8)),
     "has 8 bytes of data; its header describes 4"),
    (header(b"[" * 100_000), "not the JSON"), (header(b'{"x": ' + b"9" * 10_000 + b"}"), "not the JSON"),
    (header({"x": {"dtype": "F32", "shape": [1.0], "data_offsets": [0, 4]}}, bytes(4)), "not complete"),
    (header({"x": {"dtype": "F32", "shape": [True], "data_offsets": [0, 4]}}, bytes(4)), "not complete"),
    (header({"x": {"dtype": ["F32"], "shape": [1], "data_offsets": [0, 4]}}, bytes(4)), "not complete"),
    ((2**63).to_bytes(8, "little") + b"{}", "announce a header")], ids=range(9))
def test_weights(content, match, tmp_path):
    path, model = tmp_path / "w.safetensors", make()
    path.write_bytes(content)
    before = model.get_weights()
    for call in (lambda: safetensors.load(content), lambda: model.load_weights(path)):
        with pytest.raises(ValueError, match=match):
            call()
    for a, b in zip(before, model.get_weights(), strict=True):
        np.testing.assert_array_equal(a, b)


def test_a_checkpoint_that_fits_in_part_changes_nothing(tmp_path):
    """The weights fit and the optimizer's state does not: neither is taken, nor the random generator."""
    make().fit(X, Y, epochs=2, verbose=0, callbacks=[BackupAndRestore(tmp_path, delete_checkpoint=False)])
    model = make()
    model.compile("sgd", "mse")
    before, state = model.get_weights(), pyconv.saving.get_random_state()
    with pytest.raises(ValueError, match="optimizer 'sgd"):
        model.fit(X, Y, epochs=3, verbose=0, callbacks=[BackupAndRestore(tmp_path)])
    for a, b in zip(before, model.get_weights(), strict=True):
        np.testing.assert_array_equal(a, b)
    assert pyconv.saving.get_random_state() == state
    metadata = {"epoch": "one", "batch": "0", "generator": "{}"}
    safetensors.save_file({}, tmp_path / "latest.safetensors", metadata)
    with pytest.raises(ValueError, match="no state of a training"):
        model.fit(X, Y, epochs=3, verbose=0, callbacks=[BackupAndRestore(tmp_path)])


def test_loading_draws_no_random_numbers(path):
    state = pyconv.saving.get_random_state()
    model = load_model(path)
    assert pyconv.saving.get_random_state() == state
    np.testing.assert_array_equal(model.get_weights()[0], load_model(path).get_weights()[0])


def test_there_is_only_a_safe_mode(path):
    assert load_model(path, safe_mode=True).built
    with pytest.raises(ValueError, match="a file holds no code"):
        load_model(path, safe_mode=False)
    with pytest.raises(ValueError, match="a configuration holds no code"):
        pyconv.saving.deserialize_keras_object({}, safe_mode=False)
    with pytest.raises(ValueError, match="zipped=False must be"):
        make().save(path, zipped=False)
