"""Lambda layers in files: the name of a registered function, or of one of pyconv's; never code."""

import json
import zipfile

import numpy as np
import pytest

import pyconv
from pyconv import layers, ops
from pyconv.saving import load_model, register_serializable

X = np.random.default_rng(0).normal(size=(4, 3)).astype("float32")


@register_serializable("lambdas")
def twice(x, factor=2.0):
    return x * factor


@register_serializable("lambdas")
class NoFunction:
    def get_config(self):
        return {}


def not_registered(x):
    return x + 1


def make(function, **arguments):
    return pyconv.Sequential([pyconv.Input((3,)), layers.Dense(2), layers.Lambda(function, name="own", **arguments)])


@pytest.mark.parametrize("function,arguments", [(twice, {}), (twice, {"arguments": {"factor": 3.0}}), (ops.exp, {}),
                                                (pyconv.activations.softplus, {})], ids=range(4))
def test_named_functions(tmp_path, function, arguments):
    model = make(function, **arguments)
    model.save(tmp_path / "m.pyconv")
    np.testing.assert_array_equal(load_model(tmp_path / "m.pyconv")(X), model(X))
    again = pyconv.models.model_from_json(model.to_json())
    again.set_weights(model.get_weights())
    np.testing.assert_array_equal(again(X), model(X))


@pytest.mark.parametrize("function", [lambda x: x * 2, not_registered], ids=["lambda", "def"])
def test_others_are_refused(tmp_path, function):
    model = make(function)
    with pytest.raises(ValueError, match=r"'own' \(Lambda\) cannot be saved(.|\n)*register_serializable"):
        model.save(tmp_path / "m.pyconv")
    nested = pyconv.Sequential([pyconv.Input((3,)), model])
    with pytest.raises(ValueError, match=r"'own' \(Lambda\) cannot be saved"):
        nested.save(tmp_path / "m.pyconv")
    assert not list(tmp_path.iterdir())
    model.save_weights(tmp_path / "w.safetensors")
    other = make(function)
    other.load_weights(tmp_path / "w.safetensors")
    np.testing.assert_array_equal(other(X), model(X))


@pytest.mark.parametrize("name", ["eval", "os.system", "builtins.exec", "__import__", "not_registered", "<lambda>",
                                  "lambdas>NoFunction", "pyconv.config.set_backend", ["gASVHg=="], {"code": "e30="}],
                         ids=range(10))
def test_names_in_a_file_lead_to_no_other_code(tmp_path, name):
    path = tmp_path / "m.pyconv"
    make(twice).save(path)
    with zipfile.ZipFile(path) as file:
        members = {member: file.read(member) for member in file.namelist()}
    config = json.loads(members["config.json"])
    config["config"]["layers"][-1]["config"]["function"] = name
    members["config.json"] = json.dumps(config).encode()
    with zipfile.ZipFile(path, "w") as file:
        for member, data in members.items():
            file.writestr(member, data)
    with pytest.raises(ValueError, match="cannot be made into a model"):
        load_model(path)
