"""PointNet: classes of point clouds."""

from __future__ import annotations

import numpy as np

from .. import layers, ops
from ..models import Model
from ..utils.configurable import describe

__all__ = ["TransformPoints", "pointnet"]


class TransformPoints(layers.Layer):
    """Multiplies each point of a cloud with the cloud's own matrix; called on ``[points, change]``.

    The matrix is the identity and the change: a network whose last layer starts at zero starts by leaving the
    points as they are.

    points: (batch, points, channels). change: (batch, channels, channels). Result: the shape of points.

    Parameters
    ----------
    regularization: float
        This number times the squared distance of ``matrix @ matrix.T`` from the identity, the mean over the
        batch, is added to the loss; default 0.
    """

    def __init__(self, regularization=0.0, **kwargs):
        super().__init__(**kwargs)
        self.regularization = regularization

    def call(self, inputs):
        points, change = inputs
        size = change.shape[-1]
        identity = np.eye(size, dtype=change.dtype)
        matrix = change + identity
        if self.regularization:
            square = ops.matmul(matrix, ops.transpose(matrix, (0, 2, 1)))
            distance = ops.sum(ops.square(square - identity), (1, 2))
            self.add_loss(self.regularization * ops.mean(distance))
        return ops.matmul(points, matrix)


def pointnet(num_points=1024, channels=3, classes=40, transforms=True, dropout=0.3, regularization=1e-3,
             classifier_activation=None, name="pointnet"):
    """PointNet for classification as a functional model, untrained.

    The same small network for each point (1x1 convolutions), a maximum over the points, and dense layers: the
    order of the points does not matter. Source: Qi, Su, Mo and Guibas, *PointNet: deep learning on point sets
    for 3D classification and segmentation*, 2017, figure 2. With `transforms` it has 3.5 million parameters,
    without 0.8 million, the paper's table 6.

    Parameters
    ----------
    num_points: int, optional
        Default 1024; None: any number.
    channels: int
        Coordinates of a point; default 3.
    classes: int
        Default 40.
    transforms: bool
        Whether small networks of the same kind (T-Nets) turn the points and their features; default True.
    dropout: float
        Before the last layer; default 0.3.
    regularization: float
        Keeps the matrix of the features nearly orthogonal, see `TransformPoints`; default 0.001.
    classifier_activation: str or callable, optional
        Default None: the outputs are logits.

    Returns
    -------
    Model
        For inputs (batch, num_points, channels).

    Raises
    ------
    ValueError, TypeError
        For sizes that are no positive ints.
    """
    for what, value in (("channels", channels), ("classes", classes)):
        if isinstance(value, bool) or not isinstance(value, int) or value < 1:
            raise ValueError(f"pointnet: {what}={describe(value)} must be an int of at least 1.")
    inputs = layers.Input((num_points, channels))

    def normalized(x, place):
        x = layers.BatchNormalization(momentum=0.9, epsilon=1e-5, name=f"{place}_bn")(x)
        return layers.Activation("relu", name=f"{place}_relu")(x)

    def each_point(x, sizes, place):
        for number, size in enumerate(sizes, 1):
            x = normalized(layers.Conv1D(size, 1, name=f"{place}_{number}")(x), f"{place}_{number}")
        return x

    def dense(x, sizes, place):
        for number, size in enumerate(sizes, 1):
            x = normalized(layers.Dense(size, name=f"{place}_{number}")(x), f"{place}_{number}")
        return x

    def turned(x, place, penalty):
        size = x.shape[-1]
        y = each_point(x, (64, 128, 1024), f"{place}_point")
        y = dense(layers.GlobalMaxPooling1D(name=f"{place}_max")(y), (512, 256), f"{place}_dense")
        y = layers.Dense(size * size, kernel_initializer="zeros", name=f"{place}_matrix")(y)
        y = layers.Reshape((size, size), name=f"{place}_reshape")(y)
        return TransformPoints(penalty, name=f"{place}_turn")([x, y])
    x = turned(inputs, "input", 0.0) if transforms else inputs
    x = each_point(x, (64, 64), "low")
    if transforms:
        x = turned(x, "feature", regularization)
    x = each_point(x, (64, 128, 1024), "high")
    x = dense(layers.GlobalMaxPooling1D(name="max")(x), (512, 256), "dense")
    if dropout:
        x = layers.Dropout(dropout, name="dropout")(x)
    x = layers.Dense(classes, activation=classifier_activation, name="predictions")(x)
    return Model(inputs, x, name=name)
