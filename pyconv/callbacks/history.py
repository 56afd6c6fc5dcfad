"""The record of a training."""

from __future__ import annotations

from .callback import Callback

__all__ = ["History"]


class History(Callback):
    """What `fit` returns: the metrics of every epoch.

    Attributes
    ----------
    history: dict
        name -> list with one float per epoch; those of the validation as "val_...".
    epoch: list of int
        The numbers of the epochs.
    """

    def __init__(self):
        super().__init__()
        self.history: dict = {}
        self.epoch: list = []

    def set_model(self, model):
        super().set_model(model)
        if model is not None:
            model.history = self

    def on_train_begin(self, logs=None):
        self.epoch = []
        self.history = {}

    def on_epoch_end(self, epoch, logs=None):
        self.epoch.append(epoch)
        for name, value in (logs or {}).items():
            self.history.setdefault(name, []).append(value)

    def __repr__(self):
        return f"<History of {len(self.epoch)} epochs: {', '.join(self.history)}>"
