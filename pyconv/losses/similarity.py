"""Losses of overlap, for segmentation, and of similarity, for embeddings."""

from __future__ import annotations

import numpy as np

from .. import ops
from ..config import epsilon
from ..ops.base import operation
from .loss import LossWithArguments, as_float, as_values, pair

__all__ = ["Circle", "Dice", "Tversky", "circle", "dice", "tversky"]


@operation
def dice(y_true, y_pred, axis=None):
    """``1 - 2 * sum(y_true * y_pred) / (sum(y_true) + sum(y_pred) + epsilon)`` over `axis` (Milletari et al.,
    *V-Net*, 2016).

    y_true, y_pred: equal shapes, labels and probabilities. axis: int, tuple or None, all axes. Result: the
    shape without `axis`. Raises ValueError for shapes that differ.
    """
    y_true, y_pred = pair("dice", y_true, y_pred)
    both = ops.sum(y_true * y_pred, axis)
    return 1.0 - 2.0 * both / (ops.sum(y_true, axis) + ops.sum(y_pred, axis) + epsilon())


@operation
def tversky(y_true, y_pred, alpha=0.5, beta=0.5, axis=None):
    """``1 - both / (both + alpha * missed + beta * wrong + epsilon)`` over `axis`, with both the sum of
    ``y_true * y_pred``, missed that of ``y_true * (1 - y_pred)`` and wrong that of ``(1 - y_true) * y_pred``
    (Salehi et al., *Tversky loss function for image segmentation*, 2017, with the roles of alpha and beta as
    in Keras). With 0.5 and 0.5, the default, it is `dice`.

    y_true, y_pred: equal shapes, labels and probabilities. axis: int, tuple or None, all axes. Result: the
    shape without `axis`. Raises ValueError for shapes that differ.
    """
    y_true, y_pred = pair("tversky", y_true, y_pred)
    both = ops.sum(y_true * y_pred, axis)
    missed = ops.sum(y_true * (1.0 - y_pred), axis)
    wrong = ops.sum((1.0 - y_true) * y_pred, axis)
    return 1.0 - both / (both + missed * alpha + wrong * beta + epsilon())


@operation
def circle(y_true, y_pred, ref_labels=None, ref_embeddings=None, remove_diagonal=True, gamma=80, margin=0.4):
    """The circle loss of embeddings: those of one class are drawn together, others pushed apart, each pair by
    how far it is from its goal (Sun et al., *Circle loss*, 2020).

    Parameters
    ----------
    y_true: (N,) or (N, 1)
        Class numbers.
    y_pred: (N, d)
        Embeddings of length 1.
    ref_labels, ref_embeddings: (M,) and (M, d), optional
        What they are compared with; default y_true and y_pred.
    remove_diagonal: bool
        Whether pair (i, i) is left out; default True.
    gamma: float
        The scale; default 80.
    margin: float
        From 0 to 1; default 0.4.

    Returns
    -------
    tensor of shape (N,); 0 where there is no other of the same class, or none of another class.
    """
    y_pred = as_float(y_pred)
    dtype = str(y_pred.dtype)
    labels = ops.reshape(ops.cast(as_values(y_true), "int32"), (-1, 1))
    others = labels if ref_labels is None else ops.reshape(ops.cast(as_values(ref_labels), "int32"), (-1, 1))
    points = y_pred if ref_embeddings is None else as_float(ref_embeddings, dtype)
    distance = ops.maximum(1.0 - ops.matmul(y_pred, ops.transpose(points, (1, 0))), 0.0)
    same = ops.equal(labels, ops.transpose(others, (1, 0)))
    different = ops.logical_not(same)
    if remove_diagonal:
        rows, columns = int(labels.shape[0]), int(others.shape[0])
        same = ops.logical_and(same, ~np.eye(rows, columns, dtype=bool))
    towards = -gamma * ops.maximum(margin + distance, 0.0) * (margin - distance)
    apart = gamma * ops.maximum(1.0 + margin - distance, 0.0) * (1.0 - margin - distance)
    # Stands for minus infinity, with which the sums would be NaN where a row has no pair of a kind.
    never = -1e30
    total = [ops.logsumexp(ops.where(mask, value, never), 1) for mask, value in ((same, towards),
                                                                                (different, apart))]
    return ops.softplus(total[0] + total[1])


# ---- reduced

class Dice(LossWithArguments):
    """How little labels and predictions overlap. axis: default None, all axes. Shapes: see `dice`; reduction,
    name, dtype: see `Loss`."""

    def __init__(self, reduction="sum_over_batch_size", name="dice", axis=None, dtype=None):
        super().__init__(dice, reduction, name, dtype, axis=axis)


class Tversky(LossWithArguments):
    """`Dice` with weights for what is missed (alpha) and what is wrongly found (beta), both 0.5 by default.

    axis: default None, all axes. Shapes: see `tversky`; reduction, name, dtype: see `Loss`.
    """

    def __init__(self, alpha=0.5, beta=0.5, reduction="sum_over_batch_size", name="tversky", axis=None,
                 dtype=None):
        super().__init__(tversky, reduction, name, dtype, alpha=alpha, beta=beta, axis=axis)


class Circle(LossWithArguments):
    """The circle loss of embeddings; samples with loss 0 do not count in the mean.

    gamma, margin, remove_diagonal and the shapes: see `circle`. reduction, name, dtype: see `Loss`.
    """

    def __init__(self, gamma=80.0, margin=0.4, remove_diagonal=True, reduction="sum_over_batch_size",
                 name="circle", dtype=None):
        super().__init__(circle, reduction, name, dtype, gamma=gamma, margin=margin,
                         remove_diagonal=bool(remove_diagonal))

    def mask(self, y_true, y_pred):
        return ops.greater(self.call(y_true, y_pred), 0.0)
