"""VGG: many small convolutions."""

from __future__ import annotations

from .. import layers
from ..models import Model
from .alexnet import _shape
from .blocks import Builder

__all__ = ["vgg", "vgg11", "vgg13", "vgg16", "vgg19"]

# depth -> convolutions in each of the five blocks
_DEPTHS = {11: (1, 1, 2, 2, 2), 13: (2, 2, 2, 2, 2), 16: (2, 2, 3, 3, 3), 19: (2, 2, 4, 4, 4)}
_FILTERS = (64, 128, 256, 512, 512)


def vgg(depth=16, batch_norm=False, include_top=True, input_shape=None, pooling=None, classes=1000,
        hidden=(4096, 4096), dropout=0.5, classifier_activation=None, data_format=None, name=None):
    """VGG with 11, 13, 16 or 19 layers as a functional model, untrained.

    Source: Simonyan and Zisserman, *Very deep convolutional networks for large-scale image recognition*,
    2015, configurations A, B, D and E. With `batch_norm`, as in torchvision, each convolution (which keeps
    its bias) is followed by batch normalization. Layers are named as in Keras: block1_conv1, ..., fc1, fc2,
    predictions.

    Parameters
    ----------
    depth: int
        11, 13, 16 (default) or 19: 132,863,336, 133,047,848, 138,357,544 or 143,667,240 parameters; with
        `batch_norm` 5,504, 5,888, 8,448 or 11,008 more that are trained.
    batch_norm: bool
        Default False.
    include_top: bool
        Whether the dense layers are part of the model; default True.
    input_shape: tuple
        (height, width, channels), or channels first; default (224, 224, 3). Sizes of at least 32, and None
        without the top.
    pooling: None, "avg" or "max"
        What is done with the features without the top; default nothing.
    classes: int
        Default 1000.
    hidden: tuple of int
        Sizes of the dense layers; default (4096, 4096).
    dropout: float
        Default 0.5.
    classifier_activation: str or callable, optional
        Default None: the outputs are logits.
    data_format: str, optional
        Default `pyconv.config.image_data_format()`.

    Raises
    ------
    ValueError, TypeError
        For other depths and images that are too small.
    """
    name = name or f"vgg{depth}{'_bn' if batch_norm else ''}"
    build = Builder("vgg", input_shape or _shape(224, data_format), data_format)
    build.check("depth", depth, tuple(_DEPTHS))
    x = build.input
    for block, (filters, count) in enumerate(zip(_FILTERS, _DEPTHS[depth], strict=True), 1):
        for number in range(1, count + 1):
            place = f"block{block}_conv{number}"
            x = build.conv(x, filters, 3, name=place, kernel_initializer="he_normal",
                           activation=None if batch_norm else "relu")
            if batch_norm:
                x = layers.ReLU(name=f"{place}_relu")(build.norm(x, f"{place}_bn"))
        x = build.max_pool(x, name=f"block{block}_pool")
    x = build.dense_head(x, hidden, dropout, classes, classifier_activation) if include_top else build.pooled(
        x, pooling)
    return Model(build.input, x, name=name)


def vgg11(**kwargs):
    """`vgg` with depth 11, configuration A."""
    return vgg(11, **kwargs)


def vgg13(**kwargs):
    """`vgg` with depth 13, configuration B."""
    return vgg(13, **kwargs)


def vgg16(**kwargs):
    """`vgg` with depth 16, configuration D."""
    return vgg(16, **kwargs)


def vgg19(**kwargs):
    """`vgg` with depth 19, configuration E."""
    return vgg(19, **kwargs)
