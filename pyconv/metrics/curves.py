"""Metrics of the whole range of thresholds: areas under curves, and one rate at a given value of another."""

from __future__ import annotations

import numpy as np

from .. import ops
from ..config import epsilon
from ..losses import as_float
from .confusion import Counting, check_thresholds, count
from .metric import ratio

__all__ = ["AUC", "PrecisionAtRecall", "RecallAtPrecision", "SensitivityAtSpecificity",
           "SpecificityAtSensitivity"]


def _even(num_thresholds):
    return [i / (num_thresholds - 1) for i in range(num_thresholds)]


class AUC(Counting):
    """The area under a curve of rates at many thresholds.

    update_state(y_true, y_pred, sample_weight=None): labels 0 and 1, and probabilities, of equal shapes.

    Parameters
    ----------
    num_thresholds: int
        At least 2, spread evenly over 0 to 1; default 200. The area is as exact as they are close.
    curve: str
        "ROC" (default): true positives of all positives over false positives of all negatives. "PR":
        precision over recall. "PRGAIN": their gains (Flach and Kull, *Precision-recall-gain curves*, 2015).
    summation_method: str
        "interpolation" (default): trapezoids, for "PR" the interpolation of true positives (Davis and
        Goadrich, *The relationship between precision-recall and ROC curves*, 2006). "minoring", "majoring":
        rectangles below and above.
    thresholds: list of float, optional
        Thresholds of one's own, from 0 to 1, in the place of num_thresholds.
    multi_label: bool
        Whether areas are found for each label of (N, labels) and then averaged; default False.
    num_labels: int, optional
        The number of labels; default found from the data.
    label_weights: list of float, optional
        The labels' weights in the average, or of their elements without multi_label.
    from_logits: bool
        Whether predictions are logits, of which the sigmoid is taken; default False.

    Raises
    ------
    ValueError
        For arguments outside of what is said above.
    """

    direction = "up"

    def __init__(self, num_thresholds=200, curve="ROC", summation_method="interpolation", name=None,
                 dtype=None, thresholds=None, multi_label=False, num_labels=None, label_weights=None,
                 from_logits=False):
        super().__init__(dtype, name)
        self.curve, self.summation_method = str(curve).upper(), str(summation_method).lower()
        if self.curve not in ("ROC", "PR", "PRGAIN"):
            raise ValueError(f"curve={curve!r} is not known; expected 'ROC', 'PR' or 'PRGAIN'.")
        if self.summation_method not in ("interpolation", "majoring", "minoring"):
            raise ValueError(f"summation_method={summation_method!r} is not known; expected 'interpolation', "
                             f"'majoring' or 'minoring'.")
        if thresholds is None:
            if isinstance(num_thresholds, bool) or not isinstance(num_thresholds, int) or num_thresholds < 2:
                raise ValueError(f"num_thresholds={num_thresholds!r} must be an int of at least 2.")
            inner = _even(num_thresholds)[1:-1]
        else:
            inner = sorted(check_thresholds(thresholds, 0.5))
        self._given = None if thresholds is None else inner
        self._clips = np.allclose([0.0, *inner, 1.0], _even(len(inner) + 2), atol=epsilon())
        self.thresholds = [-epsilon(), *inner, 1.0 + epsilon()]
        self.num_thresholds = len(self.thresholds)
        if num_labels and not multi_label:
            raise ValueError(f"num_labels={num_labels} goes with multi_label=True only.")
        self.multi_label, self.num_labels, self.from_logits = bool(multi_label), num_labels, bool(from_logits)
        self.label_weights = None if label_weights is None else np.asarray(label_weights).tolist()
        self._made = False
        if num_labels or not multi_label:
            self._make(num_labels)

    def _make(self, labels):
        self.make_counts((self.num_thresholds, labels) if self.multi_label else (self.num_thresholds,))
        self._made = True

    def update_state(self, y_true, y_pred, sample_weight=None):
        y_pred = as_float(y_pred, self.dtype)
        if self.multi_label and len(y_pred.shape) != 2:
            raise ValueError(f"AUC with multi_label=True needs predictions of shape (samples, labels), got "
                             f"{tuple(y_pred.shape)}.")
        if not self._made:
            self._make(y_pred.shape[1])
        if self.from_logits:
            y_pred = ops.sigmoid(y_pred)
        if self._clips:
            y_pred = ops.clip(y_pred, 0.0, 1.0)
        self.add_counts(count(self.name, y_true, y_pred, self.thresholds, sample_weight, dtype=self.dtype,
                              by_label=self.multi_label,
                              label_weights=None if self.multi_label else self.label_weights))

    def result(self):
        if not self._made:
            raise ValueError("AUC has seen no data yet, so it has no result.")
        tp, fp, tn, fn = (getattr(self, name).value for name in self.counts)
        if self.curve == "PR" and self.summation_method == "interpolation":
            return self._mean(self._interpolated(tp, fp, fn))
        if self.curve == "ROC":
            x, y = ratio(fp, fp + tn), ratio(tp, tp + fn)
        elif self.curve == "PR":
            x, y = ratio(tp, tp + fn), ratio(tp, tp + fp)
        else:
            scale, none = ratio(tp + fn, tn + fp), ops.equal(tp, 0.0)
            x = ops.maximum(ops.where(none, 0.0, 1.0 - scale * ratio(fn, tp)), 0.0)
            y = ops.where(none, 1.0, 1.0 - scale * ratio(fp, tp))
        combine = {"interpolation": lambda a, b: (a + b) * 0.5, "majoring": ops.maximum,
                   "minoring": ops.minimum}[self.summation_method]
        return self._mean((x[:-1] - x[1:]) * combine(y[:-1], y[1:]))

    @staticmethod
    def _interpolated(tp, fp, fn):
        """The areas between neighbouring thresholds if true positives rise evenly with all positives."""
        gain, chosen = tp[:-1] - tp[1:], tp + fp
        slope = ratio(gain, ops.maximum(chosen[:-1] - chosen[1:], 0.0))
        intercept = tp[1:] - slope * chosen[1:]
        both = ops.logical_and(ops.greater(chosen[:-1], 0.0), ops.greater(chosen[1:], 0.0))
        share = ops.where(both, ratio(chosen[:-1], chosen[1:]), 1.0)
        return ratio(slope * (gain + intercept * ops.log(share)), ops.maximum(tp[1:] + fn[1:], 0.0))

    def _mean(self, areas):
        total = ops.sum(areas, 0)
        if not self.multi_label:
            return total
        if self.label_weights is None:
            return ops.mean(total)
        weights = np.asarray(self.label_weights, self.dtype)
        return ops.sum(total * weights) / float(weights.sum())

    def get_config(self):
        config = {**super().get_config(), "num_thresholds": self.num_thresholds, "curve": self.curve,
                  "summation_method": self.summation_method, "multi_label": self.multi_label,
                  "num_labels": self.num_labels, "label_weights": self.label_weights,
                  "from_logits": self.from_logits}
        return config if self._given is None else {**config, "thresholds": self._given}


class _At(Counting):
    """The largest value of one rate among the thresholds at which another reaches a given value."""

    direction = "up"

    argument = ""

    def __init__(self, value, num_thresholds=200, class_id=None, name=None, dtype=None):
        super().__init__(dtype, name)
        if isinstance(value, bool) or not isinstance(value, (int, float)) or not 0 <= value <= 1:
            raise ValueError(f"{self.argument}={value!r} must be a number from 0 to 1.")
        if isinstance(num_thresholds, bool) or not isinstance(num_thresholds, int) or num_thresholds < 1:
            raise ValueError(f"num_thresholds={num_thresholds!r} must be an int of at least 1.")
        setattr(self, self.argument, value)
        self.num_thresholds, self.class_id = num_thresholds, class_id
        self.thresholds = [0.5] if num_thresholds == 1 else _even(num_thresholds)
        self.make_counts((len(self.thresholds),))

    def update_state(self, y_true, y_pred, sample_weight=None):
        y_pred = as_float(y_pred, self.dtype)
        if len(self.thresholds) > 2:
            y_pred = ops.clip(y_pred, 0.0, 1.0)
        self.add_counts(count(self.name, y_true, y_pred, self.thresholds, sample_weight,
                              class_id=self.class_id, dtype=self.dtype))

    def rates(self, tp, fp, tn, fn):
        """(the rate that must reach the value, the rate that is sought)"""
        raise NotImplementedError

    def result(self):
        reached, sought = self.rates(*(getattr(self, name).value for name in self.counts))
        enough = ops.greater_equal(reached, float(getattr(self, self.argument)))
        return ops.maximum(ops.max(ops.where(enough, sought, 0.0)), 0.0)

    def get_config(self):
        return {**super().get_config(), self.argument: getattr(self, self.argument),
                "num_thresholds": self.num_thresholds, "class_id": self.class_id}


class SensitivityAtSpecificity(_At):
    """The largest sensitivity ``tp / (tp + fn)`` where the specificity ``tn / (tn + fp)`` is at least
    `specificity`; 0 where it never is.

    update_state(y_true, y_pred, sample_weight=None): labels 0 and 1, and probabilities, of equal shapes.

    specificity: float from 0 to 1. num_thresholds: int, evenly from 0 to 1, default 200. class_id: int,
    optional: only this class, along the last axis, counts. Raises ValueError for other arguments.
    """

    argument = "specificity"

    def __init__(self, specificity, num_thresholds=200, class_id=None, name=None, dtype=None):
        super().__init__(specificity, num_thresholds, class_id, name, dtype)

    def rates(self, tp, fp, tn, fn):
        return ratio(tn, tn + fp), ratio(tp, tp + fn)


class SpecificityAtSensitivity(_At):
    """The largest specificity where the sensitivity is at least `sensitivity`; otherwise as
    `SensitivityAtSpecificity`."""

    argument = "sensitivity"

    def __init__(self, sensitivity, num_thresholds=200, class_id=None, name=None, dtype=None):
        super().__init__(sensitivity, num_thresholds, class_id, name, dtype)

    def rates(self, tp, fp, tn, fn):
        return ratio(tp, tp + fn), ratio(tn, tn + fp)


class PrecisionAtRecall(_At):
    """The largest precision ``tp / (tp + fp)`` where the recall ``tp / (tp + fn)`` is at least `recall`;
    otherwise as `SensitivityAtSpecificity`."""

    argument = "recall"

    def __init__(self, recall, num_thresholds=200, class_id=None, name=None, dtype=None):
        super().__init__(recall, num_thresholds, class_id, name, dtype)

    def rates(self, tp, fp, tn, fn):
        return ratio(tp, tp + fn), ratio(tp, tp + fp)


class RecallAtPrecision(_At):
    """The largest recall where the precision is at least `precision`; otherwise as
    `SensitivityAtSpecificity`."""

    argument = "precision"

    def __init__(self, precision, num_thresholds=200, class_id=None, name=None, dtype=None):
        super().__init__(precision, num_thresholds, class_id, name, dtype)

    def rates(self, tp, fp, tn, fn):
        return ratio(tp, tp + fp), ratio(tp, tp + fn)
