"""U-Net: a label for every pixel."""

from __future__ import annotations

from .. import layers
from ..models import Model
from ..utils.configurable import describe
from .blocks import Builder

__all__ = ["unet"]


def unet(input_shape=(256, 256, 1), classes=2, filters=64, depth=4, batch_norm=False, dropout=0.0,
         padding="same", classifier_activation=None, data_format=None, name="unet"):
    """U-Net as a functional model, untrained.

    Pairs of 3x3 convolutions; `depth` times the image is halved and the number of filters doubled; then the
    way back with 2x2 transposed convolutions, each joined with what had this size on the way down; a 1x1
    convolution gives the classes. Source: Ronneberger, Fischer and Brox, *U-Net: convolutional networks for
    biomedical image segmentation*, 2015: there with ``padding="valid"``, 572x572 pixels, and 31,030,658
    parameters for one channel and two classes.

    Parameters
    ----------
    input_shape: tuple
        (height, width, channels), or channels first; default (256, 256, 1). With padding="same" height and
        width are multiples of ``2 ** depth``, or None.
    classes: int
        Channels of the output; default 2.
    filters: int
        Of the first pair; default 64.
    depth: int
        Default 4.
    batch_norm: bool
        Whether the convolutions have batch normalization in the place of biases; default False.
    dropout: float
        After the lowest pair; default 0.
    padding: "same" or "valid"
        "valid": each convolution takes two pixels of the size, and what comes from the way down is cut to
        fit.
    classifier_activation: str or callable, optional
        Default None: the outputs are logits.
    data_format: str, optional
        Default `pyconv.config.image_data_format()`.

    Returns
    -------
    Model
        Its output has the shape (batch, height, width, classes), or channels first.

    Raises
    ------
    ValueError, TypeError
        For sizes that cannot be halved `depth` times.
    """
    build = Builder("unet", input_shape, data_format)
    build.check("padding", padding, ("same", "valid"))
    for what, value in (("filters", filters), ("depth", depth)):
        if isinstance(value, bool) or not isinstance(value, int) or value < 1:
            raise ValueError(f"unet: {what}={describe(value)} must be an int of at least 1.")
    first = 1 if build.axis == -1 else 2
    sizes = build.input.shape[first:first + 2]
    if padding == "same" and any(n is not None and n % 2 ** depth for n in sizes):
        raise ValueError(f"unet: height and width must be multiples of {2 ** depth} to be halved {depth} "
                         f"times, got {sizes}; pad or resize the images, or choose a smaller depth.")

    def pair(x, count, place):
        for number in (1, 2):
            if batch_norm:
                x = build.conv_norm(x, count, 3, 1, padding, name=f"{place}_{number}",
                                    kernel_initializer="he_normal")
            else:
                x = build.conv(x, count, 3, 1, padding, f"{place}_{number}", activation="relu",
                               kernel_initializer="he_normal")
        return x
    x, kept = build.input, []
    for level in range(depth):
        x = pair(x, filters * 2 ** level, f"down{level + 1}")
        kept.append(x)
        size = x.shape[first:first + 2]
        if any(n is not None and n % 2 for n in size):
            raise ValueError(f"unet: on the way down an image has {size} pixels, which cannot be halved. The "
                             "paper's 572x572 fit padding='valid' and depth=4.")
        x = build.max_pool(x, name=f"down{level + 1}_pool")
    x = pair(x, filters * 2 ** depth, "bottom")
    if dropout:
        x = layers.Dropout(dropout, name="dropout")(x)
    for level in reversed(range(depth)):
        x = layers.Conv2DTranspose(filters * 2 ** level, 2, 2, "valid", data_format=build.data_format,
                                   kernel_initializer="he_normal", name=f"up{level + 1}_conv")(x)
        side = kept[level]
        if padding == "valid":
            cut = [(a - b, a - b) for a, b in zip(side.shape[first:first + 2], x.shape[first:first + 2],
                                                  strict=True)]
            border = tuple((a // 2, a - a // 2) for a, _ in cut)
            side = layers.Cropping2D(border, data_format=build.data_format, name=f"up{level + 1}_cut")(side)
        x = layers.Concatenate(build.axis, name=f"up{level + 1}_join")([side, x])
        x = pair(x, filters * 2 ** level, f"up{level + 1}")
    x = build.conv(x, classes, 1, name="predictions", activation=classifier_activation)
    return Model(build.input, x, name=name)
