"""Intersection over union, from a confusion matrix."""

from __future__ import annotations

from .. import ops
from ..config import epsilon
from ..losses import as_float, as_values
from .metric import Metric

__all__ = ["BinaryIoU", "IoU", "MeanIoU", "OneHotIoU", "OneHotMeanIoU"]


class IoU(Metric):
    """The mean over classes of ``true positives / (true positives + false positives + false negatives)``.

    update_state(y_true, y_pred, sample_weight=None): class numbers of equal shapes, or scores of which the
    largest counts. Elements with a class outside of 0 to num_classes - 1 do not count; nor do classes that
    neither labels nor predictions have.

    Parameters
    ----------
    num_classes: int
    target_class_ids: list of int
        The classes of the mean.
    ignore_class: int, optional
        A label whose elements do not count.
    sparse_y_true, sparse_y_pred: bool
        Whether they are class numbers (default) or scores, or one-hot, with the classes along `axis`.
    axis: int
        Default the last.

    Raises
    ------
    ValueError
        If there are no classes, or a target is none of them.
    """

    direction = "up"

    def __init__(self, num_classes, target_class_ids, name="io_u", dtype=None, ignore_class=None,
                 sparse_y_true=True, sparse_y_pred=True, axis=-1):
        super().__init__(dtype, name)
        if isinstance(num_classes, bool) or not isinstance(num_classes, int) or num_classes < 1:
            raise ValueError(f"num_classes={num_classes!r} must be an int of at least 1.")
        wrong = [k for k in target_class_ids if not 0 <= k < num_classes]
        if wrong or not len(target_class_ids):
            raise ValueError(f"target_class_ids={list(target_class_ids)} must name classes from 0 to "
                             f"{num_classes - 1}.")
        self.num_classes, self.target_class_ids = num_classes, list(target_class_ids)
        self.ignore_class, self.axis = ignore_class, axis
        self.sparse_y_true, self.sparse_y_pred = bool(sparse_y_true), bool(sparse_y_pred)
        self.total_cm = self.add_variable((num_classes, num_classes), name="total_confusion_matrix")

    def _numbers(self, y, sparse):
        y = as_values(y)
        return ops.reshape(ops.cast(y if sparse else ops.argmax(y, self.axis), "int32"), (-1,))

    def update_state(self, y_true, y_pred, sample_weight=None):
        y_true, y_pred = self._numbers(y_true, self.sparse_y_true), self._numbers(y_pred, self.sparse_y_pred)
        if tuple(y_true.shape) != tuple(y_pred.shape):
            raise ValueError(f"{type(self).__name__}: {y_true.shape[0]} labels do not fit {y_pred.shape[0]} "
                             f"predictions.")
        # (N, C) twice: a row of zeros where the class is out of range, so that the element adds nothing.
        rows = ops.one_hot(y_true, self.num_classes, dtype=self.dtype)
        columns = ops.one_hot(y_pred, self.num_classes, dtype=self.dtype)
        if self.ignore_class is not None:
            counts = ops.not_equal(y_true, int(self.ignore_class))
            columns = columns * ops.expand_dims(ops.cast(counts, self.dtype), -1)
        if sample_weight is not None:
            weight = ops.reshape(as_float(sample_weight, self.dtype), (-1,))
            columns = columns * ops.expand_dims(ops.broadcast_to(weight, y_true.shape), -1)
        matrix = ops.matmul(ops.transpose(rows, (1, 0)), columns)
        self.total_cm.assign(self.total_cm.value + matrix)

    def result(self):
        matrix = self.total_cm.value
        score = present = 0.0
        for k in self.target_class_ids:
            hits = matrix[k, k]
            union = ops.sum(matrix[k]) + ops.sum(matrix[:, k]) - hits
            seen = ops.greater(union, 1e-9)
            score = score + ops.where(seen, hits / (union + epsilon()), 0.0)
            present = present + ops.cast(seen, self.dtype)
        return score / (present + epsilon())

    def get_config(self):
        return {**super().get_config(), "num_classes": self.num_classes,
                "target_class_ids": self.target_class_ids, "ignore_class": self.ignore_class,
                "sparse_y_true": self.sparse_y_true, "sparse_y_pred": self.sparse_y_pred, "axis": self.axis}

    def _config_without(self, *names):
        return {k: v for k, v in IoU.get_config(self).items() if k not in names}


class BinaryIoU(IoU):
    """`IoU` of yes-or-no labels, of probabilities that count as 1 from `threshold` (default 0.5) on.

    target_class_ids: default (0, 1), the mean of both classes; [1] is the usual IoU of a foreground.
    """

    def __init__(self, target_class_ids=(0, 1), threshold=0.5, name="binary_io_u", dtype=None):
        super().__init__(2, target_class_ids, name, dtype)
        self.threshold = threshold

    def update_state(self, y_true, y_pred, sample_weight=None):
        super().update_state(y_true, ops.greater_equal(as_float(y_pred), self.threshold), sample_weight)

    def get_config(self):
        kept = self._config_without("num_classes", "ignore_class", "sparse_y_true", "sparse_y_pred", "axis")
        return {**kept, "threshold": self.threshold}


class MeanIoU(IoU):
    """`IoU` over all classes. Arguments: see `IoU`."""

    def __init__(self, num_classes, name="mean_io_u", dtype=None, ignore_class=None, sparse_y_true=True,
                 sparse_y_pred=True, axis=-1):
        super().__init__(num_classes, list(range(num_classes)), name, dtype, ignore_class, sparse_y_true,
                         sparse_y_pred, axis)

    def get_config(self):
        return self._config_without("target_class_ids")


class OneHotIoU(IoU):
    """`IoU` of one-hot labels beside scores. Arguments: see `IoU`."""

    def __init__(self, num_classes, target_class_ids, name="one_hot_io_u", dtype=None, ignore_class=None,
                 sparse_y_pred=False, axis=-1):
        super().__init__(num_classes, target_class_ids, name, dtype, ignore_class, False, sparse_y_pred, axis)

    def get_config(self):
        return self._config_without("sparse_y_true")


class OneHotMeanIoU(MeanIoU):
    """`IoU` over all classes, of one-hot labels beside scores. Arguments: see `IoU`."""

    def __init__(self, num_classes, name="one_hot_mean_io_u", dtype=None, ignore_class=None,
                 sparse_y_pred=False, axis=-1):
        super().__init__(num_classes, name, dtype, ignore_class, False, sparse_y_pred, axis)

    def get_config(self):
        return self._config_without("target_class_ids", "sparse_y_true")
