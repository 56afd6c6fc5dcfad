"""Batches of iterables arrive while the one before is computed: none is lost, doubled or taken too early."""

import functools
import random
import signal
import threading
import warnings

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import pyconv
from pyconv import layers
from pyconv.models.data import BatchData
from tests.cuda import devices
from tests.cuda.emulator import standin, streams

X = np.random.default_rng(0).integers(0, 256, (60, 4)).astype("uint8")
Y = X.mean(1, keepdims=True).astype("float32") / 256


def batches(sizes):
    """Batches of these sizes, one after the other from X."""
    ends = np.cumsum(sizes)
    return [(X[end - n:end], Y[end - n:end]) for n, end in zip(sizes, ends, strict=True)]


class Trouble(Exception):
    pass


def generator(found, error_at):
    for i, batch in enumerate(found):
        if i == error_at:
            raise Trouble(i)
        yield batch


def in_one_buffer(found, error_at):
    """A generator that writes each batch to the memory of the batch before."""
    x, y = np.zeros((8, 4), "uint8"), np.zeros((8, 1), "float32")
    for a, b in generator(found, error_at):
        x[:len(a)], y[:len(a)] = a, b
        yield x[:len(a)], y[:len(a)]
        x[:], y[:] = 99, -1


class Dataset(pyconv.utils.PyDataset):
    def __init__(self, found, error_at, workers):
        super().__init__(workers=workers, max_queue_size=2)
        self.found, self.error_at, self.turns = found, error_at, 0

    def __len__(self):
        return len(self.found)

    def __getitem__(self, i):
        if i == self.error_at:
            raise Trouble(i)
        return self.found[(i + self.turns) % len(self)]

    def on_epoch_end(self):
        self.turns += 1


SOURCES = {"list": lambda found, error_at: found, "generator": generator, "one buffer": in_one_buffer,
           "map": lambda found, error_at: map(lambda b: b, generator(found, error_at)),
           "dataset": lambda found, error_at: Dataset(found, error_at, 0),
           "threads": lambda found, error_at: Dataset(found, error_at, 2)}


class Stop(pyconv.callbacks.Callback):
    """Notes the batches, and stops after some."""

    def __init__(self, after):
        super().__init__()
        self.after, self.seen = after, []

    def on_train_batch_end(self, batch, logs=None):
        self.seen.append(logs["loss"])
        if len(self.seen) == self.after:
            self.model.stop_training = True

    def on_epoch_end(self, epoch, logs=None):
        self.seen.append(-1.0 - epoch)


def model_on(backend):
    return model_of(backend, devices.current)


@functools.cache
def model_of(backend, device):
    model = pyconv.Sequential([pyconv.Input((4,)), layers.Rescaling(1 / 255), layers.Dense(1)])
    model.compile(pyconv.optimizers.SGD(0.05), "mse")
    return model


def session(backend, kind, sizes, epochs, steps, stop_after, error_at):
    """Losses of all steps and ends of epochs, of a first training and of another with what is left; and errors."""
    model = model_on(backend)
    model.layers[-1].set_weights([np.full((4, 1), 0.1, "float32"), np.zeros(1, "float32")])
    source, out = SOURCES[kind](batches(sizes), error_at), []
    with pyconv.device(backend), warnings.catch_warnings(record=True) as warned:
        warnings.simplefilter("always")
        for after in (stop_after, None):
            stop = Stop(after)
            try:
                model.fit(source, epochs=epochs, steps_per_epoch=steps, verbose=0, callbacks=[stop])
            except Trouble as error:
                out.append(("error", error.args))
            out.append(stop.seen)
        out.append(sorted(str(w.message) for w in warned))
        return out, model.get_weights()


@pytest.mark.devices
@settings(max_examples=40)
@given(st.sampled_from(sorted(SOURCES)), st.lists(st.sampled_from([3, 3, 3, 2]), min_size=1, max_size=6),
       st.integers(1, 3), st.sampled_from([None, None, 1, 2, 4]), st.sampled_from([None, None, 1, 2, 3]),
       st.sampled_from([None, None, 0, 1, 3]), st.sampled_from(["early", "late", 0, 1]))
def test_every_step_is_that_of_the_cpu(kind, sizes, epochs, steps, stop_after, error_at, schedule):
    """Whatever the source, where it ends, fails, or is left and taken up again."""
    case = kind, sizes, epochs, steps, stop_after, error_at if kind != "list" else None
    streams.schedule = schedule if isinstance(schedule, str) else "random"
    streams.generator = random.Random(schedule)
    try:
        (found, weights), (expected, others) = session("cuda", *case), session("cpu", *case)
    finally:
        streams.schedule = "late"
    assert len(found) == len(expected) and found[-1] == expected[-1]
    for a, b in zip(found[:-1], expected[:-1], strict=True):
        if isinstance(a, tuple):
            assert a == b
        else:
            np.testing.assert_allclose(a, b, rtol=devices.near(1e-4, 1e-3), atol=devices.near(1e-7, 1e-5))
    for a, b in zip(weights, others, strict=True):
        np.testing.assert_allclose(a, b, rtol=devices.near(1e-4, 1e-3), atol=devices.near(1e-6, 1e-4))


@pytest.mark.parametrize("kind", ["list", "generator", "dataset", "threads"])
def test_batches_are_copied_while_the_one_before_is_computed(kind, monkeypatch):
    monkeypatch.setattr(streams, "schedule", "early")
    with pyconv.device("cuda"):
        model = model_on("cuda")
        model.fit(batches([3] * 3), verbose=0)
        for call in (model.fit, model.evaluate, model.predict):
            found = batches([3] * 6)
            call(found, verbose=0)                          # compiled, and captured
            start, crossed = len(standin.log), len(standin.crossed)
            call(SOURCES[kind](found, None), verbose=0)
            runs = "".join({"H2D": "h", "D2D": "d", "graph": "g", "D2H": "r"}.get(e, "") for e in standin.log[start:])
            # What was copied is taken, a graph, the copy for the next run, the result.
            assert "dghrdghrdghrdghrdgr" in runs, (kind, call)
            # Images are bytes: 3 x 4 of them, and 3 labels of 4, in places of 256 bytes.
            arrived = [n for way, n in standin.crossed[crossed:] if way == "H2D" and n > 16]
            assert arrived == [256 if call == model.predict else 512] * 6


@pytest.mark.devices
def test_batches_on_the_device():
    there = []
    for arrays in batches([3] * 4):
        there.append(tuple(map(devices.put, arrays)))
    model = model_on("cpu")
    expected, weights = model.predict(batches([3] * 4), verbose=0), model.get_weights()
    found, _, to_host = devices.crossings(lambda: model.predict(iter(there), verbose=0))
    assert devices.lies_there(found) and max(to_host or [0]) <= 256
    np.testing.assert_allclose(found.get(), expected, rtol=devices.near(1e-5, 1e-3))
    losses = []
    for source in (there, batches([3] * 4)):
        model.layers[-1].set_weights(weights)
        losses.append(model.fit(source, epochs=2, verbose=0).history["loss"])
    np.testing.assert_allclose(*losses, rtol=devices.near(1e-5, 1e-3))


@pytest.mark.devices
def test_the_iterable_s_code_may_use_the_model():
    """It runs while a step is under way: it may predict, read and write weights, also in threads of its own."""
    def run(backend):
        model = model_on(backend)
        model.layers[-1].set_weights([np.full((4, 1), 0.1, "float32"), np.zeros(1, "float32")])
        notes = []

        def hard(i):
            x, y = batches([3] * 6)[i]
            notes.append(model.predict(x, verbose=0).tolist())
            notes.append(model.layers[-1].kernel.numpy().tolist())
            notes.append(model.test_on_batch(x, y))
            if i == 2:
                model.layers[-1].bias.assign([0.5])
            if i == 3:
                notes.append(model.train_on_batch(x, y))     # the very program that runs
            return x, y

        def source():
            for i in range(6):
                out = []
                thread = threading.Thread(target=lambda i=i, out=out: out.append(hard(i)), daemon=True)
                thread.start()
                thread.join(60)
                assert out, "the thread waits for the step, which waits for the thread"
                yield out[0]
        with pyconv.device(backend):
            model.fit(source(), verbose=0)
        return notes, model.get_weights()
    (found, weights), (expected, others) = run("cuda"), run("cpu")
    for a, b in zip([*found, *weights], [*expected, *others], strict=True):
        np.testing.assert_allclose(a, b, rtol=devices.near(1e-4, 1e-3), atol=devices.near(1e-6, 1e-4))


@pytest.mark.devices
def test_threads_may_predict_at_once():
    """With the very same program, whose runs are launched and waited for in turn."""
    x = np.random.default_rng(3).normal(size=(60, 4)).astype("float32")
    with pyconv.device("cuda"):
        model = pyconv.Sequential([pyconv.Input((4,)), layers.Dense(5, "tanh")])
        expected, wrong = model.predict(x, batch_size=3, verbose=0), []

        def work(k):
            for i in range(4):
                order = (7 * np.arange(60) + k + i) % 60
                found = model.predict((x[order[i:i + 3]] for i in range(0, 60, 3)), verbose=0)
                if not np.array_equal(found, expected[order]):
                    wrong.append((k, i))
        threads = [threading.Thread(target=work, args=(k,)) for k in range(3)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert not wrong


@pytest.mark.skipif(threading.current_thread() is not threading.main_thread(), reason="signals go to the main thread")
def test_ctrl_c_in_the_iterable_s_code(monkeypatch):
    """The step that is under way is whole, and the interrupt comes after it."""
    monkeypatch.setattr(signal, "getsignal", lambda number: signal.default_int_handler)
    model = model_on("cuda")

    def source():
        for i, batch in enumerate(batches([3] * 4)):
            if i == 2:
                signal.raise_signal(signal.SIGINT)
            yield batch
    seen = Stop(None)
    with pyconv.device("cuda"), pytest.raises(KeyboardInterrupt):
        model.fit(source(), verbose=0, callbacks=[seen])
    assert len(seen.seen) == 2


@pytest.mark.devices
def test_bad_batches_are_errors_in_their_turn():
    model, seen = model_on("cuda"), Stop(None)
    good = batches([3] * 3)
    with pyconv.device("cuda"):
        for bad, error, text in (((X[:3], Y[:2]), ValueError, "x has 3 samples and y has 2"),
                                 ((X[:3], np.array(["a"] * 3)), TypeError, "y holds texts"),
                                 ((X[:3, :2], Y[:3]), ValueError, "expects shape"),
                                 ((X[:3], np.full((3, 1), np.nan, "float32")), ValueError, "y has NaN")):
            seen.seen.clear()
            with pytest.raises(error, match=text):
                model.fit([good[0], good[1], bad, good[2]], verbose=0, callbacks=[seen])
            assert len(seen.seen) == 2


def test_what_was_read_ahead_waits_for_its_turn():
    data = BatchData(generator(batches([3] * 3), None))
    epoch = data.epoch()
    next(epoch)
    ahead = data.look_ahead()
    assert data.look_ahead() is ahead
    again = BatchData(data.source)
    assert [x[0, 0] for x, _, _ in again.epoch()] == [X[3, 0], X[6, 0]]
    failing = BatchData(generator(batches([3] * 3), 1))
    epoch = failing.epoch()
    next(epoch)
    assert failing.look_ahead() is None
    with pytest.raises(Trouble):
        next(BatchData(failing.source).epoch())
