"""PyDataset: batches in order from any number of threads, in fit, evaluate and predict."""

import math
import os
import subprocess
import sys
import threading
import time

import numpy as np
import pytest

import pyconv
from pyconv import layers
from pyconv.utils import PyDataset

rng = np.random.default_rng(0)
X = rng.normal(size=(30, 3)).astype("float32")
Y = X.sum(1, keepdims=True)


class Batches(PyDataset):
    def __init__(self, size=8, delay=False, **kwargs):
        super().__init__(**kwargs)
        self.size, self.delay, self.made, self.epochs = size, delay, [], 0
        self.order = np.arange(len(X))

    def __len__(self):
        return math.ceil(len(X) / self.size)

    def __getitem__(self, index):
        if self.delay:
            time.sleep(0.005 * (index % 3))          # later ones may be ready first
        self.made.append((index, threading.current_thread() is threading.main_thread()))
        rows = self.order[self.size * index:self.size * (index + 1)]
        return X[rows], Y[rows]

    def on_epoch_end(self):
        self.epochs += 1


def make():
    pyconv.utils.set_random_seed(0)
    model = pyconv.Sequential([pyconv.Input((3,)), layers.Dense(1)])
    model.compile("sgd", "mse")
    return model


@pytest.mark.parametrize("workers", [0, 1, 3])
def test_batches_come_in_order(workers):
    data = Batches(workers=workers, delay=True)
    np.testing.assert_array_equal(np.concatenate([x for x, _ in data]), X)
    assert sorted(i for i, _ in data.made) == [0, 1, 2, 3]
    assert all(main == (not workers) for _, main in data.made)


@pytest.mark.parametrize("workers", [0, 2])
def test_training_equals_that_on_arrays(workers):
    first, second, data = make(), make(), Batches(workers=workers)
    a = first.fit(X, Y, batch_size=8, epochs=3, shuffle=False, verbose=0).history["loss"]
    assert second.fit(data, epochs=3, verbose=0).history["loss"] == a and data.epochs == 3
    np.testing.assert_array_equal(first.get_weights()[0], second.get_weights()[0])
    assert second.evaluate(data, verbose=0) == pytest.approx(first.evaluate(X, Y, verbose=0))
    np.testing.assert_allclose(second.predict(data, verbose=0), first.predict(X, verbose=0), rtol=1e-6)


def test_validation_data_and_steps():
    history = make().fit(Batches(), epochs=2, steps_per_epoch=2, validation_data=Batches(workers=2),
                         verbose=0)
    assert len(history.history["val_loss"]) == 2


def test_errors_of_a_thread_reach_the_reader():
    class Broken(Batches):
        def __getitem__(self, index):
            if index == 2:
                raise KeyError("no such image")
            return super().__getitem__(index)
    with pytest.raises(KeyError, match="no such image"):
        make().fit(Broken(workers=2), verbose=0)


def test_reading_ahead_is_limited_and_ends_with_the_reader():
    data = Batches(size=1, workers=2, max_queue_size=3)
    reader = iter(data)
    next(reader)
    time.sleep(0.05)
    assert len(data.made) <= 4
    reader.close()
    time.sleep(0.05)
    assert len(data.made) <= 5


def test_threads_end_with_the_reader():
    before = threading.active_count()
    for data in (Batches(workers=3), Batches(workers=20)):
        assert len(list(data)) == 4
    reader = iter(Batches(workers=3, size=1))
    next(reader)
    reader.close()
    deadline = time.monotonic() + 5
    while threading.active_count() > before and time.monotonic() < deadline:
        time.sleep(0.01)
    assert threading.active_count() == before


PROGRAM = """
import os, signal, threading, time
import numpy as np
import pyconv
from pyconv import layers

class Slow(pyconv.utils.PyDataset):
    def __len__(self):
        return 5
    def __getitem__(self, index):
        if index == 1:
            threading.Timer(0.2, os.kill, (os.getpid(), signal.SIGINT)).start()
            time.sleep(600)
        return np.ones((2, 3), "float32"), np.ones((2, 1), "float32")

model = pyconv.Sequential([pyconv.Input((3,)), layers.Dense(1)])
model.compile("sgd", "mse")
try:
    model.fit(Slow(workers=2), verbose=0)
except KeyboardInterrupt:
    print("interrupted")
"""


def test_an_interrupt_does_not_wait_for_a_slow_reader():
    """Ctrl-C while a thread sleeps for ten minutes: the training ends, and so does the process."""
    done = subprocess.run([sys.executable, "-c", PROGRAM], capture_output=True, text=True, timeout=60,
                          env={**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))})
    assert done.returncode == 0 and done.stdout == "interrupted\n", done.stderr


def test_a_subclass_without_super_init():
    class Old(PyDataset):
        def __init__(self):
            pass

        num_batches = 2

        def __getitem__(self, index):
            return X[:4], Y[:4]
    assert len(list(Old())) == len(Old()) == 2


def test_errors():
    for arguments, error, expected in (({"workers": -1}, ValueError, "workers=-1"),
                                       ({"workers": 1.5}, TypeError, "workers must be an int"),
                                       ({"max_queue_size": 0}, ValueError, "max_queue_size=0")):
        with pytest.raises(error, match=expected):
            PyDataset(**arguments)
    with pytest.warns(UserWarning, match="threads are used"):
        PyDataset(use_multiprocessing=True)
    with pytest.raises(NotImplementedError, match="__len__"):
        len(PyDataset())
    with pytest.raises(NotImplementedError, match="__getitem__"):
        PyDataset()[0]
