"""Callbacks that change the learning rate, write logs down, and exchange weights with their averages."""

import os
import sys
import types

import numpy as np
import pytest

import pyconv
from pyconv import layers, optimizers
from pyconv.callbacks import (
    Callback,
    CSVLogger,
    EarlyStopping,
    LearningRateScheduler,
    ReduceLROnPlateau,
    SwapEMAWeights,
    TensorBoard,
    TerminateOnNaN,
)
from pyconv.utils import set_random_seed

rng = np.random.default_rng(0)
X = rng.normal(size=(8, 3)).astype("float32")
Y = rng.normal(size=(8, 1)).astype("float32")


def make(optimizer=None, rate=0.5):
    set_random_seed(0)
    model = pyconv.Sequential([pyconv.Input((3,)), layers.Dense(1)])
    model.compile(optimizer or optimizers.SGD(rate), "mse")
    return model


# ---- learning rates

def test_learning_rate_scheduler(capsys):
    model = make()
    history = model.fit(X, Y, epochs=3, verbose=0,
                        callbacks=[LearningRateScheduler(lambda epoch, rate: rate / 2, verbose=1)])
    assert history.history["learning_rate"] == [0.25, 0.125, 0.0625]
    assert capsys.readouterr().out.splitlines()[1] == "Epoch 2: the learning rate is 0.125."
    history = model.fit(X, Y, epochs=2, verbose=0,
                        callbacks=[LearningRateScheduler(lambda epoch: 0.5 ** epoch)])
    assert history.history["learning_rate"] == [1.0, 0.5]


def test_learning_rate_scheduler_errors():
    with pytest.raises(TypeError, match="must be a function, got 3"):
        LearningRateScheduler(3)
    with pytest.raises(TypeError, match="gave 'fast' for epoch 0"):
        make().fit(X, Y, verbose=0, callbacks=[LearningRateScheduler(lambda epoch: "fast")])
    scheduled = make(optimizers.SGD(optimizers.schedules.CosineDecay(0.1, 5)))
    with pytest.raises(TypeError, match="follows the schedule"):
        scheduled.fit(X, Y, verbose=0, callbacks=[LearningRateScheduler(lambda epoch: 0.1)])


CASES = [({"patience": 1, "factor": 0.5}, [3, 3, 2, 2, 2]), ({"patience": 2, "factor": 0.5}, [3, 3, 3, 3, 3,
                                                                                              3]),
         ({"patience": 1, "factor": 0.5, "cooldown": 2}, [3] * 7),
         ({"patience": 1, "factor": 0.1, "min_lr": 0.03}, [3] * 5),
         ({"patience": 1, "factor": 0.5, "min_delta": 0.5}, [3, 2.8, 2.6, 1]),
         ({"patience": 1, "factor": 0.5, "mode": "max"}, [1, 2, 1, 3, 2])]


@pytest.mark.peers
@pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")
@pytest.mark.parametrize(("arguments", "values"), CASES)
def test_reduce_on_plateau_as_keras_does(arguments, values):
    keras = pytest.importorskip("keras")
    rates = []
    for module, optimizer in ((pyconv, optimizers.SGD(0.5)), (keras, keras.optimizers.SGD(0.5))):
        callback = module.callbacks.ReduceLROnPlateau(**arguments)
        model = types.SimpleNamespace(optimizer=optimizer, metrics=[])
        callback.set_model(model)
        callback.on_train_begin()
        rates.append([])
        for epoch, value in enumerate(values):
            callback.on_epoch_end(epoch, {"val_loss": float(value)})
            rates[-1].append(float(np.asarray(optimizer.learning_rate)))
    np.testing.assert_allclose(rates[0], rates[1], rtol=1e-6)


def test_reduce_on_plateau_in_a_training(capsys):
    history = make(rate=0.0).fit(X, Y, epochs=3, verbose=0, callbacks=[
        ReduceLROnPlateau("loss", patience=1, min_lr=0.0)])
    assert history.history["learning_rate"] == [0, 0, 0]
    model = make(rate=1e-9)
    model.fit(X, Y, epochs=4, verbose=0, callbacks=[ReduceLROnPlateau("loss", patience=2, verbose=1,
                                                                      factor=0.5)])
    assert capsys.readouterr().out.count("loss does not improve, the learning rate falls to 4.99") == 1
    with pytest.raises(ValueError, match="factor=1 must be from 0 to below 1"):
        ReduceLROnPlateau(factor=1)


# ---- logs

def test_csv(tmp_path):
    path, model = tmp_path / "log.csv", make()
    history = model.fit(X, Y, epochs=2, verbose=0, validation_data=(X, Y),
                        callbacks=[CSVLogger(path)]).history
    lines = path.read_text().splitlines()
    assert lines[0] == "epoch,loss,val_loss"
    np.testing.assert_array_equal([[float(v) for v in line.split(",")] for line in lines[1:]],
                                  [[i, history["loss"][i], history["val_loss"][i]] for i in range(2)])
    model.fit(X, Y, epochs=3, initial_epoch=2, verbose=0, callbacks=[CSVLogger(path, append=True)])
    lines = path.read_text().splitlines()
    assert len(lines) == 4 and lines[3].startswith("2,") and lines[3].endswith(",NA")
    model.fit(X, Y, verbose=0, callbacks=[CSVLogger(path, separator=";")])
    lines = path.read_text().splitlines()
    assert lines[0] == "epoch;loss;val_loss" and len(lines) == 2


class Writer:
    """Stands for tensorboardX.SummaryWriter."""

    made: list = []

    def __init__(self, folder):
        self.folder, self.scalars, self.histograms, self.closed = folder, [], [], False
        Writer.made.append(self)

    def add_scalar(self, name, value, step):
        self.scalars.append((name, step))

    def add_histogram(self, name, value, step):
        self.histograms.append((name, np.shape(value), step))

    def close(self):
        self.closed = True


def test_tensorboard(monkeypatch, tmp_path):
    monkeypatch.setitem(sys.modules, "tensorboardX", types.SimpleNamespace(SummaryWriter=Writer))
    Writer.made = []
    callback = TensorBoard(tmp_path, histogram_freq=2, update_freq=2, write_steps_per_second=True)
    make().fit(X, Y, batch_size=2, epochs=2, verbose=0, validation_data=(X, Y), callbacks=[callback])
    writers = {os.path.basename(w.folder): w for w in Writer.made}
    assert set(writers) == {"train", "validation"} and all(w.closed for w in Writer.made)
    assert writers["validation"].scalars == [("epoch_loss", 0), ("epoch_loss", 1)]
    assert [s for s in writers["train"].scalars if s[0].startswith("batch")] == [("batch_loss",
                                                                                  n) for n in (2, 4, 6, 8)]
    assert ("epoch_learning_rate", 1) in writers["train"].scalars
    assert ("epoch_steps_per_second", 0) in writers["train"].scalars
    assert [(h[1], h[2]) for h in writers["train"].histograms] == [((3, 1), 0), ((1,), 0)]


def records(path):
    """The payloads of an event file: length (8 bytes), checksum (4), payload, checksum (4), one after the other."""
    data, at, found = path.read_bytes(), 0, []
    while at < len(data):
        length = int.from_bytes(data[at:at + 8], "little")
        found.append(data[at + 12:at + 12 + length])
        at += 16 + length
    assert at == len(data)
    return found


def test_tensorboard_writes_event_files(tmp_path):
    """With the package itself: the names and, as 4 bytes each, the values are in the files."""
    pytest.importorskip("tensorboardX")
    history = make().fit(X, Y, epochs=2, verbose=0, validation_data=(X, Y),
                         callbacks=[TensorBoard(tmp_path, histogram_freq=1)]).history
    for folder, name, key in (("train", "epoch_loss", "loss"), ("train", "epoch_learning_rate", None),
                              ("validation", "epoch_loss", "val_loss")):
        (path,) = (tmp_path / folder).iterdir()
        events = [event for event in records(path) if name.encode() in event]
        assert len(events) == 2
        for event, value in zip(events, history[key] if key else [0.5, 0.5], strict=True):
            assert np.float32(value).tobytes() in event
    assert any(b"kernel/histogram" in event for event in records(next((tmp_path / "train").iterdir())))


def test_tensorboard_errors(monkeypatch):
    monkeypatch.setitem(sys.modules, "tensorboardX", None)
    with pytest.raises(ImportError, match="needs the package tensorboardX.*pip install"):
        TensorBoard()
    with pytest.raises(ValueError, match="profile_batch=2 is not available"):
        TensorBoard(profile_batch=2)
    with pytest.raises(ValueError, match="update_freq='step' must be"):
        TensorBoard(update_freq="step")


# ---- averages

class Watch(Callback):
    """The weights at the ends of batches, evaluations and epochs."""

    def __init__(self):
        super().__init__()
        self.seen = {"batch": [], "test": [], "epoch": []}

    def _see(self, what):
        self.seen[what].append(self.model.get_weights()[0].copy())

    def on_train_batch_end(self, batch, logs=None):
        self._see("batch")

    def on_test_batch_end(self, batch, logs=None):
        self._see("test")

    def on_epoch_end(self, epoch, logs=None):
        self._see("epoch")


@pytest.mark.parametrize("swap_on_epoch", [False, True])
@pytest.mark.parametrize("stop", [False, True])
def test_averages_stand_in_for_the_weights(swap_on_epoch, stop):
    plain, watch = make(optimizers.SGD(0.1)), Watch()
    plain.fit(X, Y, batch_size=4, epochs=3, verbose=0, callbacks=[watch], shuffle=False)
    expected, average = watch.seen["batch"], None
    averages = []
    for weight in expected:
        average = weight if average is None else 0.5 * average + 0.5 * weight
        averages.append(average)
    model, watch = make(optimizers.SGD(0.1, use_ema=True, ema_momentum=0.5)), Watch()
    after = [EarlyStopping("loss", mode="max", patience=1)] if stop else []
    model.fit(X, Y, batch_size=4, epochs=3, verbose=0, shuffle=False, validation_data=(X, Y),
              callbacks=[SwapEMAWeights(swap_on_epoch), watch, *after])
    epochs = len(watch.seen["epoch"])
    assert epochs == (2 if stop else 3)
    np.testing.assert_allclose(watch.seen["batch"], expected[:2 * epochs], rtol=1e-5)
    np.testing.assert_allclose(watch.seen["test"][::2], averages[1:2 * epochs:2], rtol=1e-5)
    np.testing.assert_allclose(watch.seen["epoch"], (averages if swap_on_epoch else expected)[1:2 * epochs:2],
                               rtol=1e-5)
    np.testing.assert_allclose(model.get_weights()[0], averages[2 * epochs - 1], rtol=1e-5)
    np.testing.assert_array_equal(model.evaluate(X, Y, verbose=0),
                                  model.evaluate(X, Y, verbose=0, callbacks=[SwapEMAWeights()]))


def test_fit_ends_with_the_averages():
    model, watch = make(optimizers.SGD(0.1, use_ema=True, ema_momentum=0.5)), Watch()
    model.fit(X, Y, batch_size=8, epochs=2, verbose=0, callbacks=[watch], shuffle=False)
    np.testing.assert_allclose(model.get_weights()[0], sum(watch.seen["batch"]) / 2, rtol=1e-5)


def test_averages_need_an_optimizer_that_keeps_them():
    with pytest.raises(ValueError, match="use_ema=True"):
        make().fit(X, Y, verbose=0, callbacks=[SwapEMAWeights()])


def test_loss_scale_and_accumulation_in_a_training():
    plain, scaled = make(), make(optimizers.SGD(0.5, loss_scale_factor=8.0))
    gathered = make(optimizers.SGD(0.5, gradient_accumulation_steps=2))
    for model, size in ((plain, 8), (scaled, 8), (gathered, 4)):
        model.fit(X, Y, batch_size=size, epochs=3, verbose=0, shuffle=False)
    for other in (scaled, gathered):
        for a, b in zip(plain.get_weights(), other.get_weights(), strict=True):
            np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-6)


@pytest.mark.filterwarnings("ignore:overflow:RuntimeWarning", "ignore:invalid:RuntimeWarning")
def test_terminate_on_nan_may_raise():
    with pytest.raises(RuntimeError, match="the loss is"):
        make(rate=1e30).fit(X, Y, epochs=50, verbose=0, callbacks=[TerminateOnNaN(raise_error=True)])


def test_the_default_optimizer_is_that_of_keras():
    model = make()
    model.compile(loss="mse")
    assert type(model.optimizer) is optimizers.RMSprop


def test_a_metric_with_several_values(capsys, tmp_path):
    labels = np.eye(3, dtype="float32")[rng.integers(0, 3, 8)]
    model = pyconv.Sequential([pyconv.Input((3,)), layers.Dense(3, activation="softmax")])
    model.compile("sgd", "mse", metrics=[pyconv.metrics.F1Score()])
    history = model.fit(X, labels, epochs=2, verbose=2, callbacks=[CSVLogger(tmp_path / "log.csv")]).history
    assert [len(scores) for scores in history["f1_score"]] == [3, 3]
    assert f"f1_score: {np.mean(history['f1_score'][-1]):.4f}" in capsys.readouterr().out
    assert model.evaluate(X, labels, verbose=0, return_dict=True)["f1_score"] == pytest.approx(
        model.test_on_batch(X, labels)[1])
    assert (tmp_path / "log.csv").read_text().count("[") == 2
