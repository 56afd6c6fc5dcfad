"""Residual networks, for small images (CIFAR) and large ones (ImageNet)."""

from __future__ import annotations

from .. import layers, ops
from ..models import Model
from .alexnet import _shape
from .blocks import Builder

__all__ = ["resnet", "resnet18", "resnet20", "resnet32", "resnet34", "resnet50", "resnet56", "resnet_cifar"]

# depth -> blocks in each stage, and whether a block is a bottleneck of three convolutions
_DEPTHS = {18: ((2, 2, 2, 2), False), 34: ((3, 4, 6, 3), False), 50: ((3, 4, 6, 3), True),
           101: ((3, 4, 23, 3), True), 152: ((3, 8, 36, 3), True)}
# of convolutions that ReLU follows: keeps the size of gradients (He et al., 2015)
_INITIALIZER = {"class_name": "VarianceScaling", "config": {"scale": 2.0, "mode": "fan_out",
                                                            "distribution": "untruncated_normal"}}


def _conv(build, x, filters, size, strides=1, activation="relu", name=None):
    return build.conv_norm(x, filters, size, strides, size // 2, activation, name,
                           kernel_initializer=_INITIALIZER)


def _add(shortcut, x, name):
    x = layers.Add(name=f"{name}_add")([shortcut, x])
    return layers.Activation("relu", name=f"{name}_out")(x)


def _block(build, x, filters, strides, bottleneck, first, name):
    out = filters * 4 if bottleneck else filters
    shortcut = x
    if first and (strides > 1 or x.shape[build.axis] != out):
        shortcut = _conv(build, x, out, 1, strides, None, f"{name}_0")
    if bottleneck:
        x = _conv(build, x, filters, 1, name=f"{name}_1")
        # the step stands in the 3x3 convolution, as in torchvision ("ResNet v1.5"), not in the first
        x = _conv(build, x, filters, 3, strides, name=f"{name}_2")
        x = _conv(build, x, out, 1, activation=None, name=f"{name}_3")
    else:
        x = _conv(build, x, filters, 3, strides, name=f"{name}_1")
        x = _conv(build, x, filters, 3, activation=None, name=f"{name}_2")
    return _add(shortcut, x, name)


def resnet(depth=50, include_top=True, input_shape=None, pooling=None, classes=1000,
           classifier_activation=None, data_format=None, name=None):
    """The residual networks for ImageNet as functional models, untrained.

    Source: He, Zhang, Ren and Sun, *Deep residual learning for image recognition*, 2016, table 1, with
    projections where sizes change (option B), and the step of a bottleneck in its 3x3 convolution, as in
    torchvision.

    Parameters
    ----------
    depth: int
        18, 34, 50 (default), 101 or 152: 11,689,512, 21,797,672, 25,557,032, 44,549,160 or 60,192,808
        parameters that are trained.
    include_top: bool
        Whether the classifier is part of the model; default True.
    input_shape: tuple
        (height, width, channels), or channels first; default (224, 224, 3). Height and width may be None.
    pooling: None, "avg" or "max"
        What is done with the features without the top; default nothing.
    classes: int
        Default 1000.
    classifier_activation: str or callable, optional
        Default None: the outputs are logits.
    data_format: str, optional
        Default `pyconv.config.image_data_format()`.

    Raises
    ------
    ValueError, TypeError
        For other depths.
    """
    build = Builder("resnet", input_shape or _shape(224, data_format), data_format)
    build.check("depth", depth, tuple(_DEPTHS))
    counts, bottleneck = _DEPTHS[depth]
    x = _conv(build, build.input, 64, 7, 2, name="stem")
    x = build.max_pool(x, 3, 2, 1, name="stem_pool")
    for stage, count in enumerate(counts, 1):
        for number in range(1, count + 1):
            strides = 2 if stage > 1 and number == 1 else 1
            x = _block(build, x, 32 * 2 ** stage, strides, bottleneck, number == 1, f"stage{stage}_{number}")
    x = build.mean_head(x, classes, classifier_activation) if include_top else build.pooled(x, pooling)
    return Model(build.input, x, name=name or f"resnet{depth}")


def _subsampled(build, x, filters):
    """Every second pixel, and channels of zeros on both sides: a shortcut without parameters (option A)."""
    last = build.data_format == "channels_last"
    step = slice(None, None, 2)
    x = x[:, step, step] if last else x[:, :, step, step]
    more = filters - x.shape[build.axis]
    border = [more // 2, more - more // 2]
    none = [0, 0]
    return ops.pad(x, [none, none, none, border] if last else [none, border, none, none])


def resnet_cifar(depth=20, input_shape=None, classes=10, classifier_activation=None, data_format=None,
                 name=None):
    """The residual networks for CIFAR-10 as functional models, untrained.

    Three stages with 16, 32 and 64 filters; shortcuts without parameters. Source: He, Zhang, Ren and Sun,
    *Deep residual learning for image recognition*, 2016, section 4.2.

    Parameters
    ----------
    depth: int
        6n + 2: 20 (default), 32, 44, 56, 110, ... The first five have 269,722, 464,154, 658,586, 853,018 and
        1,727,962 parameters that are trained (0.27, 0.46, 0.66, 0.85 and 1.7 million in the paper).
    input_shape: tuple
        (height, width, channels), or channels first; default (32, 32, 3). Height and width may be None.
    classes: int
        Default 10.
    classifier_activation, data_format: as for `resnet`

    Raises
    ------
    ValueError, TypeError
        For depths that are not 6n + 2.
    """
    if isinstance(depth, bool) or not isinstance(depth, int) or depth < 8 or depth % 6 != 2:
        raise ValueError(f"resnet_cifar: depth={depth!r} must be 6n + 2, such as 20, 32, 44 or 56.")
    build = Builder("resnet_cifar", input_shape or _shape(32, data_format), data_format)
    x = _conv(build, build.input, 16, 3, name="stem")
    for stage, filters in enumerate((16, 32, 64), 1):
        for number in range(1, (depth - 2) // 6 + 1):
            place = f"stage{stage}_{number}"
            smaller = stage > 1 and number == 1
            shortcut = _subsampled(build, x, filters) if smaller else x
            x = _conv(build, x, filters, 3, 2 if smaller else 1, name=f"{place}_1")
            x = _conv(build, x, filters, 3, activation=None, name=f"{place}_2")
            x = _add(shortcut, x, place)
    x = build.mean_head(x, classes, classifier_activation)
    return Model(build.input, x, name=name or f"resnet{depth}")


def resnet18(**kwargs):
    """`resnet` with depth 18."""
    return resnet(18, **kwargs)


def resnet34(**kwargs):
    """`resnet` with depth 34."""
    return resnet(34, **kwargs)


def resnet50(**kwargs):
    """`resnet` with depth 50."""
    return resnet(50, **kwargs)


def resnet20(**kwargs):
    """`resnet_cifar` with depth 20."""
    return resnet_cifar(20, **kwargs)


def resnet32(**kwargs):
    """`resnet_cifar` with depth 32."""
    return resnet_cifar(32, **kwargs)


def resnet56(**kwargs):
    """`resnet_cifar` with depth 56."""
    return resnet_cifar(56, **kwargs)
