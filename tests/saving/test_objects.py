"""Registered classes and functions, scopes, and objects as dictionaries."""

import numpy as np
import pytest

import pyconv
from pyconv import layers, losses, saving


def test_registered_names():
    @saving.register_serializable()
    class Plain(layers.Layer):
        pass

    @saving.register_keras_serializable(package="lab", name="Other")
    def function(x):
        return x
    assert saving.get_registered_name(Plain) == "Custom>Plain"
    assert saving.get_registered_object("Custom>Plain") is Plain is saving.get_registered_object("Plain")
    assert saving.get_registered_name(function) == "lab>Other"
    assert saving.get_registered_object("lab>Other") is function is saving.get_custom_objects()["lab>Other"]
    assert saving.get_registered_name(layers.Dense) == "Dense"
    assert saving.get_registered_object("nothing") is None
    assert saving.get_registered_object("a", {"a": 1}) == 1
    assert saving.get_registered_object("b", None, {"b": 1}) == 1


def test_equal_names_of_two_packages():
    def make(package, factor):
        class Same(layers.Layer):
            def call(self, inputs):
                return inputs * factor
        Same.__qualname__ = f"{package}.Same"
        return saving.register_serializable(package)(Same)
    first, second = make("one", 1.0), make("two", 2.0)
    for cls in (first, second):
        inner = pyconv.Sequential([pyconv.Input((2,)), cls()])
        again = saving.deserialize(saving.serialize(pyconv.Sequential([pyconv.Input((2,)), inner])))
        assert type(again.layers[0].layers[0]) is cls


def test_a_name_is_given_once():
    def f(x):
        return x

    def g(x):
        return x
    saving.register_serializable("once", "f")(f)
    saving.register_serializable("once", "f")(f)
    with pytest.raises(ValueError, match="'once>f' is registered already"):
        saving.register_serializable("once", "f")(g)


@pytest.mark.parametrize("call,error,expected", [
    (lambda: saving.register_serializable(layers.Dense), TypeError, "with parentheses"),
    (lambda: saving.register_serializable("a>b"), ValueError, "must not be empty"),
    (lambda: saving.register_serializable()(3), TypeError, "classes and functions"),
    (lambda: saving.register_serializable()(int), ValueError, "no get_config"),
    (lambda: saving.CustomObjectScope([1]), TypeError, "must be a dictionary"),
    (lambda: saving.deserialize({"class_name": "Nope", "config": {}}), ValueError, "nor registered")])
def test_errors(call, error, expected):
    with pytest.raises(error, match=expected):
        call()


@pytest.mark.parametrize("obj", [layers.Dense(3, activation="relu"), losses.MeanSquaredError(),
                                 pyconv.optimizers.Adam(0.1), pyconv.metrics.MeanSquaredError(),
                                 pyconv.initializers.HeNormal(seed=1), pyconv.regularizers.L2(0.1),
                                 pyconv.constraints.MaxNorm(3)])
def test_objects_of_all_kinds(obj):
    config = saving.serialize_keras_object(obj)
    again = saving.deserialize_keras_object(config)
    assert type(again) is type(obj) and saving.serialize_keras_object(again) == config


def test_plain_values():
    assert saving.serialize({"a": [1, None, np.float32(2)]}) == {"a": [1, None, 2.0]}
    assert saving.deserialize({"a": [1, None]}) == {"a": [1, None]}


def test_scopes_nest():
    def a(x):
        return x

    def b(x):
        return x * 2
    with saving.CustomObjectScope({"act": a}):
        with saving.custom_object_scope({"act": b}):
            assert layers.Dense(1, activation="act").activation is b
        assert layers.Dense(1, activation="act").activation is a
    with pytest.raises(ValueError, match="'act' is not known"):
        layers.Dense(1, activation="act")


def test_a_users_loss_and_optimizer():
    @saving.register_serializable("lab")
    class Cubic(losses.Loss):
        def call(self, y_true, y_pred):
            return pyconv.ops.mean(pyconv.ops.absolute(y_true - y_pred) ** 3.0, -1)

    @saving.register_serializable("lab")
    class Slow(pyconv.optimizers.SGD):
        pass
    for obj in (Cubic(), Slow()):
        assert type(saving.deserialize(saving.serialize(obj))) is type(obj)
