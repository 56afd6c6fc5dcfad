"""A callback that judges a model by the moving averages of its weights."""

from __future__ import annotations

import sys

from .callback import Callback

__all__ = ["SwapEMAWeights"]


class SwapEMAWeights(Callback):
    """Exchange the weights and their moving averages while a model is evaluated, predicts, or rests.

    The optimizer must have ``use_ema=True``. Validation, evaluation and prediction then take place with
    the averages, and training goes on with the weights.

    Parameters
    ----------
    swap_on_epoch: bool
        Whether the averages are also in the model between the end of an epoch and the beginning of the next,
        so that a `ModelCheckpoint` that comes after this callback in the list saves them; default False.

    Raises
    ------
    ValueError
        If the optimizer keeps no averages.
    """

    def __init__(self, swap_on_epoch=False):
        super().__init__()
        self.swap_on_epoch, self._outer = bool(swap_on_epoch), None

    def _optimizer(self):
        """The one that keeps the averages."""
        return getattr(self.model.optimizer, "inner_optimizer", self.model.optimizer)

    def _swap(self, wanted):
        """Bring the averages (True) or the weights (False) into the model."""
        optimizer = self._optimizer()
        if not getattr(optimizer, "use_ema", False):
            raise ValueError("SwapEMAWeights needs an optimizer with use_ema=True.")
        if wanted == optimizer._swapped or not int(optimizer._iterations):
            return            # before the first step there are no averages
        for weight in optimizer._weights:
            average = optimizer.average_of(weight)
            kept = weight.numpy()
            weight.assign(average.peek())
            average.assign(kept)
        optimizer._swapped = wanted

    def on_train_begin(self, logs=None):
        self._outer = sys.exc_info()[1]
        self._swap(False)

    def on_epoch_begin(self, epoch, logs=None):
        if self.swap_on_epoch:
            self._swap(False)

    def on_epoch_end(self, epoch, logs=None):
        if self.swap_on_epoch:
            self._swap(True)

    def on_train_end(self, logs=None):
        optimizer = self._optimizer()
        if optimizer._swapped and sys.exc_info()[1] is self._outer:
            # The training has come to its end: the averages stay in the model, as without this callback.
            for weight in optimizer._weights:
                optimizer.average_of(weight).assign(weight.peek())
            optimizer._swapped = False
        self._swap(False)

    def on_test_begin(self, logs=None):
        self._swap(True)

    def on_test_end(self, logs=None):
        self._swap(False)

    def on_predict_begin(self, logs=None):
        self._swap(True)

    def on_predict_end(self, logs=None):
        self._swap(False)
