"""Copies of models and layers: deep ones and by pickle, as for processes that a user starts."""

import copy
import pickle

import numpy as np
import pytest

import pyconv
from pyconv import layers, ops

RNG = np.random.default_rng(0)
X, Y = RNG.random((48, 8, 8, 3), "float32"), RNG.integers(0, 4, 48)


def by_pickle(model):
    return pickle.loads(pickle.dumps(model))


class Net(pyconv.Model):
    def __init__(self, width):
        super().__init__()
        self.blocks = [layers.Conv2D(width, 3, activation="relu"), layers.BatchNormalization(), layers.Dropout(0.3)]
        self.head = layers.Dense(4)

    def call(self, inputs):
        for block in self.blocks:
            inputs = block(inputs)
        return self.head(ops.mean(inputs, axis=(1, 2)))


def sequential():
    return pyconv.Sequential([pyconv.Input((8, 8, 3)), layers.Conv2D(4, 3, activation="relu", kernel_regularizer="l2"),
                              layers.BatchNormalization(), layers.Flatten(), layers.Dropout(0.3), layers.Dense(4)])


def functional():
    inputs = pyconv.Input((8, 8, 3))
    shared = layers.Conv2D(3, 3, padding="same")
    x = layers.Add()([shared(shared(inputs)), inputs * 2])
    return pyconv.Model(inputs, layers.Dense(4)(layers.GlobalMaxPooling2D()(x)))


def loss(y_true, y_pred):
    return pyconv.losses.sparse_categorical_crossentropy(y_true, y_pred, from_logits=True)


@pytest.mark.parametrize("copied", [copy.deepcopy, by_pickle])
@pytest.mark.parametrize("make", [sequential, functional, lambda: Net(5)], ids=["sequential", "functional", "subclass"])
@pytest.mark.parametrize("optimizer", [
    lambda: pyconv.optimizers.AdamW(0.01, weight_decay=0.1, use_ema=True, gradient_accumulation_steps=2),
    lambda: pyconv.optimizers.LossScaleOptimizer(pyconv.optimizers.SGD(0.05, momentum=0.9))], ids=["adamw", "scaled"])
def test_a_copy_trains_on_with_the_same_bits(copied, make, optimizer):
    model = make()
    model.compile(optimizer(), loss, metrics=["accuracy"])
    model.fit(X, Y, batch_size=16, epochs=2, verbose=0)
    model.predict(X, verbose=0)
    twin = copied(model)
    before = [w.copy() for w in model.get_weights()]
    pyconv.utils.set_random_seed(5)
    history = twin.fit(X, Y, batch_size=16, epochs=2, verbose=0).history
    assert all((a == b).all() for a, b in zip(before, model.get_weights(), strict=True))    # the original stays
    pyconv.utils.set_random_seed(5)
    assert model.fit(X, Y, batch_size=16, epochs=2, verbose=0).history == history
    assert (model.predict(X, verbose=0) == twin.predict(X, verbose=0)).all()


@pytest.mark.parametrize("copied", [copy.deepcopy, by_pickle])
def test_deep_networks(copied):
    inputs = x = pyconv.Input((4,))
    for _ in range(300):
        x = layers.Activation("relu")(x)
    model = pyconv.Model(inputs, layers.Dense(2)(x))
    data = RNG.random((3, 4), "float32")
    twin = copied(model)
    assert (twin.predict(data, verbose=0) == model.predict(data, verbose=0)).all()
    assert (pyconv.Model(twin.inputs, twin.layers[-1].output).predict(data, verbose=0) == twin(data)).all()


@pytest.mark.parametrize("copied", [copy.copy, copy.deepcopy, by_pickle])
def test_layers_that_need_arguments(copied):
    layer = layers.Dense(3)
    values = layer(X)
    twin = copied(layer)
    assert (twin(X) == values).all() and twin.get_config() == layer.get_config()


def test_weights_left_out_of_the_decay_are_those_of_the_copy():
    model = sequential()
    optimizer = pyconv.optimizers.AdamW(0.01, weight_decay=0.5)
    optimizer.exclude_from_weight_decay(var_list=[model.layers[-1].bias])
    model.compile(optimizer, loss)
    twin = copy.deepcopy(model)
    assert twin.optimizer.decay_of(twin.layers[-1].bias) is None
    assert twin.optimizer.decay_of(twin.layers[-1].kernel) == 0.5
