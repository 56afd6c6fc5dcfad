"""AlexNet and ZFNet, the networks that won ImageNet's contests of 2012 and 2013."""

from __future__ import annotations

from .. import layers
from ..models import Model
from .blocks import Builder

__all__ = ["alexnet", "zfnet"]


def alexnet(form="2014", input_shape=None, classes=1000, dropout=0.5, classifier_activation=None,
            data_format=None, name="alexnet"):
    """AlexNet as a functional model, untrained.

    Sources: "2012": Krizhevsky, Sutskever and Hinton, *ImageNet classification with deep convolutional neural
    networks*, 2012; the two groups of its convolutions are those of its two GPUs. "2014": Krizhevsky, *One
    weird trick for parallelizing convolutional neural networks*, 2014, as in torchvision.

    Parameters
    ----------
    form: str
        "2014" (default): 64, 192, 384, 256, 256 filters; 61,100,840 parameters. "2012": 96, 256, 384, 384,
        256 filters, some in two groups, local response normalization; 60,965,224 parameters.
    input_shape: tuple
        (height, width, channels), or channels first with data_format="channels_first"; default (224, 224, 3),
        for "2012" (227, 227, 3), which its strides need.
    classes: int
        Default 1000.
    dropout: float
        Before the two hidden dense layers; default 0.5.
    classifier_activation: str or callable, optional
        Default None: the outputs are logits, for a loss with from_logits=True.
    data_format: str, optional
        Default `pyconv.config.image_data_format()`.

    Raises
    ------
    ValueError, TypeError
        For unknown forms and images that are too small.
    """
    if form not in ("2012", "2014"):
        raise ValueError(f"alexnet: form={form!r} is not known; expected '2012' or '2014'.")
    side = 227 if form == "2012" else 224
    build = Builder("alexnet", input_shape or _shape(side, data_format), data_format)
    old, x = form == "2012", build.input
    filters = (96, 256, 384, 384, 256) if old else (64, 192, 384, 256, 256)
    groups = (1, 2, 1, 2, 2) if old else (1, 1, 1, 1, 1)
    geometry = ((11, 4, 0 if old else 2), (5, 1, 2), (3, 1, 1), (3, 1, 1), (3, 1, 1))
    for index, (size, strides, padding) in enumerate(geometry):
        x = build.conv(x, filters[index], size, strides, padding, f"conv{index + 1}", activation="relu",
                       groups=groups[index], kernel_initializer="he_normal")
        if old and index < 2:
            x = layers.LocalResponseNormalization(data_format=build.data_format, name=f"norm{index + 1}")(x)
        if index in (0, 1, 4):
            x = build.max_pool(x, 3, 2, name=f"pool{index + 1}")
    x = build.dense_head(x, (4096, 4096), dropout, classes, classifier_activation)
    return Model(build.input, x, name=name)


def zfnet(input_shape=None, classes=1000, dropout=0.5, classifier_activation=None, data_format=None,
          name="zfnet"):
    """ZFNet as a functional model, untrained: AlexNet with smaller windows and steps at the beginning.

    62,357,608 parameters. Source: Zeiler and Fergus, *Visualizing and understanding convolutional networks*,
    2014, figure 3; as there, the first two layers are followed by a contrast normalization (here local
    response normalization).

    Parameters
    ----------
    input_shape, classes, dropout, classifier_activation, data_format: as for `alexnet`

    Raises
    ------
    ValueError, TypeError
        For images that are too small.
    """
    build = Builder("zfnet", input_shape or _shape(224, data_format), data_format)
    x = build.input
    geometry = ((96, 7, 2, 1), (256, 5, 2, 0), (384, 3, 1, 1), (384, 3, 1, 1), (256, 3, 1, 1))
    for index, (filters, size, strides, padding) in enumerate(geometry, 1):
        x = build.conv(x, filters, size, strides, padding, f"conv{index}", activation="relu",
                       kernel_initializer="he_normal")
        if index in (1, 2, 5):
            x = build.max_pool(x, 3, 2, 0 if index == 5 else 1, name=f"pool{index}")
        if index < 3:
            x = layers.LocalResponseNormalization(data_format=build.data_format, name=f"norm{index}")(x)
    x = build.dense_head(x, (4096, 4096), dropout, classes, classifier_activation)
    return Model(build.input, x, name=name)


def _shape(side, data_format):
    from ..config import image_data_format
    last = (data_format or image_data_format()) != "channels_first"
    return (side, side, 3) if last else (3, side, side)
