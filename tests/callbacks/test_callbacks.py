"""Callbacks: which hooks are called, with what, and the ready-made ones."""

import numpy as np
import pytest

import pyconv
from pyconv import layers
from pyconv.callbacks import (
    Callback,
    CallbackList,
    EarlyStopping,
    History,
    LambdaCallback,
    ProgbarLogger,
    TerminateOnNaN,
)
from pyconv.callbacks.callback import HOOKS
from pyconv.utils import set_random_seed

rng = np.random.default_rng(0)
X = rng.normal(size=(8, 3)).astype("float32")
Y = rng.normal(size=(8, 1)).astype("float32")


def make(rate=0.1):
    set_random_seed(0)
    model = pyconv.Sequential([pyconv.Input((3,)), layers.Dense(1)])
    model.compile(pyconv.optimizers.SGD(rate), "mse")
    return model


class Recorder(Callback):
    def __init__(self):
        super().__init__()
        self.calls = []


def _record(name):
    def hook(self, *args):
        self.calls.append((name, *args))
    return hook


for _name in HOOKS:
    setattr(Recorder, _name, _record(_name))


def test_all_hooks_are_called_in_order():
    recorder, model = Recorder(), make()
    model.fit(X, Y, batch_size=4, validation_data=(X, Y), validation_batch_size=8, callbacks=[recorder],
              verbose=0)
    assert [c[0] for c in recorder.calls] == [
        "on_train_begin", "on_epoch_begin", "on_train_batch_begin", "on_train_batch_end",
        "on_train_batch_begin",
        "on_train_batch_end", "on_test_begin", "on_test_batch_begin", "on_test_batch_end", "on_test_end",
        "on_epoch_end", "on_train_end"]
    assert recorder.calls[1] == ("on_epoch_begin", 0, {})
    assert recorder.calls[4][1] == 1 and type(recorder.calls[3][2]["loss"]) is float
    assert set(recorder.calls[-1][1]) == {"loss", "val_loss"}
    assert recorder.model is model and recorder.params == {"verbose": 0, "epochs": 1, "steps": 2}
    recorder.calls.clear()
    model.evaluate(X, Y, callbacks=recorder, verbose=0)
    assert [c[0] for c in recorder.calls] == ["on_test_begin", "on_test_batch_begin", "on_test_batch_end",
                                              "on_test_end"]
    recorder.calls.clear()
    model.predict(X, callbacks=recorder, verbose=0)
    assert [c[0] for c in recorder.calls] == ["on_predict_begin", "on_predict_batch_begin",
                                              "on_predict_batch_end", "on_predict_end"]


def test_only_overridden_hooks_are_kept():
    class One(Callback):
        def on_batch_end(self, batch, logs=None):
            pass
    hooks = CallbackList([One(), Callback()]).hooks
    assert [len(h) for h in hooks.values()] == [name == "on_train_batch_end" for name in hooks]


def test_callback_list_is_what_keras_has():
    seen = []
    group = CallbackList(LambdaCallback(on_epoch_end=lambda epoch, logs: seen.append(epoch)),
                         add_history=True)
    group.on_train_begin()
    group.on_epoch_end(3, {"loss": 1.0})
    assert seen == [3] and group.history.history == {"loss": [1.0]}
    history = make().fit(X, Y, verbose=0, callbacks=group)
    assert history is None or isinstance(history, History)


def test_lambda_callback():
    seen = []
    make().fit(X, Y, epochs=2, verbose=0, callbacks=[LambdaCallback(
        on_epoch_end=lambda epoch, logs: seen.append(epoch), on_train_end=lambda logs: seen.append("end"))])
    assert seen == [0, 1, "end"]
    with pytest.raises(TypeError, match="no hook 'on_epoch_ends'"):
        LambdaCallback(on_epoch_ends=print)
    with pytest.raises(TypeError, match="on_epoch_end must be a function"):
        LambdaCallback(on_epoch_end=3)


def test_on_train_end_is_called_after_an_error():
    seen = []

    def fail(epoch, logs):
        raise RuntimeError("stop")
    with pytest.raises(RuntimeError, match="stop"):
        make().fit(X, Y, verbose=0, callbacks=[LambdaCallback(on_epoch_end=fail,
                                                              on_train_end=lambda logs: seen.append(logs))])
    assert len(seen) == 1 and "loss" in seen[0]


def run_epochs(callback, values, name="val_loss"):
    """How many epochs a callback lets pass, given these values of a metric."""
    model = make()
    callback.set_model(model)
    callback.on_train_begin()
    for epoch, value in enumerate(values):
        model.set_weights([np.full(w.shape, epoch, "float32") for w in model.get_weights()])
        callback.on_epoch_end(epoch, {name: value})
        if model.stop_training:
            break
    callback.on_train_end()
    return epoch + 1, model


CASES = [({"patience": 2}, [3, 2, 2.5, 2.6, 1, 1], 4), ({}, [3, 2, 1, 1, 0], 4),
         ({"min_delta": 0.5}, [3, 2.8, 1], 2),
         ({"baseline": 1.0, "patience": 2}, [3, 3, 0], 2), ({"baseline": 1.0, "patience": 2}, [3, 2, 0], 3),
         ({"start_from_epoch": 2}, [1, 2, 3, 2, 4, 1], 5), ({"mode": "max", "patience": 1}, [1, 2, 1, 3], 3),
         ({"monitor": "val_accuracy"}, [0.5, 0.6, 0.5, 0.7], 3), ({}, [np.nan, 1.0, np.nan, 0.5], 3)]


@pytest.mark.parametrize(("arguments", "values", "epochs"), CASES)
def test_early_stopping(arguments, values, epochs):
    callback = EarlyStopping(**arguments)
    assert run_epochs(callback, values, arguments.get("monitor", "val_loss"))[0] == epochs


class Bare:
    """A model as far as a callback looks at it: its weight is the number of the epoch."""

    metrics, stop_training, optimizer, epoch = (), False, None, 0

    def get_weights(self):
        return [np.full(2, self.epoch)]

    def set_weights(self, weights):
        self.weights = float(weights[0][0])


@pytest.mark.peers
@pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")
@pytest.mark.parametrize("restore", [False, True])
@pytest.mark.parametrize(("arguments", "values"), [
    *[(arguments, values) for arguments, values, _ in CASES if not np.isnan(values).any()],
    ({"patience": 1, "baseline": 0.5}, [3, 2, 1, 0.4, 0.6, 0.7]),
    ({"patience": 3, "min_delta": 0.2}, [3, 2.9, 2.8, 2.7, 2]),
    ({"mode": "max", "min_delta": 0.5, "patience": 1}, [0, 0.4, 0.6, 0.7, 0.8]),
    ({"start_from_epoch": 3, "patience": 1}, [9, 8, 7, 6, 7, 8, 5])])
def test_early_stopping_as_keras_does(arguments, values, restore):
    """The epoch that is the last, and the weights at the end."""
    keras = pytest.importorskip("keras")
    name, ends = arguments.get("monitor", "val_loss"), []
    for library in (pyconv, keras):
        model, callback = Bare(), library.callbacks.EarlyStopping(**{"mode": "min", **arguments},
                                                                  restore_best_weights=restore)
        callback.set_model(model)
        callback.on_train_begin()
        for epoch, value in enumerate(values):
            model.epoch = epoch
            callback.on_epoch_end(epoch, {name: value})
            if model.stop_training:
                break
        callback.on_train_end()
        ends.append((epoch, model.stop_training, getattr(model, "weights", None), callback.best_epoch))
    assert ends[0] == ends[1]


def test_early_stopping_brings_the_best_weights_back():
    callback = EarlyStopping(patience=2, restore_best_weights=True)
    epochs, model = run_epochs(callback, [3, 1, 2, 2, 2])
    assert epochs == 4 and callback.best_epoch == 1 and callback.best == 1
    assert all((w == 1).all() for w in model.get_weights())


def test_early_stopping_without_its_metric():
    with pytest.warns(UserWarning, match="waits for 'val_loss', but the epoch has only loss"):
        make().fit(X, Y, verbose=0, callbacks=[EarlyStopping()])
    with pytest.raises(ValueError, match="mode='larger' is not known"):
        EarlyStopping(mode="larger")


def test_early_stopping_says_when(capsys):
    run_epochs(EarlyStopping(verbose=1), [1, 2])
    assert capsys.readouterr().out == "Epoch 2: stopped, val_loss was best in epoch 1.\n"


@pytest.mark.filterwarnings("ignore:overflow:RuntimeWarning", "ignore:invalid:RuntimeWarning")
def test_terminate_on_nan(capsys):
    history = make(1e30).fit(X, Y, epochs=50, verbose=0, callbacks=[TerminateOnNaN()])
    assert len(history.epoch) < 50 and "the training ends" in capsys.readouterr().out


# ---- what is printed

def test_a_line_per_epoch(capsys):
    make().fit(X, Y, epochs=2, validation_data=(X, Y), verbose=2)
    lines = capsys.readouterr().out.splitlines()
    assert [lines[0], lines[2]] == ["Epoch 1/2", "Epoch 2/2"]
    assert lines[1].startswith("1/1 0s ") and "/step - loss: " in lines[1] and " - val_loss: " in lines[1]


def test_without_a_terminal_the_bar_is_one_line(capsys):
    make().fit(X, Y, batch_size=1, verbose=1)
    out = capsys.readouterr().out
    assert out.count("\n") == 1 and "\r" not in out and out.startswith("8/8 ━━━")


def test_silence(capsys):
    model = make()
    model.fit(X, Y, verbose=0), model.evaluate(X, Y, verbose=0), model.predict(X)
    assert capsys.readouterr().out == ""


def test_the_bar_of_evaluate_and_predict(capsys):
    model = make()
    model.evaluate(X, Y)
    assert "1/1 ━" in capsys.readouterr().out
    model.predict(X, verbose=1)
    assert "1/1 ━" in capsys.readouterr().out


def test_an_own_logger_takes_the_place_of_the_default(capsys):
    make().fit(X, Y, verbose=1, callbacks=[ProgbarLogger()])
    assert capsys.readouterr().out.count("1/1") == 1
