"""MobileNet: depthwise convolutions, for small devices."""

from __future__ import annotations

from .. import layers
from ..models import Model
from .alexnet import _shape
from .blocks import Builder

__all__ = ["mobilenet"]

# filters and steps of the thirteen pairs of depthwise and 1x1 convolution
_PAIRS = ((64, 1), (128, 2), (128, 1), (256, 2), (256, 1), (512, 2), *((512, 1),) * 5, (1024, 2), (1024, 1))


def mobilenet(alpha=1.0, depth_multiplier=1, include_top=True, input_shape=None, pooling=None, classes=1000,
              dropout=1e-3, classifier_activation=None, data_format=None, name=None):
    """MobileNet, version 1, as a functional model, untrained.

    4,253,864 parameters, of which 4,231,976 are trained, as in Keras. Source: Howard et al., *MobileNets:
    efficient convolutional neural networks for mobile vision applications*, 2017, table 1.

    Parameters
    ----------
    alpha: float
        Factor of all numbers of filters (the paper's width multiplier); default 1.
    depth_multiplier: int
        Filters per channel of the depthwise convolutions; default 1.
    include_top: bool
        Whether the classifier is part of the model; default True.
    input_shape: tuple
        (height, width, channels), or channels first; default (224, 224, 3). Height and width may be None.
    pooling: None, "avg" or "max"
        What is done with the features without the top; default nothing.
    classes: int
        Default 1000.
    dropout: float
        Before the classifier; default 0.001, as in Keras.
    classifier_activation: str or callable, optional
        Default None: the outputs are logits.
    data_format: str, optional
        Default `pyconv.config.image_data_format()`.

    Raises
    ------
    ValueError, TypeError
        For an alpha that leaves no filter.
    """
    if isinstance(alpha, bool) or not isinstance(alpha, (int, float)) or not 32 * alpha >= 1:
        raise ValueError(f"mobilenet: alpha={alpha!r} must be a number that leaves at least one of 32 "
                         f"filters.")
    build = Builder("mobilenet", input_shape or _shape(224, data_format), data_format, 0.99, 1e-3)
    x = build.conv_norm(build.input, int(32 * alpha), 3, 2, "same", "relu6", "stem")
    for number, (filters, strides) in enumerate(_PAIRS, 1):
        x = layers.DepthwiseConv2D(3, strides, "same", depth_multiplier, build.data_format, use_bias=False,
                                   name=f"block{number}_depthwise")(x)
        x = layers.Activation("relu6", name=f"block{number}_relu")(build.norm(x, f"block{number}_bn"))
        x = build.conv_norm(x, int(filters * alpha), 1, activation="relu6", name=f"block{number}_pointwise")
    if include_top:
        x = layers.GlobalAveragePooling2D(build.data_format, name="avg_pool")(x)
        if dropout:
            x = layers.Dropout(dropout, name="dropout")(x)
        x = layers.Dense(classes, activation=classifier_activation, name="predictions")(x)
    else:
        x = build.pooled(x, pooling)
    return Model(build.input, x, name=name or f"mobilenet_{alpha:g}")
