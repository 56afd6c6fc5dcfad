"""What callbacks share that follow a metric: which direction is better, and by how much."""

from __future__ import annotations

import math
import warnings

from .callback import Callback

__all__ = ["Monitor", "check_mode"]

# Names of metrics that are better when larger, for metrics that do not say so themselves.
_LARGER = ("acc", "accuracy", "auc", "precision", "recall", "iou", "f1", "sensitivity", "specificity", "r2")


def check_mode(mode):
    """`mode` if it is "auto", "min" or "max", otherwise a ValueError."""
    if mode not in ("auto", "min", "max"):
        raise ValueError(f"mode={mode!r} is not known; expected 'auto', 'min' or 'max'.")
    return mode


class Monitor(Callback):
    """Base class of callbacks that compare a value of the epoch's logs with an earlier one."""

    def __init__(self, monitor="val_loss", mode="auto", min_delta=0):
        super().__init__()
        self.monitor, self.mode, self.min_delta = monitor, check_mode(mode), abs(min_delta)

    def value(self, logs):
        """The value that is followed, or None, with a warning, if the logs lack it."""
        value = (logs or {}).get(self.monitor)
        if value is None:
            warnings.warn(f"{type(self).__name__} waits for {self.monitor!r}, but the epoch has only "
                          f"{', '.join(logs or {}) or 'no metrics'}.", stacklevel=3)
        return value

    def improved(self, value, reference) -> bool:
        """Whether the value is better than the reference (None: any is) by more than min_delta. NaN never
        is."""
        if math.isnan(value):
            return False
        sign = 1 if self._larger() else -1
        return reference is None or sign * value - self.min_delta > sign * reference

    def _larger(self) -> bool:
        if self.mode != "auto":
            return self.mode == "max"
        name = self.monitor.removeprefix("val_")
        for metric in getattr(self.model, "metrics", None) or ():
            if metric.name == name and metric.direction is not None:
                return metric.direction == "up"
        return any(word in _LARGER or word.endswith("accuracy") for word in name.lower().split("_"))
