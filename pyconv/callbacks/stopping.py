"""Callbacks that end a training early."""

from __future__ import annotations

import math

from .callback import Callback
from .monitor import Monitor

__all__ = ["EarlyStopping", "TerminateOnNaN"]


class EarlyStopping(Monitor):
    """End the training when a metric has stopped to improve.

    Parameters
    ----------
    monitor: str
        A key of the epoch's logs; default "val_loss".
    min_delta: float
        A smaller change counts as none; default 0.
    patience: int
        Epochs without improvement that are waited for; default 0.
    verbose: int
        1: say when the training was ended.
    mode: str
        What is better: "min", "max", or "auto" (the default): what the metric of that name says of itself;
        otherwise "max" for names with "acc", "auc", "precision", "recall" and their like, "min" for the rest.
    baseline: float, optional
        The value to be better than from the beginning on.
    restore_best_weights: bool
        Whether the model gets the weights of its best epoch at the end of the training, however it ends.
    start_from_epoch: int
        Epochs before this one are not judged; default 0.

    Raises
    ------
    ValueError
        For an unknown mode.
    """

    def __init__(self, monitor="val_loss", min_delta=0, patience=0, verbose=0, mode="auto", baseline=None,
                 restore_best_weights=False, start_from_epoch=0):
        super().__init__(monitor, mode, min_delta)
        self.patience, self.verbose, self.baseline = patience, verbose, baseline
        self.restore_best_weights, self.start_from_epoch = restore_best_weights, start_from_epoch
        self.on_train_begin()

    def on_train_begin(self, logs=None):
        self.wait = self.stopped_epoch = self.best_epoch = 0
        self.best, self.best_weights = None, None

    def on_epoch_end(self, epoch, logs=None):
        value = self.value(logs)
        if value is None:
            return
        if epoch < self.start_from_epoch:
            return
        if self.restore_best_weights and self.best_weights is None:
            self.best_weights, self.best_epoch = self.model.get_weights(), epoch
        self.wait += 1
        if self.improved(value, self.best):
            self.best, self.best_epoch = value, epoch
            if self.restore_best_weights:
                self.best_weights = self.model.get_weights()
            # Better than before, but the patience starts anew only when it beats the baseline too.
            if self.baseline is None or self.improved(value, self.baseline):
                self.wait = 0
            return
        if self.wait >= self.patience and epoch > 0:
            self.stopped_epoch, self.model.stop_training = epoch, True

    def on_train_end(self, logs=None):
        if self.stopped_epoch and self.verbose:
            print(f"Epoch {self.stopped_epoch + 1}: stopped, {self.monitor} was best in epoch "
                  f"{self.best_epoch + 1}.")
        if self.restore_best_weights and self.best_weights is not None:
            self.model.set_weights(self.best_weights)


class TerminateOnNaN(Callback):
    """End the training when the loss becomes NaN or infinite.

    raise_error: whether RuntimeError is raised then, in the place of a message; default False.
    """

    def __init__(self, raise_error=False):
        super().__init__()
        self.raise_error = bool(raise_error)

    def on_train_batch_end(self, batch, logs=None):
        loss = (logs or {}).get("loss")
        if loss is not None and not math.isfinite(loss):
            if self.raise_error:
                raise RuntimeError(f"Batch {batch}: the loss is {loss}.")
            print(f"Batch {batch}: the loss is {loss}, the training ends.")
            self.model.stop_training = True
