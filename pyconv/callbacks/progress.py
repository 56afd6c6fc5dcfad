"""The progress bar of fit, evaluate and predict."""

from __future__ import annotations

import numpy as np

from ..utils.progbar import Progbar, write
from .callback import Callback

__all__ = ["ProgbarLogger"]


def _numbers(logs):
    """Pairs of name and number; of a metric with several values their mean."""
    return [(name, np.mean(v) if isinstance(v, list) else v) for name, v in (logs or {}).items()]


class ProgbarLogger(Callback):
    """Prints a bar per epoch or evaluation (verbose 1 or "auto"), or one line per epoch (verbose 2)."""

    def __init__(self):
        super().__init__()
        self.progbar, self.seen = None, 0
        self.target, self.verbose, self.epochs = None, 1, 1
        self._in_fit = False

    def set_params(self, params):
        super().set_params(params)
        verbose = params.get("verbose", 1)
        self.verbose = 1 if verbose == "auto" else int(verbose)
        self.epochs, self.target = params.get("epochs", 1), params.get("steps")

    def _start(self):
        self.seen = 0
        self.progbar = Progbar(self.target, verbose=self.verbose, stateless_metrics=())

    def _step(self, batch, logs):
        self.seen = batch + 1
        if self.verbose == 1:
            if self.progbar is None:
                self._start()
            self.progbar.update(self.seen, _numbers(logs), finalize=False)

    def _finish(self, logs):
        if self.progbar is None:
            self._start()
        if self.target is None:
            self.target = self.progbar.target = self.seen
        self.progbar.update(self.seen or self.target, _numbers(logs), finalize=True)
        self.progbar = None

    def on_train_begin(self, logs=None):
        self._in_fit = True

    def on_train_end(self, logs=None):
        if self.progbar is not None and self.verbose == 1:     # the training was cut short inside an epoch
            self.progbar.close()
            self.progbar = None
        self._in_fit = False

    def on_epoch_begin(self, epoch, logs=None):
        self._start()
        if self.verbose and self.epochs > 1:
            write(f"Epoch {epoch + 1}/{self.epochs}\n")

    def on_train_batch_end(self, batch, logs=None):
        self._step(batch, logs)

    def on_epoch_end(self, epoch, logs=None):
        self._finish(logs)

    def on_test_begin(self, logs=None):
        if not self._in_fit:
            self._start()

    def on_test_batch_end(self, batch, logs=None):
        if not self._in_fit:
            self._step(batch, logs)

    def on_test_end(self, logs=None):
        if not self._in_fit:
            self._finish(logs)

    def on_predict_begin(self, logs=None):
        self._start()

    def on_predict_batch_end(self, batch, logs=None):
        self._step(batch, None)

    def on_predict_end(self, logs=None):
        self._finish(None)
