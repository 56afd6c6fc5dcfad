"""Callbacks that end a training early."""

from __future__ import annotations

import math
import warnings

from .callback import Callback

__all__ = ["EarlyStopping", "TerminateOnNaN"]

# Names of metrics that are better when larger, for mode="auto".
_LARGER = ("acc", "accuracy", "auc", "precision", "recall", "iou", "f1")


class EarlyStopping(Callback):
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
        "min", "max", or "auto" (the default): "max" for names with "acc", "auc", "precision", "recall" and
        their like, "min" for the rest.
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
        super().__init__()
        if mode not in ("auto", "min", "max"):
            raise ValueError(f"mode={mode!r} is not known; expected 'auto', 'min' or 'max'.")
        self.monitor, self.patience, self.verbose, self.mode = monitor, patience, verbose, mode
        self.min_delta, self.baseline = abs(min_delta), baseline
        self.restore_best_weights, self.start_from_epoch = restore_best_weights, start_from_epoch
        larger = mode == "max" or mode == "auto" and any(
            word in _LARGER or word.endswith("accuracy") for word in monitor.lower().split("_"))
        self._sign = 1 if larger else -1
        self.on_train_begin()

    def on_train_begin(self, logs=None):
        self.wait = self.stopped_epoch = self.best_epoch = 0
        self.best, self.best_weights = None, None

    def _better(self, value, reference):
        return self._sign * value - self.min_delta > self._sign * reference

    def on_epoch_end(self, epoch, logs=None):
        value = (logs or {}).get(self.monitor)
        if value is None:
            warnings.warn(f"EarlyStopping waits for {self.monitor!r}, but the epoch has only "
                          f"{', '.join(logs or {}) or 'no metrics'}.", stacklevel=2)
            return
        if epoch < self.start_from_epoch:
            return
        if self.restore_best_weights and self.best_weights is None:
            self.best_weights, self.best_epoch = self.model.get_weights(), epoch
        self.wait += 1
        if not math.isnan(value) and (self.best is None or self._better(value, self.best)):
            self.best, self.best_epoch = value, epoch
            if self.restore_best_weights:
                self.best_weights = self.model.get_weights()
            # Better than before, but the patience starts anew only when it beats the baseline too.
            if self.baseline is None or self._better(value, self.baseline):
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
    """End the training when the loss becomes NaN or infinite."""

    def on_train_batch_end(self, batch, logs=None):
        loss = (logs or {}).get("loss")
        if loss is not None and not math.isfinite(loss):
            print(f"Batch {batch}: the loss is {loss}, the training ends.")
            self.model.stop_training = True
