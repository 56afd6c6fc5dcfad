"""Equalization, and changes that are chosen at random among many."""

from __future__ import annotations

import numpy as np

from ... import ops
from ...ops.base import apply
from ...ops.sampling import SAMPLING
from .. import checks
from .base import ImageLayer, bounds, value_range_argument
from .color import (AutoContrast, RandomBrightness, RandomColorDegeneration, RandomContrast, RandomPosterization,
                    RandomSharpness, Solarization, _Color)
from .geometry import RandomRotation, RandomShear, RandomTranslation

__all__ = ["Equalization", "RandAugment"]


class Equalization(_Color):
    """In training, spreads the values of each channel of each image evenly over the value range.

    Otherwise the identity. Input and output have the same shape, see `ImageLayer`. Each value is replaced by the part
    of the channel's values that are not above it. As in Keras the values are counted in `bins`; unlike there, each
    image counts for itself. A channel with one value only is left as it is.

    Parameters
    ----------
    value_range: pair
        The smallest and the largest value of a pixel.
    bins: int
        How many values are told apart.
    data_format: str, optional
        "channels_last" or "channels_first"; default `pyconv.config.image_data_format()`.

    Raises
    ------
    ValueError, TypeError
        For other values; inputs that have neither 3 nor 4 axes.
    """

    def __init__(self, value_range=(0, 255), bins=256, data_format=None, **kwargs):
        super().__init__(data_format, **kwargs)
        self.value_range = value_range_argument(self, value_range)
        self.bins = checks.integer(self, "bins", bins, 2)

    def get_random_transformation(self, data, training=True, seed=None):
        return None

    def transform_images(self, images, transformation=None, training=True):
        return self._ranged(images, self._equalized, 0, 255)

    def _equalized(self, images):
        batch, height, width, channels = self._sizes(images)
        planes = images if self.data_format == "channels_first" else ops.transpose(images, (0, 3, 1, 2))
        planes = ops.reshape(planes, (batch * channels, height * width))
        place = ops.cast(ops.clip(planes / 255.0 * (self.bins - 1.0), 0.0, self.bins - 1.0), "int32")
        # All histograms lie behind each other.
        count, size = batch * channels, batch * channels * self.bins
        place = ops.reshape(place + np.arange(count, dtype="int32")[:, None] * self.bins, (count * height * width,))
        ones = np.ones(count * height * width, self.variable_dtype)
        histogram = ops.reshape(apply("take_gradient", ones, place, shape=(size,), axis=0), (count, self.bins))
        up_to = ops.cumsum(histogram, 1)
        # The count of the smallest value that there is.
        first = ops.min(ops.where(histogram > 0, up_to, float(height * width)), 1, keepdims=True)
        above = float(height * width) - first
        table = ops.round((up_to - first) * 255.0 / ops.maximum(above, 1.0))
        new = ops.reshape(ops.take(ops.reshape(table, (size,)), place), (count, height * width))
        planes = ops.reshape(ops.where(above > 0, new, planes), (batch, channels, height, width))
        return planes if self.data_format == "channels_first" else ops.transpose(planes, (0, 2, 3, 1))


class RandAugment(ImageLayer):
    """In training, `num_ops` changes of each image, chosen at random among shear, translation, rotation, brightness,
    color degeneration, contrast, sharpness, posterization, solarization, auto contrast and equalization.

    Otherwise the identity. Input and output have the same shape, see `ImageLayer`. Each image has its own choice (in
    Keras all images of a batch have the same). Source: Cubuk et al., *RandAugment: practical automated data
    augmentation with a reduced search space*, 2019.

    Parameters
    ----------
    value_range: pair
        The smallest and the largest value of a pixel.
    num_ops: int
        How many changes, one after the other.
    factor: float or pair
        How strong they are, from 0 to 1: the factor of each layer. A number f stands for (0, f).
    interpolation: str
        "bilinear" or "nearest".
    seed: int, optional
        Default: decided by `pyconv.utils.set_random_seed`.
    data_format: str, optional
        "channels_last" or "channels_first"; default `pyconv.config.image_data_format()`.

    Raises
    ------
    ValueError, TypeError
        For other values; inputs that have neither 3 nor 4 axes.
    """

    def __init__(self, value_range=(0, 255), num_ops=2, factor=0.5, interpolation="bilinear", seed=None,
                 data_format=None, **kwargs):
        super().__init__(data_format, **kwargs)
        self.value_range = value_range_argument(self, value_range)
        self.num_ops = checks.integer(self, "num_ops", num_ops)
        self.factor = bounds(self, "factor", factor, 0, 1)
        self.interpolation = checks.choice(self, "interpolation", interpolation, SAMPLING)
        self._seeded(seed)
        f, places, colors = self.factor, {"interpolation": interpolation}, {"value_range": self.value_range}
        self._steps = [self._step(i, cls, *arguments, **options) for i, (cls, arguments, options) in enumerate((
            (RandomShear, (f, f), places), (RandomTranslation, (f, f), places), (RandomRotation, (f,), places),
            (RandomBrightness, (f,), colors), (RandomColorDegeneration, (f,), colors), (RandomContrast, (f,), colors),
            (RandomSharpness, (f,), colors), (RandomPosterization, (max(1, int(8 * f[1])),), colors),
            (Solarization, (f, f), colors), (AutoContrast, (), colors), (Equalization, (), colors)))]

    def _step(self, i, cls, *arguments, **options):
        if cls not in (AutoContrast, Equalization):
            # Each step has numbers of its own.
            options["seed"] = None if self.seed is None else (self.seed + (i + 1) * 2**58) % 2**63
        return cls(*arguments, **options, dtype=self.dtype, data_format=self.data_format,
                   name=f"{self.name}_{cls.__name__}")

    def get_random_transformation(self, data, training=True, seed=None):
        batch = data["images"].shape[0]
        chosen = ops.floor(self._uniform((self.num_ops, batch, 1, 1, 1), 0, len(self._steps)))
        return {"layer_idxes": chosen, "transforms": [step.get_random_transformation(data) for step in self._steps]}

    def _changed(self, values, transformation, name):
        for k in range(self.num_ops):
            chosen, before = transformation["layer_idxes"][k], values
            for i, (step, drawn) in enumerate(zip(self._steps, transformation["transforms"], strict=True)):
                values = ops.where(ops.equal(chosen, float(i)), getattr(step, name)(before, drawn), values)
        return values

    def transform_images(self, images, transformation, training=True):
        return self._changed(images, transformation, "transform_images")

    def transform_segmentation_masks(self, segmentation_masks, transformation, training=True):
        return self._changed(segmentation_masks, transformation, "transform_segmentation_masks")
