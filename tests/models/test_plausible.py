"""Warnings of a last activation that the loss does not expect."""

import warnings

import pytest

import pyconv
from pyconv import layers, losses


def model_with(*last, functional=False):
    first = [pyconv.Input((4,)), layers.Dense(5, activation="relu")]
    if not functional:
        return pyconv.Sequential([*first, *last])
    x = first[1](first[0])
    for layer in last:
        x = layer(x)
    return pyconv.Model(first[0], x)


def messages(model, loss):
    with warnings.catch_warnings(record=True) as found:
        warnings.simplefilter("always")
        model.compile("sgd", loss)
    assert all(w.filename == __file__ for w in found)
    return [str(w.message) for w in found]


@pytest.mark.parametrize("functional", [False, True])
@pytest.mark.parametrize("last, loss, expected", [
    (lambda: layers.Dense(3), "sparse_categorical_crossentropy", "from_logits=True, or the layer activation='softmax'"),
    (lambda: layers.Dense(1), losses.BinaryCrossentropy(), "activation='sigmoid'"),
    (lambda: layers.Dense(3), losses.categorical_crossentropy, "categorical_crossentropy takes probabilities"),
    (lambda: layers.Dense(3, activation="softmax"), losses.CategoricalCrossentropy(from_logits=True), "takes logits"),
    (lambda: layers.Dense(1, activation="sigmoid"), losses.BinaryCrossentropy(from_logits=True), "'sigmoid'"),
    (lambda: layers.Softmax(), losses.SparseCategoricalCrossentropy(from_logits=True), "takes logits"),
    (lambda: layers.Dense(1, activation="softmax"), "mse", "softmax is always 1"),
])
def test_what_is_warned_of(last, loss, expected, functional):
    text, = messages(model_with(last(), functional=functional), loss)
    assert expected in text and text.startswith("compile: ")


@pytest.mark.parametrize("last, loss", [
    (lambda: layers.Dense(3, activation="softmax"), "sparse_categorical_crossentropy"),
    (lambda: layers.Dense(1, activation="sigmoid"), "binary_crossentropy"),
    (lambda: layers.Dense(3), losses.SparseCategoricalCrossentropy(from_logits=True)),
    (lambda: layers.Dense(3), "mse"), (lambda: layers.Dense(3), None), (lambda: layers.Lambda(lambda x: x), "bce"),
    (lambda: layers.Dense(2), lambda y_true, y_pred: losses.binary_crossentropy(y_true, y_pred, from_logits=True)),
])
def test_what_is_not(last, loss):
    assert messages(model_with(last()), loss) == []


def test_nested_models_and_those_without_shapes():
    inner = pyconv.Sequential([layers.Dense(3)])
    assert len(messages(pyconv.Sequential([pyconv.Input((4,)), inner]), "sparse_categorical_crossentropy")) == 1
    assert len(messages(pyconv.Sequential([layers.Dense(3)]), "sparse_categorical_crossentropy")) == 1
    assert messages(pyconv.Sequential(), "sparse_categorical_crossentropy") == []
    inputs = pyconv.Input((4,))
    two = pyconv.Model(inputs, [layers.Dense(3)(inputs), layers.Dense(3)(inputs)])
    assert messages(two, {}) == []
