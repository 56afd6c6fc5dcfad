"""Callbacks that save, and go on from what was saved: the same bits as without an interruption."""

import os

import numpy as np
import pytest

import pyconv
import pyconv.saving
from pyconv import layers, optimizers
from pyconv.callbacks import BackupAndRestore, Callback, ModelCheckpoint
from pyconv.utils import set_random_seed

rng = np.random.default_rng(1)
X = rng.normal(size=(20, 3)).astype("float32")
Y = rng.normal(size=(20, 1)).astype("float32")


def make(optimizer=None, seed=0):
    set_random_seed(seed)
    model = pyconv.Sequential([pyconv.Input((3,)), layers.Dense(4, activation="relu"), layers.Dropout(0.25),
                               layers.Dense(1)])
    model.compile(optimizer or optimizers.Adam(0.05), "mse", metrics=["mae"])
    return model


class Stop(Callback):
    """Ends the process's training as a crash would."""

    def __init__(self, epoch, batch=None):
        super().__init__()
        self.at, self.epoch = (epoch, batch), 0

    def on_epoch_begin(self, epoch, logs=None):
        self.epoch = epoch

    def on_train_batch_end(self, batch, logs=None):
        if (self.epoch, batch) == self.at:
            raise KeyboardInterrupt

    def on_epoch_end(self, epoch, logs=None):
        if (epoch, None) == self.at:
            raise KeyboardInterrupt


OPTIMIZERS = {"adam": lambda: optimizers.Adam(0.05, use_ema=True),
              "schedule": lambda: optimizers.SGD(optimizers.schedules.CosineDecay(0.1, 25), momentum=0.9),
              "nadam": lambda: optimizers.Nadam(0.05, gradient_accumulation_steps=3),
              "rmsprop": lambda: optimizers.RMSprop(0.01, momentum=0.5, centered=True)}


@pytest.mark.parametrize("name", OPTIMIZERS)
@pytest.mark.parametrize(("save_freq", "stop"), [
    ("epoch", (2, None)), ("epoch", (2, 1)), (2, (2, 3)), (5, (1, 4)), (3, (3, 2)), (1, (4, 4))])
def test_a_resumed_training_has_the_same_bits(tmp_path, name, save_freq, stop):
    arguments = {"batch_size": 4, "epochs": 5, "verbose": 0}
    whole = make(OPTIMIZERS[name]())
    whole.fit(X, Y, **arguments)
    folder = tmp_path / "backup"
    cut = make(OPTIMIZERS[name]())
    with pytest.raises(KeyboardInterrupt):
        cut.fit(X, Y, callbacks=[BackupAndRestore(folder, save_freq), Stop(*stop)], **arguments)
    assert os.listdir(folder) == ["latest.safetensors"]
    resumed = make(OPTIMIZERS[name](), seed=7)               # another process: nothing is the same by itself
    history = resumed.fit(X, Y, callbacks=[BackupAndRestore(folder, save_freq)], **arguments)
    for a, b in zip(whole.get_weights(), resumed.get_weights(), strict=True):
        np.testing.assert_array_equal(a, b)
    for a, b in zip(whole.optimizer.variables, resumed.optimizer.variables, strict=True):
        np.testing.assert_array_equal(a.numpy(), b.numpy())
    assert all(epoch >= stop[0] - 1 for epoch in history.epoch)
    assert not folder.exists()                               # the training came to its end


def test_a_backup_may_be_kept(tmp_path):
    model = make()
    model.fit(X, Y, epochs=2, verbose=0, callbacks=[BackupAndRestore(tmp_path, delete_checkpoint=False,
                                                                     double_checkpoint=True)])
    assert sorted(os.listdir(tmp_path)) == ["latest.safetensors", "latest.safetensors.bkp"]
    weights = model.get_weights()
    again = make(seed=3)
    history = again.fit(X, Y, epochs=2, verbose=0, callbacks=[BackupAndRestore(tmp_path,
                                                                               delete_checkpoint=False)])
    assert history.epoch == []
    for a, b in zip(weights, again.get_weights(), strict=True):
        np.testing.assert_array_equal(a, b)


def test_a_damaged_backup(tmp_path):
    backup = BackupAndRestore(tmp_path, double_checkpoint=True, delete_checkpoint=False)
    make().fit(X, Y, epochs=3, verbose=0, callbacks=[backup])
    with open(backup.path, "r+b") as file:
        file.truncate(100)
    history = make().fit(X, Y, epochs=3, verbose=0, callbacks=[BackupAndRestore(tmp_path,
                                                                                delete_checkpoint=False)])
    assert history.epoch == [2]
    os.remove(backup.previous)
    with open(backup.path, "r+b") as file:
        file.truncate(100)
    with pytest.raises(ValueError, match="latest.safetensors"):
        make().fit(X, Y, epochs=3, verbose=0, callbacks=[BackupAndRestore(tmp_path)])


def test_a_backup_of_another_model(tmp_path):
    make().fit(X, Y, verbose=0, callbacks=[BackupAndRestore(tmp_path, delete_checkpoint=False)])
    other = pyconv.Sequential([pyconv.Input((3,)), layers.Dense(2)])
    other.compile("sgd", "mse")
    with pytest.raises(ValueError, match="does not fit the model"):
        other.fit(X, Y[:, [0, 0]], verbose=0, callbacks=[BackupAndRestore(tmp_path)])


def test_checkpoints_of_every_epoch(tmp_path):
    model = make()
    model.fit(X, Y, epochs=2, verbose=0, validation_data=(X, Y),
              callbacks=[ModelCheckpoint(tmp_path / "new" / "m-{epoch:02d}-{val_loss:.2f}.pyconv"),
                         ModelCheckpoint(tmp_path / "w-{epoch}.safetensors", save_weights_only=True)])
    names = sorted(os.listdir(tmp_path / "new"))
    assert [n[:5] for n in names] == ["m-01-", "m-02-"]
    loaded = pyconv.saving.load_model(tmp_path / "new" / names[1])
    np.testing.assert_array_equal(loaded.predict(X), model.predict(X))
    other = make(seed=5)
    other.load_weights(tmp_path / "w-2.safetensors")
    np.testing.assert_array_equal(other.predict(X), model.predict(X))


def test_only_the_best(tmp_path, capsys):
    path = tmp_path / "best.safetensors"
    callback = ModelCheckpoint(path, save_best_only=True, save_weights_only=True, verbose=1)
    model = make()
    callback.set_model(model)
    for epoch, value in enumerate([3.0, 4.0, np.nan, 1.0, 2.0]):
        model.set_weights([np.full(w.shape, epoch, "float32") for w in model.get_weights()])
        callback.on_epoch_begin(epoch)
        callback.on_epoch_end(epoch, {"val_loss": value})
    other = make()
    other.load_weights(path)
    assert callback.best == 1 and all((w == 3).all() for w in other.get_weights())
    out = capsys.readouterr().out
    assert out.count("saved to") == 2 and "Epoch 2: val_loss did not improve from 3.0." in out
    strict = ModelCheckpoint(tmp_path / "none.safetensors", save_best_only=True, save_weights_only=True,
                             initial_value_threshold=0.5)
    strict.set_model(model)
    strict.on_epoch_end(0, {"val_loss": 1.0})
    assert not (tmp_path / "none.safetensors").exists()
    with pytest.warns(UserWarning, match="ModelCheckpoint waits for 'val_loss'"):
        strict.on_epoch_end(0, {"loss": 1.0})


def test_checkpoints_every_so_many_batches(tmp_path):
    callback = ModelCheckpoint(tmp_path / "{epoch}-{batch}.safetensors", save_weights_only=True, save_freq=3)
    make().fit(X, Y, batch_size=4, epochs=2, verbose=0, callbacks=[callback])
    assert sorted(os.listdir(tmp_path)) == ["1-3.safetensors", "2-1.safetensors", "2-4.safetensors"]


def test_larger_is_better_for_a_metric_that_says_so():
    callback = ModelCheckpoint("x.pyconv", monitor="val_r2_score")
    model = make()
    model.compile("sgd", "mse", metrics=[pyconv.metrics.R2Score(),
                                         pyconv.metrics.MeanAbsoluteError("acc_error")])
    model.fit(X, Y, verbose=0)
    callback.set_model(model)
    assert callback.improved(1.0, 0.5) and not callback.improved(0.5, 1.0)
    callback.monitor = "acc_error"
    assert callback.improved(0.5, 1.0)


@pytest.mark.parametrize(("make_one", "message"), [
    (lambda: ModelCheckpoint("a.keras"), r"must end in '.pyconv'"),
    (lambda: ModelCheckpoint("a.pyconv", save_weights_only=True), r"must end in '.safetensors'"),
    (lambda: ModelCheckpoint("a.pyconv", save_freq=0), "save_freq=0 must be 'epoch' or an int"),
    (lambda: ModelCheckpoint("a.pyconv", mode="up"), "mode='up' is not known"),
    (lambda: BackupAndRestore(""), "must not be empty"),
    (lambda: BackupAndRestore("a", save_freq="batch"), "save_freq='batch'")])
def test_errors(make_one, message):
    with pytest.raises(ValueError, match=message):
        make_one()


def test_errors_in_a_training(tmp_path):
    with pytest.raises(ValueError, match="has the field 'val_acc', but there is only epoch, loss"):
        make().fit(X, Y, verbose=0, callbacks=[ModelCheckpoint(tmp_path / "{val_acc}.pyconv")])
    model = pyconv.Sequential([layers.Dense(1)])
    model.compile("sgd", "mse")
    callback = BackupAndRestore(tmp_path)
    callback.set_model(model)
    with pytest.raises(ValueError, match="is not built yet"):
        callback.on_train_begin()
