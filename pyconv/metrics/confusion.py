"""Counts of right and wrong answers at thresholds, and what is made of them: precision, recall, F scores."""

from __future__ import annotations

import numpy as np

from .. import ops
from ..config import epsilon
from ..losses import as_float, match_ranks
from .metric import Metric, ratio

__all__ = ["F1Score", "FBetaScore", "FalseNegatives", "FalsePositives", "Precision", "Recall",
           "TrueNegatives", "TruePositives"]

COUNTS = ("true_positives", "false_positives", "true_negatives", "false_negatives")
NEVER = -1e10       # below every score: what is not among the k largest is never chosen


def check_thresholds(thresholds, default):
    """A list of thresholds from a number, a list, or None."""
    if thresholds is None:
        return [default]
    found = list(thresholds) if isinstance(thresholds, (list, tuple, np.ndarray)) else [thresholds]
    for t in found:
        if isinstance(t, bool) or not isinstance(t, (int, float, np.number)) or not 0 <= t <= 1:
            raise ValueError(f"thresholds={thresholds!r} must be numbers from 0 to 1.")
    if not found:
        raise ValueError("thresholds must not be empty.")
    return [float(t) for t in found]


def _among_the_largest(scores, k):
    """The scores, with NEVER in the place of all but the k largest of each row; at ties the first count."""
    left, kept = scores, None
    for _ in range(min(k, scores.shape[-1])):
        best = ops.cast(ops.one_hot(ops.argmax(left, -1), scores.shape[-1]), "bool")
        left = ops.where(best, float("-inf"), left)
        kept = best if kept is None else ops.logical_or(kept, best)
    return ops.where(kept, scores, NEVER)


def count(name, y_true, y_pred, thresholds, sample_weight=None, top_k=None, class_id=None, dtype="float32",
          by_label=False, label_weights=None):
    """name of COUNTS -> (thresholds,), or (thresholds, labels) with `by_label`.

    y_true counts as a yes where it is not 0, y_pred where it is above the threshold. All pairs of threshold
    and prediction are compared, in memory that grows with their number.
    """
    y_pred, y_true = match_ranks(as_float(y_pred, dtype), as_float(y_true, dtype))
    if tuple(y_true.shape) != tuple(y_pred.shape):
        raise ValueError(f"{name}: labels of shape {tuple(y_true.shape)} do not fit predictions of shape "
                         f"{tuple(y_pred.shape)}; they must be the same.")
    weight = None
    if sample_weight is not None:
        weight = ops.expand_dims(as_float(sample_weight, dtype), -1)
        if len(weight.shape) == len(y_true.shape) + 1:
            weight = ops.squeeze(weight, -1)
    if top_k is not None:
        y_pred = _among_the_largest(y_pred, top_k)
    if class_id is not None:
        if len(y_pred.shape) < 2 or not 0 <= class_id < y_pred.shape[-1]:
            raise ValueError(f"{name}: class_id={class_id} needs predictions with an axis of more classes, "
                             f"got shape {tuple(y_pred.shape)}.")
        at = (Ellipsis, slice(class_id, class_id + 1))
        y_true, y_pred = y_true[at], y_pred[at]
    if label_weights is not None:
        labels = as_float(label_weights, dtype)
        weight = labels if weight is None else weight * labels
    shape = tuple(y_pred.shape)
    yes = ops.cast(ops.not_equal(y_true, 0.0), dtype)
    weight = None if weight is None else ops.broadcast_to(weight, shape)
    right = yes if weight is None else yes * weight
    wrong = 1.0 - yes if weight is None else (1.0 - yes) * weight
    # A matrix product adds up: (thresholds, predictions) times (predictions, 2), for each label if asked for.
    rows = [shape[0], shape[1]] if by_label else [-1, 1]
    both = ops.stack([ops.reshape(x, rows) for x in (right, wrong)], -1)             # (N, labels, 2)
    both = ops.transpose(both, (1, 0, 2))
    limits = np.asarray(thresholds, dtype).reshape(-1, 1)
    chosen = ops.greater(ops.expand_dims(ops.transpose(ops.reshape(y_pred, rows), (1, 0)), 1), limits)
    sums = ops.matmul(ops.cast(chosen, dtype), both)                                 # (labels, thresholds, 2)
    totals = ops.sum(both, 1, keepdims=True)
    found = {}
    for index, names in enumerate((("true_positives", "false_negatives"),
                                   ("false_positives", "true_negatives"))):
        above, total = sums[..., index], totals[..., index]
        for key, value in zip(names, (above, total - above), strict=True):
            found[key] = ops.transpose(value, (1, 0)) if by_label else value[0]
    return found


class Counting(Metric):
    """A metric made of counts at thresholds. `counts` names those that are kept."""

    counts: tuple = COUNTS

    def make_counts(self, shape):
        for name in self.counts:
            setattr(self, name, self.add_variable(shape, name=name))

    def add_counts(self, found):
        for name in self.counts:
            variable = getattr(self, name)
            variable.assign(variable.value + found[name])


class _Count(Counting):
    def __init__(self, thresholds=None, name=None, dtype=None):
        super().__init__(dtype, name)
        self.init_thresholds = thresholds
        self.thresholds = check_thresholds(thresholds, 0.5)
        self.make_counts((len(self.thresholds),))

    def update_state(self, y_true, y_pred, sample_weight=None):
        self.add_counts(count(self.name, y_true, y_pred, self.thresholds, sample_weight, dtype=self.dtype))

    def result(self):
        value = getattr(self, self.counts[0]).value
        return value[0] if len(self.thresholds) == 1 else value

    def get_config(self):
        return {**super().get_config(), "thresholds": self.init_thresholds}


class TruePositives(_Count):
    """How many predictions above the threshold have label 1.

    update_state(y_true, y_pred, sample_weight=None): labels 0 and 1, and scores, of equal shapes.

    thresholds: number or list of numbers from 0 to 1, default 0.5; a list gives one count for each.
    """

    counts = ("true_positives",)


class FalsePositives(_Count):
    """How many predictions above the threshold have label 0. Arguments: see `TruePositives`."""

    counts = ("false_positives",)


class TrueNegatives(_Count):
    """How many predictions not above the threshold have label 0. Arguments: see `TruePositives`."""

    counts = ("true_negatives",)


class FalseNegatives(_Count):
    """How many predictions not above the threshold have label 1. Arguments: see `TruePositives`."""

    counts = ("false_negatives",)


class _Share(Counting):

    direction = "up"
    def __init__(self, thresholds=None, top_k=None, class_id=None, name=None, dtype=None):
        super().__init__(dtype, name)
        for argument, value, low in (("top_k", top_k, 1), ("class_id", class_id, 0)):
            if value is not None and (isinstance(value, bool) or not isinstance(value, (int, np.integer))
                                      or value < low):
                raise ValueError(f"{argument}={value!r} must be an int of at least {low}, or None.")
        self.init_thresholds, self.top_k, self.class_id = thresholds, top_k, class_id
        self.thresholds = check_thresholds(thresholds, 0.5 if top_k is None else NEVER)
        self.make_counts((len(self.thresholds),))

    def update_state(self, y_true, y_pred, sample_weight=None):
        self.add_counts(count(self.name, y_true, y_pred, self.thresholds, sample_weight, self.top_k,
                              self.class_id, self.dtype))

    def result(self):
        hits, others = (getattr(self, name).value for name in self.counts)
        value = ratio(hits, hits + others)
        return value[0] if len(self.thresholds) == 1 else value

    def get_config(self):
        return {**super().get_config(), "thresholds": self.init_thresholds, "top_k": self.top_k,
                "class_id": self.class_id}


class Precision(_Share):
    """The share of predictions above the threshold that have label 1; 0 if there are none.

    update_state(y_true, y_pred, sample_weight=None): labels 0 and 1, and scores, of equal shapes.

    Parameters
    ----------
    thresholds: number or list of numbers from 0 to 1, optional
        Default 0.5; a list gives one value for each.
    top_k: int, optional
        Only the k largest scores of each sample count as chosen, whatever their size unless there are
        thresholds.
    class_id: int, optional
        Only this class, along the last axis, counts.

    Raises
    ------
    ValueError
        For arguments outside of what is said above.
    """

    counts = ("true_positives", "false_positives")


class Recall(_Share):
    """The share of labels 1 whose prediction is above the threshold; 0 if there are none. Arguments: see
    `Precision`."""

    counts = ("true_positives", "false_negatives")


class FBetaScore(Metric):
    """The harmonic mean of precision and recall, with recall weighted by beta**2 (van Rijsbergen, 1979)::

        (1 + beta**2) * precision * recall / (beta**2 * precision + recall)

    update_state(y_true, y_pred, sample_weight=None): (N, classes) twice, one-hot or yes-or-no labels beside
    scores, and (N,).

    Parameters
    ----------
    average: str or None
        None (default): one score per class. "micro": one from the counts of all classes. "macro": the mean
        over classes. "weighted": that mean weighted by how often classes are labels.
    beta: float
        Above 0; default 1.
    threshold: float, optional
        Scores above it count as chosen; default: the largest score of a sample.

    Raises
    ------
    ValueError
        For arguments outside of what is said above, and inputs without exactly two axes.
    """

    direction = "up"

    def __init__(self, average=None, beta=1.0, threshold=None, name="fbeta_score", dtype=None):
        super().__init__(dtype, name)
        known = (None, "micro", "macro", "weighted")
        if average not in known:
            raise ValueError(f"average={average!r} is not known; expected one of "
                             f"{', '.join(map(repr, known))}.")
        if isinstance(beta, bool) or not isinstance(beta, (int, float)) or not beta > 0:
            raise ValueError(f"beta={beta!r} must be a number above 0.")
        if threshold is not None and (isinstance(threshold, bool) or not isinstance(threshold, (int, float))
                                      or not 0 < threshold <= 1):
            raise ValueError(f"threshold={threshold!r} must be above 0 and at most 1, or None.")
        self.average, self.beta, self.threshold = average, beta, threshold
        self._sums = None

    def update_state(self, y_true, y_pred, sample_weight=None):
        y_true, y_pred = as_float(y_true, self.dtype), as_float(y_pred, self.dtype)
        if tuple(y_pred.shape) == (*y_true.shape, 1):       # one score per sample
            y_true = ops.reshape(y_true, y_pred.shape)
        if len(y_pred.shape) != 2 or tuple(y_true.shape) != tuple(y_pred.shape):
            numbers = len(y_pred.shape) == 2 and tuple(y_true.shape) in (y_pred.shape[:1], (y_pred.shape[0], 1))
            hint = " Make class numbers one-hot, with pyconv.utils.to_categorical." if numbers else ""
            raise ValueError(f"{type(self).__name__} needs labels and predictions of one shape (samples, "
                             f"classes), got {tuple(y_true.shape)} and {tuple(y_pred.shape)}.{hint}")
        if self._sums is None:
            shape = () if self.average == "micro" else (y_pred.shape[1],)
            self._sums = [self.add_variable(shape, name=name) for name in
                          ("true_positives", "false_positives", "false_negatives", "intermediate_weights")]
        if self.threshold is None:
            largest = ops.greater_equal(y_pred, ops.max(y_pred, -1, keepdims=True))
            # no class is chosen by a score of 0
            chosen = ops.logical_and(largest, ops.greater(ops.absolute(y_pred), 1e-9))
        else:
            chosen = ops.greater(y_pred, float(self.threshold))
        chosen = ops.cast(chosen, self.dtype)
        news = (chosen * y_true, chosen * (1.0 - y_true), (1.0 - chosen) * y_true, y_true)
        if sample_weight is not None:
            weight = ops.expand_dims(as_float(sample_weight, self.dtype), 1)
            news = [new * weight for new in news]
        for variable, new in zip(self._sums, news, strict=True):
            variable.assign(variable.value + ops.sum(new, None if self.average == "micro" else 0))

    def result(self):
        if self._sums is None:
            raise ValueError(f"{type(self).__name__} has seen no data yet, so it has no result.")
        hits, wrong, missed, labels = (v.value for v in self._sums)
        precision, recall = hits / (hits + wrong + epsilon()), hits / (hits + missed + epsilon())
        square = float(self.beta) ** 2
        score = precision * recall / (precision * square + recall + epsilon()) * (1.0 + square)
        if self.average == "weighted":
            return ops.sum(score * (labels / (ops.sum(labels) + epsilon())))
        return score if self.average is None else ops.mean(score)

    def get_config(self):
        return {**super().get_config(), "average": self.average, "beta": self.beta,
                "threshold": self.threshold}


class F1Score(FBetaScore):
    """`FBetaScore` with beta 1. average, threshold: see there."""

    def __init__(self, average=None, threshold=None, name="f1_score", dtype=None):
        super().__init__(average, 1.0, threshold, name, dtype)

    def get_config(self):
        return {k: v for k, v in super().get_config().items() if k != "beta"}
