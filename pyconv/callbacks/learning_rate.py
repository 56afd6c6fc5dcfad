"""Callbacks that change the learning rate between epochs."""

from __future__ import annotations

import inspect

import numpy as np

from .callback import Callback
from .monitor import Monitor

__all__ = ["LearningRateScheduler", "ReduceLROnPlateau"]


def rate_of(model) -> float:
    """The learning rate of the next step."""
    return float(np.asarray(model.optimizer.learning_rate))


class LearningRateScheduler(Callback):
    """Set the learning rate at the beginning of each epoch. The logs have it as "learning_rate".

    Parameters
    ----------
    schedule: callable
        ``schedule(epoch, learning_rate)``, or ``schedule(epoch)``, gives the rate as a float; epochs count
        from 0.
    verbose: int
        1: say the rate.

    Raises
    ------
    TypeError
        If the schedule cannot be called, gives no number, or the optimizer follows a schedule of its own.
    """

    def __init__(self, schedule, verbose=0):
        super().__init__()
        if not callable(schedule):
            raise TypeError(f"LearningRateScheduler: schedule must be a function, got {schedule!r}.")
        self.schedule, self.verbose = schedule, verbose
        try:
            inspect.signature(schedule).bind(0, 0.0)
            self._takes_rate = True
        except TypeError:
            self._takes_rate = False
        except ValueError:          # a builtin that does not tell its arguments
            self._takes_rate = True

    def on_epoch_begin(self, epoch, logs=None):
        rate = self.schedule(epoch, rate_of(self.model)) if self._takes_rate else self.schedule(epoch)
        if isinstance(rate, bool) or not isinstance(rate, (int, float, np.number)):
            raise TypeError(f"LearningRateScheduler: the schedule gave {rate!r} for epoch {epoch}; it must "
                            f"give a float.")
        self.model.optimizer.learning_rate = float(rate)
        if self.verbose:
            print(f"Epoch {epoch + 1}: the learning rate is {float(rate)}.")

    def on_epoch_end(self, epoch, logs=None):
        if logs is not None:
            logs["learning_rate"] = rate_of(self.model)


class ReduceLROnPlateau(Monitor):
    """Lower the learning rate when a metric has stopped to improve. The logs have it as "learning_rate".

    Parameters
    ----------
    monitor: str
        A key of the epoch's logs; default "val_loss".
    factor: float
        From 0 to below 1, what the rate is multiplied by; default 0.1.
    patience: int
        Epochs without improvement that are waited for; default 10.
    verbose: int
        1: say when the rate changes.
    mode: str
        "min", "max" or "auto" (default); see `EarlyStopping`.
    min_delta: float
        A smaller change counts as none; default 0.0001.
    cooldown: int
        Epochs after a change in which nothing is counted; default 0.
    min_lr: float
        The rate falls no lower; default 0.

    Raises
    ------
    ValueError
        For unknown modes, and factors outside of 0 to below 1.
    """

    def __init__(self, monitor="val_loss", factor=0.1, patience=10, verbose=0, mode="auto", min_delta=1e-4,
                 cooldown=0, min_lr=0.0):
        super().__init__(monitor, mode, min_delta)
        if not 0 <= factor < 1:
            raise ValueError(f"ReduceLROnPlateau: factor={factor} must be from 0 to below 1.")
        self.factor, self.patience, self.verbose = factor, patience, verbose
        self.cooldown, self.min_lr = cooldown, min_lr
        self.on_train_begin()

    def on_train_begin(self, logs=None):
        self.best, self.wait, self.cooldown_counter = None, 0, 0

    def in_cooldown(self) -> bool:
        return self.cooldown_counter > 0

    def on_epoch_end(self, epoch, logs=None):
        if logs is not None:
            logs["learning_rate"] = rate_of(self.model)
        value = self.value(logs)
        if value is None:
            return
        if self.in_cooldown():
            self.cooldown_counter -= 1
            self.wait = 0
        if self.improved(value, self.best):
            self.best, self.wait = value, 0
        elif not self.in_cooldown():
            self.wait += 1
            if self.wait >= self.patience:
                self._reduce(epoch)

    def _reduce(self, epoch):
        before = rate_of(self.model)
        # Both as the optimizer keeps them: a rate that was set to min_lr is not above it.
        if before > np.float32(self.min_lr):
            rate = max(before * self.factor, self.min_lr)
            self.model.optimizer.learning_rate = rate
            self.cooldown_counter, self.wait = self.cooldown, 0
            if self.verbose:
                print(f"Epoch {epoch + 1}: {self.monitor} does not improve, the learning rate falls to "
                      f"{rate}.")
