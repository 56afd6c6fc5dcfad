"""Callbacks that save a model while it is trained, and go on from what was saved."""

from __future__ import annotations

import json
import os
import shutil
import sys

from .callback import Callback
from .monitor import Monitor

__all__ = ["BackupAndRestore", "ModelCheckpoint"]


class _Every:
    """Counts batches: whether so many have passed since the last time."""

    def __init__(self, freq):
        if freq != "epoch" and (isinstance(freq, bool) or not isinstance(freq, int) or freq < 1):
            raise ValueError(f"save_freq={freq!r} must be 'epoch' or an int of at least 1, a number of "
                             f"batches.")
        self.freq, self.seen = freq, 0

    def batch(self) -> bool:
        if self.freq == "epoch":
            return False
        self.seen = (self.seen + 1) % self.freq
        return self.seen == 0


class ModelCheckpoint(Monitor):
    """Save the model, or its weights, while it is trained.

    Parameters
    ----------
    filepath: str or path
        Ends in ".pyconv" for models, in ".safetensors" for weights. May have fields of the epoch (from 1),
        the batch and the logs: ``"model-{epoch:02d}-{val_loss:.3f}.pyconv"``. Folders are made.
    monitor: str
        A key of the epoch's logs; default "val_loss".
    verbose: int
        1: say what is saved.
    save_best_only: bool
        Whether it is only saved when the metric is better than ever before; default False.
    save_weights_only: bool
        Whether `save_weights` is called in the place of `save`; default False.
    mode: str
        "min", "max" or "auto" (default): what is better; see `EarlyStopping`.
    save_freq: "epoch" or int
        After every epoch (default), or every so many batches.
    initial_value_threshold: float, optional
        What the metric has to be better than from the beginning.

    Raises
    ------
    ValueError
        For unknown modes, endings that do not fit, and fields that the logs do not have.
    """

    def __init__(self, filepath, monitor="val_loss", verbose=0, save_best_only=False, save_weights_only=False,
                 mode="auto", save_freq="epoch", initial_value_threshold=None):
        super().__init__(monitor, mode)
        self.filepath, self.verbose = os.fspath(filepath), verbose
        self.save_best_only, self.save_weights_only = bool(save_best_only), bool(save_weights_only)
        self.save_freq, self._every = save_freq, _Every(save_freq)
        self.best, self._epoch = initial_value_threshold, 0
        suffix = ".safetensors" if self.save_weights_only else ".pyconv"
        if not self.filepath.endswith(suffix):
            raise ValueError(f"ModelCheckpoint: filepath={self.filepath!r} must end in {suffix!r}, since "
                             f"save_weights_only={self.save_weights_only}.")

    def on_epoch_begin(self, epoch, logs=None):
        self._epoch = epoch

    def on_train_batch_end(self, batch, logs=None):
        if self._every.batch():
            self._save({"batch": batch + 1, **(logs or {})}, logs)

    def on_epoch_end(self, epoch, logs=None):
        if self.save_freq == "epoch":
            self._save(dict(logs or {}), logs)

    def _save(self, fields, logs):
        epoch = self._epoch + 1
        if self.save_best_only:
            value, before = self.value(logs), self.best
            if value is not None and not self.improved(value, before):
                if self.verbose:
                    print(f"Epoch {epoch}: {self.monitor} did not improve from {before}.")
                return
            self.best = before if value is None else value
        try:
            path = self.filepath.format(**{"epoch": epoch, **fields})
        except (KeyError, IndexError) as error:
            raise ValueError(f"ModelCheckpoint: filepath={self.filepath!r} has the field {error}, but there "
                             f"is only epoch, {', '.join(fields)}.") from None
        os.makedirs(os.path.dirname(os.path.abspath(path)), exist_ok=True)
        if self.save_weights_only:
            self.model.save_weights(path, overwrite=True)
        else:
            self.model.save(path, overwrite=True)
        if self.verbose:
            print(f"Epoch {epoch}: saved to {path}.")


class BackupAndRestore(Callback):
    """Keep the state of the training in a file; a `fit` that was cut short goes on where it was.

    The state is the weights, the optimizer (and further ones that the model has as attributes for a training step of
    its own), the states of random layers, and the generator that shuffles:
    with the same arguments and data, a training that was cut short and resumed ends with the same bits as one
    that was not. Exceptions are data that remember by themselves where they are (generators, and arrays with
    steps_per_epoch other than a pass). Other callbacks begin anew, `History` has the epochs since, and the
    metrics of an epoch that was resumed inside are those of its later batches.

    Parameters
    ----------
    backup_dir: str or path
        A folder for the file; it is made.
    save_freq: "epoch" or int
        After every epoch (default), or every so many batches.
    double_checkpoint: bool
        Whether the file before is kept as well, and read if the newer one is damaged; default False.
    delete_checkpoint: bool
        Whether the file is removed when the training has come to its end; default True.

    Raises
    ------
    ValueError
        For an empty backup_dir, other frequencies, models that are not built, and files that do not fit.
    """

    def __init__(self, backup_dir, save_freq="epoch", double_checkpoint=False, delete_checkpoint=True):
        super().__init__()
        if not os.fspath(backup_dir):
            raise ValueError("BackupAndRestore: backup_dir must not be empty.")
        self.backup_dir = os.fspath(backup_dir)
        self.save_freq, self._every = save_freq, _Every(save_freq)
        self.double_checkpoint, self.delete_checkpoint = bool(double_checkpoint), bool(delete_checkpoint)
        self.path = os.path.join(self.backup_dir, "latest.safetensors")
        self.previous = self.path + ".bkp"
        self._epoch, self._generator, self._outer = 0, None, None

    def on_train_begin(self, logs=None):
        self._outer = sys.exc_info()[1]
        self._every = _Every(self.save_freq)
        if not self.model.built:
            raise ValueError(f"BackupAndRestore: the model {self.model.name!r} is not built yet. Call it on "
                             f"data, or its build(input_shape), before fit().")
        if os.path.exists(self.path):
            try:
                self._restore(self.path)
            except ValueError:
                if not os.path.exists(self.previous):
                    raise
                self._restore(self.previous)

    def on_epoch_begin(self, epoch, logs=None):
        self._epoch, self._generator = epoch, _random_state()

    def on_train_batch_end(self, batch, logs=None):
        if self._every.batch():
            # The order of the epoch is drawn again, from the state before it, and its first batches are left
            # out.
            self._save(self._epoch, batch + 1, self._generator)

    def on_epoch_end(self, epoch, logs=None):
        if self.save_freq == "epoch":
            self._save(epoch + 1, 0, _random_state())

    def on_train_end(self, logs=None):
        cut_short = sys.exc_info()[1] is not self._outer
        if self.delete_checkpoint and not cut_short:
            for path in (self.path, self.previous):
                if os.path.exists(path):
                    os.remove(path)
            if os.path.isdir(self.backup_dir) and not os.listdir(self.backup_dir):
                os.rmdir(self.backup_dir)

    def _save(self, epoch, batch, generator):
        from ..saving.names import named_variables
        from ..saving.safetensors import save_file
        from ..saving.training_state import optimizer_arrays, optimizers_of
        from ..saving.random_state import draws_state
        # The order of samples is that of the epoch, numbers without a seed go on from where they are.
        generator = {**generator, "draws": draws_state()}
        os.makedirs(self.backup_dir, exist_ok=True)
        arrays = {f"model/{name}": v.peek() for name, v in named_variables(self.model).items()}
        for attribute, optimizer in optimizers_of(self.model).items():
            state = optimizer_arrays(optimizer, self.model)
            arrays.update({f"{attribute}/{name}": array for name, array in state.items()})
        if self.double_checkpoint and os.path.exists(self.path):
            shutil.copyfile(self.path, self.previous)
        save_file(arrays, self.path, {"epoch": str(epoch), "batch": str(batch),
                                      "generator": json.dumps(generator)})

    def _restore(self, path):
        from ..saving.matching import assign_all, check_all
        from ..saving.names import named_variables
        from ..saving.random_state import set_random_state
        from ..saving.safetensors import load_file, read_metadata
        from ..saving.training_state import optimizers_of, restore_optimizer
        arrays, metadata, label = load_file(path), read_metadata(path), f"the file {path!r}"
        try:
            epoch, batch = int(metadata["epoch"]), int(metadata["batch"])
            state = json.loads(metadata["generator"])
        except (KeyError, ValueError, RecursionError):
            raise ValueError(f"BackupAndRestore: {label} is no state of a training.") from None
        optimizers = optimizers_of(self.model)
        parts = {kind: {name.removeprefix(f"{kind}/"): a for name, a in arrays.items() if name.startswith(f"{kind}/")}
                 for kind in ("model", *optimizers)}
        variables, before = named_variables(self.model), _random_state()
        check_all(parts["model"], variables, label)       # all is compared before anything is changed
        set_random_state(state)
        try:
            for attribute, optimizer in optimizers.items():
                if parts[attribute]:
                    restore_optimizer(optimizer, self.model, parts[attribute], label)
        except ValueError:
            set_random_state(before)
            raise
        assign_all(parts["model"], variables, label)
        self.model._initial_epoch, self.model._initial_batch = epoch, batch


def _random_state() -> dict:
    from ..saving.random_state import get_random_state
    return get_random_state()
