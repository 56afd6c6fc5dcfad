"""Images mixed with each other, and parts of them erased."""

from __future__ import annotations

import numpy as np

from ... import ops
from ...graph import is_float
from ...utils.configurable import describe
from .. import checks
from ..input_spec import show
from .base import ImageLayer, bounds, value_range_argument

__all__ = ["MixUp", "CutMix", "RandomErasing"]

TRIES = 8


def shuffled(keys):
    """The order of `keys` (n,), random numbers, as int32: a random permutation of 0 to n - 1."""
    n = keys.shape[0]
    a, b = ops.reshape(keys, (n, 1)), ops.reshape(keys, (1, n))
    earlier = np.arange(n)[:, None] > np.arange(n)
    return ops.sum(ops.cast((b < a) | ((b <= a) & earlier), "int32"), 1)


def beta(alpha, normal, uniform, power):
    """Numbers from the symmetric beta distribution, from random numbers: normal and uniform ones of shape
    (n, 2, `TRIES`), and uniform ones of shape (n, 2). alpha: a positive number or scalar.

    ``x / (x + y)`` for two numbers of the gamma distribution; these by rejection, where each of the tries succeeds with
    a probability of at least 0.95 (Marsaglia and Tsang, *A simple method for generating gamma variables*, 2000).
    Logarithms keep numbers apart that are too small for floats, as they are for a small alpha.
    """
    d = alpha + 1.0 - 1 / 3
    v = normal / (9.0 * d) ** 0.5 + 1.0
    positive = ops.maximum(v, 1e-3)
    log_v = 3.0 * ops.log(positive)
    right = (v > 1e-3) & (ops.log(1.0 - uniform) < 0.5 * ops.square(normal) + d - d * ops.exp(log_v) + d * log_v)
    chosen = ops.expand_dims(ops.argmax(ops.cast(right, "int32"), 2), 2)
    log_gamma = ops.sum(ops.where(ops.equal(chosen, np.arange(TRIES)), log_v, 0.0), 2)
    log_gamma = log_gamma + ops.log(1.0 - power) / alpha          # from alpha + 1 to alpha
    return ops.sigmoid(log_gamma[:, 0] - log_gamma[:, 1])


class _Mixing(ImageLayer):
    """Base of the two layers below."""

    def _beta(self, count, alpha):
        normal = ops.random_normal(self.generator.next(), (count, 2, TRIES), self.variable_dtype)
        return beta(alpha, normal, self._uniform((count, 2, TRIES)), self._uniform((count, 2)))

    def _permutation(self, count):
        return shuffled(self._uniform((count,)))

    def transform_labels(self, labels, transformation, training=True):
        if len(labels.shape) < 2 and not is_float(labels.dtype):
            raise ValueError(f"{self._title()} mixes labels, which must be floats or have 2 axes, got {labels.dtype} "
                             f"of shape {show(tuple(labels.shape))}: make them with pyconv.ops.one_hot.")
        labels = ops.cast(labels, self.variable_dtype)
        weight = ops.reshape(transformation["mix_weight"], (-1, *[1] * (len(labels.shape) - 1)))
        return weight * labels + (1.0 - weight) * ops.take(labels, transformation["permutation_order"], 0)


class MixUp(_Mixing):
    """In training, each image becomes a weighted mean of itself and another one of the batch, and so do the labels.

    Otherwise the identity. Called on ``{"images": ..., "labels": ...}``; labels are one-hot or floats. The weight of
    the image itself comes from the beta distribution with both parameters `alpha`.
    Source: Zhang et al., *mixup: beyond empirical risk minimization*, 2017.

    Parameters
    ----------
    alpha: float
        Above 0; the larger, the more even the mixture. 1: all weights are equally likely.
    data_format: str, optional
        "channels_last" or "channels_first"; default `pyconv.config.image_data_format()`.
    seed: int, optional
        Default: decided by `pyconv.utils.set_random_seed`.

    Raises
    ------
    ValueError, TypeError
        For other values; inputs that have neither 3 nor 4 axes; integer labels with one axis.
    """

    def __init__(self, alpha=0.2, data_format=None, seed=None, **kwargs):
        super().__init__(data_format, **kwargs)
        self.alpha = checks.number(self, "alpha", alpha, 0)
        if alpha == 0:
            checks.fail(self, "alpha", alpha, "above 0")
        self._seeded(seed)

    def get_random_transformation(self, data, training=True, seed=None):
        batch = data["images"].shape[0]
        return {"permutation_order": self._permutation(batch), "mix_weight": self._beta(batch, float(self.alpha))}

    def transform_images(self, images, transformation, training=True):
        weight = ops.reshape(transformation["mix_weight"], (-1, 1, 1, 1))
        return weight * images + (1.0 - weight) * ops.take(images, transformation["permutation_order"], 0)

    def transform_segmentation_masks(self, segmentation_masks, transformation, training=True):
        """Masks are mixed like images, and become floats."""
        return self.transform_images(ops.cast(segmentation_masks, self.variable_dtype), transformation)


class _Boxes:
    """Random rectangles of pixels."""

    def _box(self, images, tall, wide):
        """A mask (batch, height, width, 1), or with channels first, of a rectangle at a random place, and its part of
        the area. tall, wide: the parts of height and width, (batch,)."""
        batch, height, width, _ = self._sizes(images)
        sides = []
        for n, part in ((width, wide), (height, tall)):
            length = part * float(n)
            first = self._uniform((batch,)) * (float(n) - length)
            at = np.arange(n, dtype=self.variable_dtype)
            first, last = (ops.reshape(v, (batch, 1)) for v in (first, first + length))
            sides.append((at >= first) & (at < last))
        columns, rows = sides
        area = ops.mean(ops.cast(rows, self.variable_dtype), 1) * ops.mean(ops.cast(columns, self.variable_dtype), 1)
        mask = ops.reshape(rows, (batch, height, 1)) & ops.reshape(columns, (batch, 1, width))
        return ops.expand_dims(mask, self._axes[2]), area


class CutMix(_Mixing, _Boxes):
    """In training, a rectangle of each image is replaced by the same rectangle of another one of the batch.

    Otherwise the identity. Called on ``{"images": ..., "labels": ...}``; labels are one-hot or floats, and are mixed in
    proportion to the number of pixels. Single images are left as they are.
    Source: Yun et al., *CutMix: regularization strategy to train strong classifiers with localizable features*, 2019.

    Parameters
    ----------
    factor: float or pair
        The part of an image that is kept comes from the beta distribution whose parameters are both a number between
        the two, from 0 to 1, drawn for each batch (later a little less or more, for whole pixels). A number f stands
        for (0, f).
    seed: int, optional
        Default: decided by `pyconv.utils.set_random_seed`.
    data_format: str, optional
        "channels_last" or "channels_first"; default `pyconv.config.image_data_format()`.

    Raises
    ------
    ValueError, TypeError
        For other values; inputs that have neither 3 nor 4 axes; integer labels with one axis.
    """

    def __init__(self, factor=1.0, seed=None, data_format=None, **kwargs):
        super().__init__(data_format, **kwargs)
        self.factor = bounds(self, "factor", factor, 0, 1)
        self._seeded(seed)

    def get_random_transformation(self, data, training=True, seed=None):
        batch = data["images"].shape[0]
        alpha = self._uniform((), *self.factor) + 1e-6
        side = ops.sqrt(1.0 - self._beta(batch, alpha))
        mask, area = self._box(data["images"], side, side)
        return {"permutation_order": self._permutation(batch), "batch_masks": mask, "mix_weight": 1.0 - area}

    def transform_images(self, images, transformation, training=True):
        others = ops.take(images, transformation["permutation_order"], 0)
        return ops.where(transformation["batch_masks"], others, images)

    def transform_segmentation_masks(self, segmentation_masks, transformation, training=True):
        return self.transform_images(segmentation_masks, transformation)


class RandomErasing(ImageLayer, _Boxes):
    """In training, a rectangle of each image is replaced by noise or a constant; the identity otherwise.

    Input and output have the same shape, see `ImageLayer`.
    Source: Zhong et al., *Random erasing data augmentation*, 2017.

    Parameters
    ----------
    factor: float or pair
        How likely an image is changed, from 0 to 1: a number between the two is drawn for each image first, a single
        number f stands for (0, f).
    scale: float or pair
        Height and width of the rectangle, as parts of those of the image, are the square roots of two numbers drawn
        from this range, within 0 to 1. A number f stands for (0, f).
    fill_value: float, or one per channel, optional
        What is put there. Default: normal noise with the standard deviation ``value_range[1]``, cut off at the range.
    value_range: pair
        The smallest and the largest value of a pixel.
    seed: int, optional
        Default: decided by `pyconv.utils.set_random_seed`.
    data_format: str, optional
        "channels_last" or "channels_first"; default `pyconv.config.image_data_format()`.

    Raises
    ------
    ValueError, TypeError
        For other values; inputs that have neither 3 nor 4 axes, or another number of channels than `fill_value`.
    """

    def __init__(self, factor=1.0, scale=(0.02, 0.33), fill_value=None, value_range=(0, 255), seed=None,
                 data_format=None, **kwargs):
        super().__init__(data_format, **kwargs)
        self.factor, self.scale = bounds(self, "factor", factor, 0, 1), bounds(self, "scale", scale, 0, 1)
        if isinstance(fill_value, (tuple, list)):
            fill_value = tuple(checks.number(self, "fill_value", v) for v in fill_value)
        self.fill_value = fill_value if fill_value is None or isinstance(fill_value, tuple) \
            else checks.number(self, "fill_value", fill_value)
        self.value_range = value_range_argument(self, value_range)
        self._seeded(seed)

    def get_random_transformation(self, data, training=True, seed=None):
        images = data["images"]
        batch = images.shape[0]
        sides = ops.sqrt(self._uniform((batch, 2), *self.scale))
        mask, _ = self._box(images, sides[:, 1], sides[:, 0])
        erased = self._uniform((batch,)) < self._uniform((batch,), *self.factor)
        return {"apply_erasing": erased, "batch_masks": mask, "fill_value": self._fill(images)}

    def _fill(self, images):
        low, high = map(float, self.value_range)
        if self.fill_value is None:
            noise = ops.random_normal(self.generator.next(), tuple(images.shape), self.variable_dtype)
            return ops.clip(noise * high, low, high)
        fill = np.clip(np.asarray(self.fill_value, self.variable_dtype), low, high)
        if fill.ndim:
            if len(fill) not in (1, self._sizes(images)[3]):
                raise ValueError(f"{self._title()}: fill_value={describe(self.fill_value)} must have one number per "
                                 f"channel of the images, which have {self._sizes(images)[3]}.")
            fill = fill.reshape([-1 if axis == self._axes[2] else 1 for axis in range(4)])
        return fill

    def transform_images(self, images, transformation, training=True):
        chosen = ops.reshape(transformation["apply_erasing"], (-1, 1, 1, 1)) & transformation["batch_masks"]
        return ops.where(chosen, transformation["fill_value"], images)
