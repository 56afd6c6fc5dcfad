"""A shuffled run that is stopped and resumed takes the same steps."""

import json

import numpy as np
import pytest

import pyconv
from pyconv import layers, saving

X = np.random.default_rng(0).normal(size=(40, 5)).astype("float32")
Y = np.arange(40) % 3


def make():
    pyconv.utils.set_random_seed(7)
    model = pyconv.Sequential([pyconv.Input((5,)), layers.Dense(8, activation="relu"), layers.Dropout(0.3),
                               layers.Dense(3)])
    model.compile("adam", pyconv.losses.SparseCategoricalCrossentropy(from_logits=True))
    return model


def test_resumed_with_shuffling(tmp_path):
    straight = make()
    straight.fit(X, Y, batch_size=8, epochs=4, verbose=0)
    stopped = make()
    stopped.fit(X, Y, batch_size=8, epochs=2, verbose=0)
    stopped.save(tmp_path / "m.pyconv")
    state = json.dumps(saving.get_random_state())
    pyconv.utils.set_random_seed(99)
    resumed = saving.load_model(tmp_path / "m.pyconv")
    saving.set_random_state(json.loads(state))
    resumed.fit(X, Y, batch_size=8, epochs=4, initial_epoch=2, verbose=0)
    for a, b in zip(straight.variables, resumed.variables, strict=True):
        np.testing.assert_array_equal(a.array, b.array)


def test_two_epochs_a_file_and_two_more_are_four(tmp_path):
    """In one process nothing needs to be kept beside the file: loading draws nothing."""
    straight = make()
    straight.fit(X, Y, batch_size=8, epochs=4, verbose=0)
    stopped = make()
    for _ in range(2):
        stopped.fit(X, Y, batch_size=8, epochs=2, verbose=0)
        stopped.save(tmp_path / "m.pyconv")
        stopped = saving.load_model(tmp_path / "m.pyconv")
    for a, b in zip(straight.variables + straight.optimizer.variables,
                    stopped.variables + stopped.optimizer.variables, strict=True):
        np.testing.assert_array_equal(a.array, b.array)


@pytest.mark.parametrize("state", [None, {}, {"bit_generator": "PCG64"},
                                   {"bit_generator": "Philox", "state": 3}])
def test_other_things(state):
    before = saving.get_random_state()
    with pytest.raises(ValueError, match="no state that"):
        saving.set_random_state(state)
    assert saving.get_random_state() == before
